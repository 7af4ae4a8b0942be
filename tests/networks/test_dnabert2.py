"""DNABERT-2's encoder against the same function written out on padded rows, and against its published counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from glmbench.errors import Unsupported, UsageError
from glmbench.networks.alibi import alibi_slopes
from glmbench.networks.dnabert2 import (
    DNABERT2ForMaskedLM,
    DNABERT2ForSequenceClassification,
    DNABERT2Model,
)
from glmbench.networks.dnabert2_config import DNABERT2Config
from glmbench.networks.packing import Packing

TINY: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 20,
}
LENGTHS = (5, 11, 1, 11, 8)


@pytest.fixture(autouse=True)
def _one_thread_and_the_same_weights() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def rough(network: Any) -> Any:
    """The network with weights large enough that every part matters."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return network.eval()


def packed_and_padded(lengths: tuple[int, ...] = LENGTHS) -> tuple[Tensor, Packing, Tensor, Tensor]:
    """The same sequences packed, and as padded rows with their mask; padding is an ordinary token, to be ignored."""
    torch.manual_seed(2)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    ids = torch.randint(5, 40, (sum(lengths),))
    rows = torch.full((len(lengths), max(lengths)), 17)
    mask = torch.zeros_like(rows)
    for row, length in enumerate(lengths):
        rows[row, :length] = ids[offsets[row] : offsets[row + 1]]
        mask[row, :length] = 1
    return ids, Packing.from_offsets(offsets), rows, mask


def written_out(weights: dict[str, Tensor], ids: Tensor, mask: Tensor, segments: Tensor, heads: int) -> list[Tensor]:
    """States of embeddings and layers, (batch, length, dim): dense bias, plain products, from the specification."""

    def linear(x: Tensor, name: str) -> Tensor:
        bias = weights.get(f"{name}.bias")
        return x @ weights[f"{name}.weight"].T + (0 if bias is None else bias)

    def norm(x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-12).sqrt()
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    batch, length = ids.shape
    place = torch.arange(length)
    bias = -torch.tensor(alibi_slopes(heads))[:, None, None] * (place[:, None] - place[None]).abs()
    bias = bias + (1 - mask[:, None, None].float()) * -1e9
    embedded = weights["embeddings.word_embeddings.weight"][ids]
    embedded = embedded + weights["embeddings.token_type_embeddings.weight"][segments]
    x = norm(embedded, "embeddings.LayerNorm")
    states = [x]
    for layer in range(TINY["num_hidden_layers"]):
        at = f"encoder.layer.{layer}"
        q, k, v = (
            part.view(batch, length, heads, -1).transpose(1, 2)
            for part in linear(x, f"{at}.attention.self.Wqkv").chunk(3, -1)
        )
        scores = (q @ k.transpose(2, 3) / q.shape[-1] ** 0.5 + bias).softmax(-1)
        mixed = (scores @ v).transpose(1, 2).reshape(batch, length, -1)
        x = norm(x + linear(mixed, f"{at}.attention.output.dense"), f"{at}.attention.output.LayerNorm")
        gate, value = linear(x, f"{at}.mlp.gated_layers").chunk(2, -1)
        gelu = gate * 0.5 * (1 + torch.erf(gate / 2**0.5))
        x = norm(x + linear(gelu * value, f"{at}.mlp.wo"), f"{at}.mlp.layernorm")
        states.append(x)
    return states


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_published_sizes_have_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        network = DNABERT2ForMaskedLM(DNABERT2Config())
        classifier = DNABERT2ForSequenceClassification(DNABERT2Config())
    assert count(network) == 117_074_176
    assert count(network.bert) == 116_477_952
    assert count(network.bert.embeddings) == 3_148_800
    assert {count(layer) for layer in network.bert.encoder.layer} == {9_444_096}
    assert count(network.cls) - network.cls.predictions.decoder.weight.numel() == 596_224
    assert count(classifier) == 117_070_082


def test_parameters_are_named_as_in_the_released_checkpoint() -> None:
    names = set(DNABERT2ForMaskedLM(DNABERT2Config(**TINY)).state_dict())
    layer = {name.removeprefix("bert.encoder.layer.1.") for name in names if name.startswith("bert.encoder.layer.1.")}
    assert layer == {
        "attention.self.Wqkv.weight", "attention.self.Wqkv.bias",
        "attention.output.dense.weight", "attention.output.dense.bias",
        "attention.output.LayerNorm.weight", "attention.output.LayerNorm.bias",
        "mlp.gated_layers.weight", "mlp.wo.weight", "mlp.wo.bias", "mlp.layernorm.weight", "mlp.layernorm.bias",
    }  # fmt: skip
    assert {name for name in names if ".layer." not in name} == {
        "bert.embeddings.word_embeddings.weight", "bert.embeddings.token_type_embeddings.weight",
        "bert.embeddings.LayerNorm.weight", "bert.embeddings.LayerNorm.bias",
        "cls.predictions.transform.dense.weight", "cls.predictions.transform.dense.bias",
        "cls.predictions.transform.LayerNorm.weight", "cls.predictions.transform.LayerNorm.bias",
        "cls.predictions.decoder.weight", "cls.predictions.decoder.bias",
    }  # fmt: skip
    classifier = set(DNABERT2ForSequenceClassification(DNABERT2Config(**TINY)).state_dict())
    assert {name for name in classifier if not name.startswith(("bert.enc", "bert.emb"))} == {
        "bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias",
    }  # fmt: skip


@torch.no_grad()
def test_packed_and_padded_equal_the_function_written_out() -> None:
    network = rough(DNABERT2ForMaskedLM(DNABERT2Config(**TINY)))
    ids, packing, rows, mask = packed_and_padded()
    segments = torch.zeros_like(rows)
    expected = written_out(network.bert.state_dict(), rows, mask, segments, heads=3)
    output = network(rows, mask, output_hidden_states=True)
    for ours, theirs in zip(output.hidden_states, expected, strict=True):
        torch.testing.assert_close(ours, theirs * mask[:, :, None], atol=1e-5, rtol=1e-5)
    states = network.packed_states(ids, packing)
    torch.testing.assert_close(states, expected[-1][mask.bool()], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(network.head(states), output.logits[mask.bool()], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_segments_are_added() -> None:
    network = rough(DNABERT2Model(DNABERT2Config(**TINY)))
    _, _, rows, mask = packed_and_padded()
    segments = (torch.arange(rows.shape[1]) > 3).long().expand_as(rows)
    expected = written_out(network.state_dict(), rows, mask, segments, heads=3)[-1]
    ours = network(rows, mask, segments).last_hidden_state
    torch.testing.assert_close(ours, expected * mask[:, :, None], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_no_sequence_sees_another_or_its_padding() -> None:
    network = rough(DNABERT2ForMaskedLM(DNABERT2Config(**TINY)))
    ids, packing, _, _ = packed_and_padded()
    whole = network.packed_states(ids, packing)
    for start, length in zip(packing.offsets.tolist(), LENGTHS, strict=False):
        alone = network(ids[None, start : start + length], output_hidden_states=True).hidden_states[-1][0]
        torch.testing.assert_close(whole[start : start + length], alone, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_padding_on_the_left_gives_the_same_states() -> None:
    network = rough(DNABERT2Model(DNABERT2Config(**TINY)))
    _, _, rows, mask = packed_and_padded((4, 9))
    right = network(rows, mask).last_hidden_state[0, :4]
    left = network(rows.roll(5, dims=1), mask.roll(5, dims=1)).last_hidden_state[0, 5:]
    torch.testing.assert_close(left, right)


def test_the_loss_is_over_labelled_tokens_alone() -> None:
    network = rough(DNABERT2ForMaskedLM(DNABERT2Config(**TINY)))
    _, _, rows, mask = packed_and_padded()
    labels = torch.full_like(rows, -100)
    labels[1, 3], labels[4, 0] = 0, 9  # id 0 is a label like any other
    output = network(rows, mask, labels=labels)
    log_p = output.logits.log_softmax(-1)
    torch.testing.assert_close(output.loss, -(log_p[1, 3, 0] + log_p[4, 0, 9]) / 2)
    assert network(rows, mask, labels=labels, return_dict=False)[0].equal(output.loss)


def test_the_decoder_is_the_embedding() -> None:
    network = DNABERT2ForMaskedLM(DNABERT2Config(**TINY))
    assert network.cls.predictions.decoder.weight is network.bert.embeddings.word_embeddings.weight


@pytest.mark.parametrize("pad", [3, 0])
def test_the_padding_token_starts_at_zero_and_gets_no_gradient_as_input(pad: int) -> None:
    network = DNABERT2Model(DNABERT2Config(**TINY, pad_token_id=pad))
    assert network.embeddings.word_embeddings.weight.abs().sum(1).nonzero()[:, 0].tolist() == [
        token for token in range(40) if token != pad
    ]
    network(torch.arange(6)[None]).last_hidden_state.pow(3).sum().backward()
    touched = network.embeddings.word_embeddings.weight.grad.abs().sum(1).nonzero()[:, 0].tolist()
    assert touched == [token for token in range(6) if token != pad]


@pytest.mark.parametrize(
    ("outputs", "labels"),
    [(1, torch.rand(5)), (3, torch.tensor([0, 1, 2, 0, 1])), (3, torch.randint(0, 2, (5, 3)).float())],
    ids=["regression", "classes", "yes or no"],
)
def test_classification_learns_every_kind_of_label(outputs: int, labels: Tensor) -> None:
    network = rough(DNABERT2ForSequenceClassification(DNABERT2Config(**TINY, num_labels=outputs)))
    _, _, rows, mask = packed_and_padded()
    output = network(rows, mask, labels=labels)
    first = network.bert(rows, mask).last_hidden_state[:, 0]
    pooled = torch.tanh(network.bert.pooler.dense(first))
    torch.testing.assert_close(output.logits, network.classifier(pooled))
    output.loss.backward()
    assert network.bert.encoder.layer[0].attention.self.Wqkv.weight.grad.abs().sum() > 0
    if outputs == 1:
        torch.testing.assert_close(output.loss, (output.logits[:, 0] - labels).pow(2).mean())


def test_dropout_is_where_it_belongs_and_off_in_evaluation() -> None:
    network = rough(DNABERT2ForMaskedLM(DNABERT2Config(**TINY, hidden_dropout_prob=0.5)))
    ids, packing, _, _ = packed_and_padded()
    assert torch.equal(network.packed_states(ids, packing), network.packed_states(ids, packing))
    places = [name for name, module in network.named_modules() if isinstance(module, torch.nn.Dropout)]
    assert [name for name in places if ".layer." not in name] == ["bert.embeddings.dropout"]
    assert [name.removeprefix("bert.encoder.layer.2.") for name in places if ".layer.2." in name] == [
        "attention.output.dropout",
        "mlp.dropout",
    ]
    network.train()
    assert not torch.equal(network.packed_states(ids, packing), network.packed_states(ids, packing))


def test_bf16_keeps_states_and_logits_in_float32() -> None:
    network = rough(DNABERT2ForMaskedLM(DNABERT2Config(**TINY)))
    ids, packing, _, _ = packed_and_padded()
    exact = network.head(network.packed_states(ids, packing))
    with torch.autocast("cpu", torch.bfloat16):
        states = network.packed_states(ids, packing)
        logits = network.head(states)
    assert states.dtype == logits.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(logits, exact).mean() > 0.999
    logits.sum().backward()


@torch.no_grad()
def test_a_saved_network_comes_back(tmp_path: Path) -> None:
    network = rough(DNABERT2ForMaskedLM(DNABERT2Config(**TINY, pad_token_id=0)))
    network.save_pretrained(tmp_path)
    back = DNABERT2ForMaskedLM.from_pretrained(tmp_path).eval()
    ids, packing, _, _ = packed_and_padded()
    assert torch.equal(back.packed_states(ids, packing), network.packed_states(ids, packing))
    assert torch.equal(back.head(back.packed_states(ids, packing)), network.head(network.packed_states(ids, packing)))
    assert back.config.to_dict() == network.config.to_dict() | {"_name_or_path": str(tmp_path)}


def test_a_fresh_network_has_bert_s_spread() -> None:
    torch.manual_seed(0)
    network = DNABERT2ForMaskedLM(DNABERT2Config(vocab_size=2000, num_hidden_layers=1))
    for name, parameter in network.named_parameters():
        if parameter.dim() == 2 and parameter.numel() > 10_000:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.03), name
        elif "norm" in name.lower() and name.endswith("weight"):
            assert torch.equal(parameter, torch.ones_like(parameter)), name
        elif name.endswith("bias"):
            assert not parameter.any(), name


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="7 heads of 24 features"):
        DNABERT2Config(**TINY | {"num_attention_heads": 7})
    network = DNABERT2Model(DNABERT2Config(**TINY, attention_backend="flash"))
    with pytest.raises(Unsupported, match="attention_backend flash: needs a CUDA device"):
        network(torch.ones(1, 4, dtype=torch.int64))


@pytest.mark.parametrize("asked", [{"inputs_embeds": torch.zeros(1, 3, 8)}, {"output_attentions": True}])
def test_what_packed_attention_cannot_give_is_refused_and_what_peft_passes_is_taken(asked: dict[str, Any]) -> None:
    sizes: dict[str, Any] = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    config = DNABERT2Config(vocab_size=9, num_labels=2, **sizes)
    network = DNABERT2ForSequenceClassification(config).eval()
    ids = torch.tensor([[1, 5, 2]])
    assert network(ids, inputs_embeds=None, output_attentions=None).logits.shape == (1, 2)
    with pytest.raises(Unsupported):
        network(ids, **asked)


@torch.no_grad()
def test_states_of_the_tokens_asked_about_are_those_of_all() -> None:
    network = rough(DNABERT2ForMaskedLM(DNABERT2Config(**TINY)))
    ids, packing, _, _ = packed_and_padded()
    asked = torch.tensor([0, 7, 3, len(ids) - 1])
    whole = network.packed_states(ids, packing)
    torch.testing.assert_close(network.packed_states(ids, packing, asked), whole[asked], atol=1e-5, rtol=1e-5)


def classifier() -> Any:
    return rough(DNABERT2ForSequenceClassification(DNABERT2Config(**TINY, num_labels=3)))


def scores_and_gradients(network: Any, *inputs: Tensor | None, **asked: bool) -> tuple[Tensor, dict[str, Tensor]]:
    network.zero_grad(set_to_none=True)
    scores = network(*inputs, **asked).logits
    (scores * torch.arange(1.0, scores.numel() + 1).view_as(scores)).sum().backward()
    found = {name: weight.grad.clone() for name, weight in network.named_parameters() if weight.grad is not None}
    return scores.detach(), found


@pytest.mark.parametrize("segments", [False, True])
@pytest.mark.parametrize("side", ["none", "right", "left", "either"])
def test_the_first_token_alone_gives_the_scores_and_gradients_of_all(side: str, segments: bool) -> None:
    network = classifier()
    _, _, rows, mask = packed_and_padded()
    if side == "left":
        rows, mask = rows.flip(1), mask.flip(1)
    elif side == "either":
        rows[0], mask[0] = rows[0].roll(3), mask[0].roll(3)
    given = None if side == "none" else mask
    kinds = (torch.arange(rows.shape[1]) > 3).long().expand_as(rows) if segments else None
    first, of_first = scores_and_gradients(network, rows, given, kinds)
    every, of_every = scores_and_gradients(network, rows, given, kinds, output_hidden_states=True)
    torch.testing.assert_close(first, every, atol=1e-5, rtol=1e-5)
    assert of_first.keys() == of_every.keys()
    for name, gradient in of_every.items():
        torch.testing.assert_close(
            of_first[name], gradient, atol=1e-4, rtol=1e-3, msg=lambda text, name=name: name + text
        )
    assert of_every["bert.embeddings.word_embeddings.weight"].any()


@torch.no_grad()
def test_scores_are_those_of_each_row_alone() -> None:
    network = classifier()
    _, _, rows, mask = packed_and_padded()
    together = network(rows, mask).logits
    for row, length in enumerate(LENGTHS):
        torch.testing.assert_close(together[row], network(rows[row : row + 1, :length]).logits[0], atol=1e-5, rtol=1e-5)


def test_the_last_layer_is_computed_for_the_first_token_alone() -> None:
    network = classifier()
    _, _, rows, mask = packed_and_padded()
    widths: list[int] = []
    for layer in network.bert.encoder.layer:
        layer.mlp.register_forward_hook(lambda module, inputs, output: widths.append(len(output)))
    network(rows, mask)
    assert widths == [sum(LENGTHS), sum(LENGTHS), len(LENGTHS)]
    network(rows, mask, output_hidden_states=True)
    network(rows.flip(1), mask.flip(1))
    assert widths[3:] == [sum(LENGTHS)] * 6


@torch.no_grad()
def test_a_row_of_padding_alone_has_scores_and_the_others_keep_theirs() -> None:
    network = classifier()
    _, _, rows, mask = packed_and_padded()
    whole = network(rows, mask).logits
    mask[2] = 0
    got = network(rows, mask).logits
    torch.testing.assert_close(got[[0, 1, 3, 4]], whole[[0, 1, 3, 4]], atol=1e-5, rtol=1e-5)
    assert torch.isfinite(got).all()
