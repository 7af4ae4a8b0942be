from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from glmbench.errors import Unsupported, UsageError
from glmbench.networks.hyenadna import (
    HyenaDNAForCausalLM,
    HyenaDNAForSequenceClassification,
    long_convolution,
)
from glmbench.networks.hyenadna_config import HyenaDNAConfig
from glmbench.networks.packing import Packing

SIZES: dict[str, Any] = {
    "hidden_size": 12, "num_hidden_layers": 2, "intermediate_size": 20, "max_position_embeddings": 40,
    "filter_order": 6, "embed_dropout": 0.0,
}  # fmt: skip


def spread(network: Any, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if not name.endswith((".z", ".freq")):
                parameter.add_(0.3 * torch.randn(parameter.shape))
    return network.eval()


@pytest.fixture(scope="module")
def network() -> HyenaDNAForCausalLM:
    made: HyenaDNAForCausalLM = spread(HyenaDNAForCausalLM(HyenaDNAConfig(**SIZES)))
    return made


@pytest.fixture
def rows() -> list[list[int]]:
    torch.manual_seed(1)
    return [[*torch.randint(7, 12, (length,)).tolist(), 1] for length in (7, 1, 12, 12, 39)]


def packed(rows: list[list[int]]) -> tuple[Tensor, Packing]:
    lengths = tuple(map(len, rows))
    offsets = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    return torch.tensor([token for row in rows for token in row]), Packing(lengths, offsets)


def norm(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    spread = (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return centred / spread * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def plain_filter(weights: dict[str, Tensor], length: int) -> Tensor:
    """Filter values (length, dim) of one layer, by the paper's words: a sine network of positions, times a window."""
    x = weights["pos_emb.z"][0]
    for number in (0, 2, 4):
        x = x @ weights[f"implicit_filter.{number}.weight"].T + weights[f"implicit_filter.{number}.bias"]
        x = torch.sin(x * weights["implicit_filter.1.freq"])
    x = x @ weights["implicit_filter.6.weight"].T
    total, dim = x.shape
    slow, fast = math.log(1e-2) / 1.5, math.log(1e-2) / 0.3
    window = torch.empty(total, dim)
    for place in range(total):
        for feature in range(dim):
            rate = abs(slow + (fast - slow) * feature / (dim - 1))
            window[place, feature] = math.exp(-place / (total - 1) * rate) + 0.05
    return (x * window)[:length]


def plain_states(network: HyenaDNAForCausalLM, ids: list[int]) -> list[Tensor]:
    """Residual streams (length, dim) after the embeddings and each layer, by sums over the past, not transforms."""
    whole = network.state_dict()
    x = whole["hyena.backbone.embeddings.word_embeddings.weight"][ids]
    states = [x]
    for number in range(network.config.num_hidden_layers):
        prefix = f"hyena.backbone.layers.{number}."
        weights = {key.removeprefix(prefix): value for key, value in whole.items() if key.startswith(prefix)}
        inner = {key.removeprefix("mixer.filter_fn."): value for key, value in weights.items() if "filter_fn." in key}
        dim, length = x.shape[1], len(ids)
        u = norm(x, weights, "norm1") @ weights["mixer.in_proj.weight"].T + weights["mixer.in_proj.bias"]
        short = torch.zeros_like(u)
        for place in range(length):
            short[place] = weights["mixer.short_filter.bias"]
            for back in range(min(3, place + 1)):
                short[place] += weights["mixer.short_filter.weight"][:, 0, 2 - back] * u[place - back]
        gate, first, value = short[:, :dim], short[:, dim : 2 * dim], short[:, 2 * dim :]
        value = value * first
        filters = plain_filter(inner, length)
        mixed = torch.zeros_like(value)
        for place in range(length):
            for back in range(place + 1):
                mixed[place] += filters[back] * value[place - back]
        mixed = (mixed + inner["bias"] * value) * gate
        x = x + mixed @ weights["mixer.out_proj.weight"].T + weights["mixer.out_proj.bias"]
        wide = norm(x, weights, "norm2") @ weights["mlp.fc1.weight"].T + weights["mlp.fc1.bias"]
        wide = 0.5 * wide * (1 + torch.tanh(math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3)))
        x = x + wide @ weights["mlp.fc2.weight"].T + weights["mlp.fc2.bias"]
        states.append(x)
    return states


@torch.no_grad()
def test_it_computes_what_a_plain_statement_says(network: HyenaDNAForCausalLM, rows: list[list[int]]) -> None:
    found = network.packed_states(*packed(rows)).split([len(row) for row in rows])
    for row, states in zip(rows, found, strict=True):
        expected = plain_states(network, row)
        last = norm(expected[-1], network.state_dict(), "hyena.backbone.ln_f")
        assert torch.allclose(states, last, atol=2e-5)
        every = network(torch.tensor([row]), output_hidden_states=True).hidden_states
        assert len(every) == len(expected)
        for ours, plain in zip(every[:-1], expected[:-1], strict=True):
            assert torch.allclose(ours[0], plain, atol=2e-5)
        assert torch.allclose(network.head(states), last @ network.lm_head.weight.T, atol=2e-5)


def test_a_long_convolution_by_hand() -> None:
    x = torch.tensor([[[1.0, 2.0, 3.0]]])
    out = long_convolution(x, torch.tensor([[1.0, 10.0, 100.0]]))
    assert torch.allclose(out, torch.tensor([[[1.0, 12.0, 123.0]]]))


@torch.no_grad()
def test_padded_on_either_side_and_packed_are_one_function(network: HyenaDNAForCausalLM, rows: list[list[int]]) -> None:
    longest = max(map(len, rows))
    expected = network.head(network.packed_states(*packed(rows)))
    for left in (True, False):
        padding = [[4] * (longest - len(row)) for row in rows]
        ids = torch.tensor([pad + row if left else row + pad for row, pad in zip(rows, padding, strict=True)])
        logits = network(ids, attention_mask=(ids != 4).long()).logits
        assert torch.allclose(logits[ids != 4], expected, atol=2e-5)


@torch.no_grad()
def test_asked_places_only_and_no_token_sees_a_later_one(network: HyenaDNAForCausalLM, rows: list[list[int]]) -> None:
    asked = torch.tensor([2, 0, 19])
    whole = network.packed_states(*packed(rows))
    assert torch.allclose(network.packed_states(*packed(rows), asked=asked), whole[asked], atol=1e-6)
    changed = [[*row[:-1], 9] for row in rows]
    again = network.packed_states(*packed(changed))
    ends = torch.tensor([len(row) for row in rows]).cumsum(0) - 1
    same = torch.ones(len(whole), dtype=torch.bool)
    same[ends] = False
    assert torch.allclose(again[same], whole[same], atol=1e-5)
    assert not torch.allclose(again[ends], whole[ends], atol=1e-2)


def test_it_has_the_weights_of_a_released_model() -> None:
    """The published file for 450,000 bases has 113 MB, and holds two tables that follow from the sizes besides."""
    config = HyenaDNAConfig(num_hidden_layers=8, max_position_embeddings=450_002)
    with torch.device("meta"):
        made = HyenaDNAForCausalLM(config)
    numbers = sum(parameter.numel() for parameter in made.parameters())
    following = 8 * (450_002 + 256)
    assert 4 * (numbers + following) / 1e6 == pytest.approx(113, abs=0.5)


def test_it_is_saved_and_found_by_transformers(network: HyenaDNAForCausalLM, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    network.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    ids = torch.tensor([[7, 9, 8, 1]])
    with torch.no_grad():
        assert torch.allclose(again(ids).logits, network(ids).logits, atol=1e-5)


@torch.no_grad()
def test_the_classifier_reads_the_last_real_token() -> None:
    made: HyenaDNAForSequenceClassification = spread(
        HyenaDNAForSequenceClassification(HyenaDNAConfig(**SIZES, num_labels=3))
    )
    ids = torch.tensor([[7, 9, 8, 1], [8, 1, 4, 4]])
    logits = made(ids, attention_mask=(ids != 4).long()).logits
    for row, found in zip(([7, 9, 8, 1], [8, 1]), logits, strict=True):
        assert torch.allclose(found, made.score(made.hyena(torch.tensor([row])).last_hidden_state[0, -1]), atol=1e-5)


def test_what_it_cannot_do_is_refused(network: HyenaDNAForCausalLM) -> None:
    with pytest.raises(Unsupported, match="41 tokens"):
        network(torch.full((1, 41), 7))
    with pytest.raises(UsageError, match="odd"):
        HyenaDNAConfig(emb_dim=4)


RELEASED: dict[str, Any] = {
    "activation_freq": 10, "d_inner": 1024, "d_model": 256, "emb_dim": 5, "embed_dropout": 0.1, "filter_order": 64,
    "hyena_dropout": 0.0, "hyena_filter_dropout": 0.0, "hyena_order": 2, "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05, "max_seq_len": 160002, "model_type": "hyenadna", "n_layer": 8, "num_inner_mlps": 2,
    "pad_token_id": 4, "pad_vocab_size_multiple": 8, "short_filter_order": 3, "tie_word_embeddings": False,
    "train_freq": True, "use_bias": True, "vocab_size": 12,
}  # fmt: skip
"""What the published config.json of the model for 160,000 bases says."""


def test_a_released_configuration_is_recognised_and_read() -> None:
    from glmbench.models.huggingface.families import recognise

    family = recognise(RELEASED)
    assert family is not None
    config = family.make_config(RELEASED)
    assert (config.num_hidden_layers, config.max_position_embeddings, config.rows) == (8, 160_002, 16)
    with pytest.raises(Unsupported, match="hyena_order"):
        family.make_config(RELEASED | {"hyena_order": 3})
    names = ["pos_emb.t", "modulation.deltas", "implicit_filter.3.freq"]
    assert [family.rename(f"hyena.backbone.layers.0.mixer.filter_fn.{name}") for name in names] == [None] * 3
    kept = "hyena.backbone.layers.0.mixer.filter_fn.implicit_filter.1.freq"
    assert family.rename(kept) == kept
