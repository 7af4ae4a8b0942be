"""The classifier on BERT with the norm before each part: the first token alone, against every token.

The encoder is held against transformers' in `models/huggingface/test_family_gena.py`.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from glmbench.errors import Unsupported
from glmbench.networks.prenorm_bert import PrenormBertForSequenceClassification
from glmbench.networks.prenorm_bert_config import PrenormBertConfig

SIZES: dict[str, Any] = {
    "vocab_size": 40, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 20,
    "max_position_embeddings": 16, "num_labels": 3,
}  # fmt: skip
LENGTHS = (5, 11, 1, 11, 8)


def made(**changes: Any) -> Any:
    """A network whose weights are large enough that every part matters."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    network = PrenormBertForSequenceClassification(PrenormBertConfig(**SIZES, **changes))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return network.eval()


def padded(*, left: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, mask and token types; padding is an ordinary token, to be ignored."""
    torch.manual_seed(2)
    ids = torch.randint(5, 40, (len(LENGTHS), max(LENGTHS)))
    mask = (torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]).long()
    kinds = (torch.arange(max(LENGTHS)) > 3).long().expand_as(ids)
    return (ids.flip(1), mask.flip(1), kinds.flip(1)) if left else (ids, mask, kinds)


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("last_norm", [False, True])
def test_the_first_token_alone_gives_the_scores_and_gradients_of_all(left: bool, last_norm: bool) -> None:
    network, inputs = made(last_layer_norm=last_norm), padded(left=left)
    found = []
    for every in (False, True):
        network.zero_grad(set_to_none=True)
        scores = network(*inputs, output_hidden_states=every).logits
        (scores * torch.arange(1.0, scores.numel() + 1).view_as(scores)).sum().backward()
        gradients = {name: weight.grad for name, weight in network.named_parameters() if weight.grad is not None}
        found.append((scores.detach(), gradients))
    (first, of_first), (whole, of_whole) = found
    torch.testing.assert_close(first, whole, atol=1e-5, rtol=1e-5)
    assert of_first.keys() == of_whole.keys()
    for name, gradient in of_whole.items():
        torch.testing.assert_close(of_first[name], gradient, atol=1e-4, rtol=1e-3)
    assert left or of_whole["bert.embeddings.position_embeddings.weight"][10].any(), "of the last token as well"


@torch.no_grad()
@pytest.mark.parametrize("last_norm", [False, True])
def test_scores_are_the_head_s_of_each_row_alone(last_norm: bool) -> None:
    network = made(last_layer_norm=last_norm)
    ids, mask, kinds = padded()
    together = network(ids, mask, kinds).logits
    for row, length in enumerate(LENGTHS):
        cut = slice(row, row + 1), slice(length)
        first = network.bert(ids[cut], token_type_ids=kinds[cut]).last_hidden_state[:, 0]
        wanted = network.classifier(torch.tanh(network.bert.pooler.dense(first)))[0]
        torch.testing.assert_close(together[row], wanted, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_last_layer_is_computed_for_the_first_token_alone() -> None:
    network = made()
    widths: list[int] = []
    for layer in network.bert.encoder.layer:
        layer.output.register_forward_hook(lambda module, inputs, output: widths.append(len(output)))
    network(*padded())
    network(*padded(left=True))
    tokens = sum(LENGTHS)
    assert widths == [tokens, tokens, len(LENGTHS), tokens, tokens, tokens]


def test_a_sequence_beyond_the_positions_is_unsupported() -> None:
    with pytest.raises(Unsupported, match="a sequence has 17 tokens, this BERT has 16 positions"):
        made()(torch.full((1, 17), 9))
