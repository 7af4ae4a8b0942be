from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from glmbench.errors import Unsupported, UsageError
from glmbench.networks.nucleotide_transformer import (
    NucleotideTransformerForMaskedLM,
    NucleotideTransformerForSequenceClassification,
    NucleotideTransformerModel,
)
from glmbench.networks.nucleotide_transformer_config import NucleotideTransformerConfig
from glmbench.networks.packing import Packing

SIZES: dict[str, Any] = {
    "vocab_size": 27, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48,
}  # fmt: skip


def spread(network: nn.Module, seed: int = 0) -> Any:
    """The network in evaluation mode with weights that matter: fresh ones are too small for layers to differ."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    return network.eval()


@pytest.fixture(scope="module")
def network() -> NucleotideTransformerForMaskedLM:
    made: NucleotideTransformerForMaskedLM = spread(
        NucleotideTransformerForMaskedLM(NucleotideTransformerConfig(**SIZES))
    )
    return made


@pytest.fixture
def rows() -> list[list[int]]:
    torch.manual_seed(1)
    return [[3, *torch.randint(4, 27, (length,)).tolist()] for length in (7, 1, 12, 12, 5)]


def packed(rows: list[list[int]]) -> tuple[Tensor, Packing]:
    lengths = tuple(map(len, rows))
    offsets = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    return torch.tensor([token for row in rows for token in row]), Packing(lengths, offsets)


class _Glu(nn.Module):
    """What the released code has in place of ESM's dense layer and GELU."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        first, second = functional.linear(x, self.weight).split(len(self.weight) // 2, dim=-1)
        return first / (1 + torch.exp(-first)) * second


def esm_with_glu(ours: NucleotideTransformerForMaskedLM) -> Any:
    """transformers' ESM with rotary positions and the same weights, its feed-forward parts replaced."""
    from transformers import EsmConfig, EsmForMaskedLM

    theirs = EsmForMaskedLM(
        EsmConfig(
            **SIZES,
            pad_token_id=1,
            mask_token_id=2,
            position_embedding_type="rotary",
            token_dropout=False,
            emb_layer_norm_before=False,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            max_position_embeddings=64,
            layer_norm_eps=1e-12,
            tie_word_embeddings=False,
        )
    ).eval()
    weights = ours.state_dict()
    for number, layer in enumerate(theirs.esm.encoder.layer):
        layer.intermediate = _Glu(weights.pop(f"esm.encoder.layer.{number}.intermediate.dense.weight"))
        nn.init.zeros_(layer.output.dense.bias)
    weights["lm_head.decoder.bias"] = weights["lm_head.bias"]  # transformers 5 has the bias there
    report = theirs.load_state_dict(weights, strict=False)
    assert {key.rpartition(".")[2] for key in report.unexpected_keys} <= {"bias"}
    assert all(".output.dense.bias" in key or "position" in key or "contact" in key or "inv_freq" in key
               or key == "lm_head.bias" for key in report.missing_keys), report.missing_keys  # fmt: skip
    return theirs


def test_it_computes_what_esm_with_a_gated_feed_forward_part_computes(
    network: NucleotideTransformerForMaskedLM, rows: list[list[int]]
) -> None:
    theirs = esm_with_glu(network)
    states = network.packed_states(*packed(rows)).split([len(row) for row in rows])
    for row, found in zip(rows, states, strict=True):
        with torch.no_grad():
            expected = theirs(input_ids=torch.tensor([row]), output_hidden_states=True)
            assert torch.allclose(found, expected.hidden_states[-1][0], atol=1e-5)
            assert torch.allclose(network.head(found), expected.logits[0], atol=1e-5)
            every = network(torch.tensor([row]), output_hidden_states=True).hidden_states
        for ours, its in zip(every, expected.hidden_states, strict=True):
            assert torch.allclose(ours, its, atol=1e-5)


@torch.no_grad()
def test_padded_and_packed_are_one_function(network: NucleotideTransformerForMaskedLM, rows: list[list[int]]) -> None:
    longest = max(map(len, rows))
    ids = torch.tensor([row + [1] * (longest - len(row)) for row in rows])
    logits = network(ids, attention_mask=(ids != 1).long()).logits
    expected = network.head(network.packed_states(*packed(rows)))
    assert torch.allclose(logits[ids != 1], expected, atol=1e-5)
    assert not logits[ids == 1].any()


@torch.no_grad()
def test_asked_places_only(network: NucleotideTransformerForMaskedLM, rows: list[list[int]]) -> None:
    asked = torch.tensor([2, 0, 19])
    whole = network.packed_states(*packed(rows))
    assert torch.allclose(network.packed_states(*packed(rows), asked=asked), whole[asked], atol=1e-6)


def test_it_has_the_weights_of_the_released_model_of_50_million() -> None:
    """55,904,972 are published; two parts of them are read by nothing: learned positions, and a head for contacts."""
    with torch.device("meta"):
        made = NucleotideTransformerForMaskedLM(NucleotideTransformerConfig())
    unread = 2050 * 512 + (12 * 16 + 1)
    assert sum(parameter.numel() for parameter in made.parameters()) + unread == 55_904_972


def test_it_is_saved_and_found_by_transformers(network: NucleotideTransformerForMaskedLM, tmp_path: Path) -> None:
    from transformers import AutoModel, AutoModelForMaskedLM

    network.save_pretrained(tmp_path)
    ids = torch.tensor([[3, 5, 9]])
    with torch.no_grad():
        again = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
        assert torch.equal(again(ids).logits, network(ids).logits)
        body = AutoModel.from_pretrained(tmp_path).eval()
        assert isinstance(body, NucleotideTransformerModel)
        assert torch.equal(body(ids).last_hidden_state, network.esm(ids).last_hidden_state)


def test_the_classifier_reads_the_first_token_and_learns() -> None:
    made = spread(NucleotideTransformerForSequenceClassification(NucleotideTransformerConfig(**SIZES, num_labels=3)))
    ids = torch.tensor([[3, 5, 9, 7], [3, 8, 1, 1]])
    out = made(ids, attention_mask=(ids != 1).long(), labels=torch.tensor([0, 2]))
    first = made.esm(ids, attention_mask=(ids != 1).long()).last_hidden_state[:, 0]
    assert torch.allclose(out.logits, made.classifier.out_proj(torch.tanh(made.classifier.dense(first))), atol=1e-6)
    out.loss.backward()
    assert made.esm.encoder.layer[0].intermediate.dense.weight.grad.abs().sum() > 0


def test_sizes_that_make_no_network_are_refused() -> None:
    with pytest.raises(UsageError, match="heads"):
        NucleotideTransformerConfig(hidden_size=10, num_attention_heads=3)
    with pytest.raises(UsageError, match="even"):
        NucleotideTransformerConfig(hidden_size=9, num_attention_heads=3)


RELEASED: dict[str, Any] = {
    "add_bias_fnn": False, "attention_probs_dropout_prob": 0.0, "emb_layer_norm_before": False, "hidden_size": 1024,
    "hidden_dropout_prob": 0.0, "initializer_range": 0.02, "intermediate_size": 4096, "layer_norm_eps": 1e-12,
    "mask_token_id": 2, "max_position_embeddings": 2050, "model_type": "esm", "num_attention_heads": 16,
    "num_hidden_layers": 29, "pad_token_id": 1, "position_embedding_type": "rotary", "tie_word_embeddings": False,
    "token_dropout": False, "vocab_size": 4107,
}  # fmt: skip
"""What the published config.json of the model of 500 million weights says."""


def test_a_released_configuration_is_recognised_and_read() -> None:
    from glmbench.models.huggingface.families import recognise

    family = recognise(RELEASED)
    assert family is not None
    assert recognise({key: value for key, value in RELEASED.items() if key != "model_type"}) is family
    assert recognise({key: value for key, value in RELEASED.items() if key != "add_bias_fnn"}) is not family
    config = family.make_config(RELEASED)
    assert (config.num_hidden_layers, config.hidden_size, config.max_position_embeddings) == (29, 1024, 2048)
    assert not config.tie_word_embeddings
    with pytest.raises(Unsupported, match="token_dropout"):
        family.make_config(RELEASED | {"token_dropout": True})


def test_weights_that_nothing_reads_are_known_by_name() -> None:
    from glmbench.models.huggingface.families.nucleotide_transformer import NUCLEOTIDE_TRANSFORMER as FAMILY

    unread = ["embeddings.position_embeddings.weight", "embeddings.position_ids", "contact_head.regression.weight"]
    unread.append("encoder.layer.0.attention.self.rotary_embeddings.inv_freq")
    assert [FAMILY.rename(f"esm.{name}") for name in unread] == [None] * 4
    assert FAMILY.rename("lm_head.bias") == "lm_head.bias"


def padded(rows: list[list[int]], *, left: bool = False) -> tuple[Tensor, Tensor]:
    """Ids and their mask; the padding has an ordinary token, to be ignored."""
    longest = max(map(len, rows))
    fill = [[9] * (longest - len(row)) for row in rows]
    both = [empty + row if left else row + empty for row, empty in zip(rows, fill, strict=True)]
    real = [[0] * len(empty) + [1] * len(row) for row, empty in zip(rows, fill, strict=True)]
    mask = torch.tensor(real)
    return torch.tensor(both), mask if left else mask.flip(1)


@pytest.fixture(scope="module")
def classifier() -> Any:
    return spread(NucleotideTransformerForSequenceClassification(NucleotideTransformerConfig(**SIZES, num_labels=3)))


@pytest.mark.parametrize("left", [False, True])
def test_the_first_token_alone_gives_the_scores_and_gradients_of_all(
    left: bool, classifier: Any, rows: list[list[int]]
) -> None:
    ids, mask = padded(rows, left=left)
    found = []
    for every in (False, True):
        classifier.zero_grad(set_to_none=True)
        scores = classifier(ids, mask, output_hidden_states=every).logits
        (scores * torch.arange(1.0, scores.numel() + 1).view_as(scores)).sum().backward()
        named = classifier.named_parameters()
        found.append((scores.detach(), {name: weight.grad for name, weight in named if weight.grad is not None}))
    (first, of_first), (whole, of_whole) = found
    torch.testing.assert_close(first, whole, atol=1e-5, rtol=1e-5)
    assert of_first.keys() == of_whole.keys()
    for name, gradient in of_whole.items():
        torch.testing.assert_close(of_first[name], gradient, atol=1e-3, rtol=1e-3)
    assert left or (of_whole["esm.embeddings.word_embeddings.weight"].abs().sum(1) > 0).sum() > 10


@torch.no_grad()
def test_scores_are_those_of_each_row_alone_by_the_head_of_transformers(classifier: Any, rows: list[list[int]]) -> None:
    from transformers import EsmConfig
    from transformers.models.esm.modeling_esm import EsmClassificationHead

    head = EsmClassificationHead(EsmConfig(**SIZES, pad_token_id=1, num_labels=3)).eval()
    head.load_state_dict(classifier.classifier.state_dict())
    together = classifier(*padded(rows)).logits
    for row, found in zip(rows, together, strict=True):
        states = classifier.esm(torch.tensor([row])).last_hidden_state
        torch.testing.assert_close(found, head(states)[0], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_last_layer_is_computed_for_the_first_token_alone(classifier: Any, rows: list[list[int]]) -> None:
    widths: list[int] = []
    hooks = [
        layer.output.register_forward_hook(lambda module, inputs, output: widths.append(len(output)))
        for layer in classifier.esm.encoder.layer
    ]
    tokens = sum(map(len, rows))
    classifier(*padded(rows))
    classifier(*padded(rows, left=True))
    for hook in hooks:
        hook.remove()
    assert widths == [tokens, tokens, len(rows), tokens, tokens, tokens]
