"""BERT over packed tokens against transformers' own forward pass of the same weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor

from glmbench.errors import Unsupported
from glmbench.networks.bert import BertForMaskedLM, BertForSequenceClassification
from glmbench.networks.packing import Packing

TINY: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 16,
}


@pytest.fixture
def network() -> BertForMaskedLM:
    torch.set_num_threads(1)
    torch.manual_seed(1)
    bert = BertForMaskedLM(transformers.BertConfig(**TINY))
    with torch.no_grad():
        for parameter in bert.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return bert.eval()


def packed(*lengths: int) -> tuple[Tensor, Packing]:
    torch.manual_seed(2)
    return torch.randint(5, 40, (sum(lengths),)), Packing.from_offsets(np.concatenate(([0], np.cumsum(lengths))))


@torch.no_grad()
@pytest.mark.parametrize("lengths", [(16, 16, 16), (3, 16, 1, 16, 9)])
def test_packed_states_and_logits_are_those_of_transformers(network: BertForMaskedLM, lengths: tuple[int, ...]) -> None:
    ids, packing = packed(*lengths)
    states = network.packed_states(ids, packing)
    logits = network.head(states)
    for start, length in zip(packing.offsets.tolist(), lengths, strict=False):
        row = slice(start, start + length)
        expected = network(ids[None, row], output_hidden_states=True)
        torch.testing.assert_close(states[row], expected.hidden_states[-1][0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(logits[row], expected.logits[0], atol=1e-5, rtol=1e-5)


def test_gradients_are_those_of_transformers(network: BertForMaskedLM) -> None:
    ids, packing = packed(7, 7, 7)
    network.head(network.packed_states(ids, packing)).pow(2).mean().backward()
    ours = {name: parameter.grad for name, parameter in network.named_parameters()}
    network.zero_grad(set_to_none=True)
    network(ids.view(3, 7)).logits.pow(2).mean().backward()
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(ours[name], parameter.grad, atol=1e-5, rtol=1e-3)


@torch.no_grad()
def test_it_is_saved_as_plain_bert(network: BertForMaskedLM, tmp_path: Path) -> None:
    network.attention_backend = "sdpa"
    network.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["BertForMaskedLM"]
    assert "attention_backend" not in config
    plain = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    assert type(plain) is transformers.BertForMaskedLM
    ids, _ = packed(12)
    assert torch.equal(plain(ids[None]).logits, network(ids[None]).logits)
    assert set(plain.state_dict()) == set(network.state_dict())


def test_dropout_drops_attention_weights_too() -> None:
    config = transformers.BertConfig(**TINY, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.5)
    network = BertForMaskedLM(config).train()
    ids, packing = packed(9, 4)
    assert not torch.equal(network.packed_states(ids, packing), network.packed_states(ids, packing))
    network.eval()
    assert torch.equal(network.packed_states(ids, packing), network.packed_states(ids, packing))


def test_a_sequence_beyond_the_positions_is_unsupported(network: BertForMaskedLM) -> None:
    with pytest.raises(Unsupported, match="a sequence has 17 tokens, this BERT has 16 positions"):
        network.packed_states(*packed(3, 17))


def test_bf16_gives_logits_in_float32(network: BertForMaskedLM) -> None:
    ids, packing = packed(9, 12)
    exact = network.head(network.packed_states(ids, packing))
    with torch.autocast("cpu", torch.bfloat16):
        logits = network.head(network.packed_states(ids, packing))
    assert logits.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(logits, exact).mean() > 0.999


@torch.no_grad()
def test_states_of_the_tokens_asked_about_are_those_of_all(network: BertForMaskedLM) -> None:
    ids, packing = packed(3, 16, 9)
    asked = torch.tensor([0, 7, 3, 27])
    whole = network.packed_states(ids, packing)
    torch.testing.assert_close(network.packed_states(ids, packing, asked), whole[asked], atol=1e-5, rtol=1e-5)


def classifiers() -> tuple[BertForSequenceClassification, transformers.BertForSequenceClassification]:
    """Ours and transformers' own with the same weights."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    theirs = transformers.BertForSequenceClassification(transformers.BertConfig(**TINY, num_labels=3))
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    ours = BertForSequenceClassification(theirs.config)
    ours.load_state_dict(theirs.state_dict())
    return ours.eval(), theirs.eval()


def padded(*lengths: int) -> dict[str, Tensor]:
    """Padding on the right is an ordinary token, to be ignored."""
    torch.manual_seed(2)
    ids = torch.randint(5, 40, (len(lengths), max(lengths)))
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    kinds = torch.randint(0, 2, ids.shape)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": kinds}


@pytest.mark.parametrize("given", ["all", "no types", "no mask", "ids"])
@pytest.mark.parametrize("lengths", [(16, 16, 16), (5, 16, 1, 16, 9), (7,)])
def test_scores_and_gradients_of_the_classifier_are_those_of_transformers(lengths: tuple[int, ...], given: str) -> None:
    left_out = {"no types": ("token_type_ids",), "no mask": ("attention_mask",), "all": ()}
    inputs = padded(*lengths)
    for name in left_out.get(given, ("token_type_ids", "attention_mask")):
        del inputs[name]
    ours, theirs = classifiers()
    found, wanted = ours(**inputs).logits, theirs(**inputs).logits
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
    weights = torch.arange(1.0, wanted.numel() + 1).view_as(wanted)
    (found * weights).sum().backward()
    (wanted * weights).sum().backward()
    gradients = dict(ours.named_parameters())
    for name, parameter in theirs.named_parameters():
        got = gradients[name].grad
        assert parameter.grad is not None
        torch.testing.assert_close(
            torch.zeros_like(parameter) if got is None else got, parameter.grad, atol=2e-4, rtol=1e-3
        )


def test_the_last_layer_of_the_classifier_is_computed_for_the_first_token_alone() -> None:
    ours, _ = classifiers()
    widths: list[int] = []
    layers: Any = ours.bert.encoder.layer
    for layer in layers:
        layer.output.register_forward_hook(lambda module, inputs, output: widths.append(len(output)))
    ours(**padded(5, 16, 1))
    assert widths == [22, 3]


def test_adapters_in_the_last_attention_change_nothing_else() -> None:
    """Keys of a module that is more than a linear layer are made, by that module."""
    ours, _ = classifiers()
    inputs = padded(5, 16, 1)
    wanted = ours(**inputs).logits
    attention: Any = ours.bert.encoder.layer[-1].attention.self
    attention.key = torch.nn.Sequential(attention.key)
    torch.testing.assert_close(ours(**inputs).logits, wanted, atol=1e-5, rtol=1e-4)


def test_a_classifier_refuses_a_sequence_beyond_its_positions() -> None:
    with pytest.raises(Unsupported, match="a sequence has 17 tokens, this BERT has 16 positions"):
        classifiers()[0](**padded(17, 3))


def test_dropout_of_the_classifier_is_on_while_training_alone() -> None:
    ours, _ = classifiers()
    inputs = padded(9, 4)
    assert torch.equal(ours(**inputs).logits, ours(**inputs).logits)
    ours.train()
    assert not torch.equal(ours(**inputs).logits, ours(**inputs).logits)


def test_a_classifier_in_bf16_stays_near_float32() -> None:
    ours, _ = classifiers()
    inputs = padded(9, 16, 5)
    exact = ours(**inputs).logits
    with torch.autocast("cpu", torch.bfloat16):
        scores = ours(**inputs).logits
    assert torch.nn.functional.cosine_similarity(scores.float(), exact).min() > 0.99
    scores.float().sum().backward()
    assert all(weight.grad is None or torch.isfinite(weight.grad).all() for weight in ours.parameters())
