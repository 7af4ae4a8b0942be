from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from glmbench.errors import Unsupported, UsageError
from glmbench.networks.gpn import GPNForMaskedLM
from glmbench.networks.gpn_config import GPNConfig
from glmbench.networks.packing import Packing


@pytest.fixture(scope="module")
def network() -> GPNForMaskedLM:
    torch.manual_seed(0)
    made = GPNForMaskedLM(GPNConfig(hidden_size=10, num_hidden_layers=3, kernel_size=3, dilation_cycle=2))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return made.eval()


ROWS = [[3, 4, 5, 6, 1, 3, 3], [5], [6, 3, 3, 4], [4, 4, 5, 1]]


def packed() -> tuple[Tensor, Packing]:
    lengths = tuple(map(len, ROWS))
    offsets = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    return torch.tensor([token for row in ROWS for token in row]), Packing(lengths, offsets)


def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def norm(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scale = (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return centred / scale * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def plain_logits(network: GPNForMaskedLM, ids: list[int], dilations: list[int]) -> Tensor:
    """The same by explicit sums over places, the ends seen as zeros."""
    weights = network.state_dict()
    x = torch.eye(network.config.hidden_size)[ids]
    for number, dilation in enumerate(dilations):
        name = f"model.encoder.{number}"
        convolved = weights[f"{name}.conv.1.bias"].repeat(len(ids), 1)
        for place in range(len(ids)):
            for tap in (-1, 0, 1):
                at = place + tap * dilation
                if 0 <= at < len(ids):
                    convolved[place] += weights[f"{name}.conv.1.weight"][:, :, tap + 1] @ x[at]
        x = x + norm(gelu(convolved), weights, f"{name}.conv.4")
        wide = x @ weights[f"{name}.ffn.0.weight"].T + weights[f"{name}.ffn.0.bias"]
        x = x + norm(gelu(wide), weights, f"{name}.ffn.2")
    x = norm(gelu(x @ weights["cls.decoder.0.weight"].T + weights["cls.decoder.0.bias"]), weights, "cls.decoder.2")
    return x @ weights["cls.decoder.3.weight"].T + weights["cls.decoder.3.bias"]


@torch.no_grad()
def test_it_computes_what_a_plain_statement_says(network: GPNForMaskedLM) -> None:
    found = network.head(network.packed_states(*packed())).split([len(row) for row in ROWS])
    for row, logits in zip(ROWS, found, strict=True):
        assert torch.allclose(logits, plain_logits(network, row, [1, 2, 1]), atol=1e-5)


@torch.no_grad()
def test_padding_and_the_batch_make_no_difference(network: GPNForMaskedLM) -> None:
    ids = torch.tensor([row + [0] * (7 - len(row)) for row in ROWS])
    mask = torch.tensor([[1] * len(row) + [0] * (7 - len(row)) for row in ROWS])
    whole = network.packed_states(*packed())
    assert torch.allclose(network(ids, attention_mask=mask).logits[mask != 0], network.head(whole), atol=1e-5)
    asked = torch.tensor([8, 0])
    assert torch.allclose(network.packed_states(*packed(), asked=asked), whole[asked], atol=1e-6)
    every = network(torch.tensor([ROWS[0]]), output_hidden_states=True).hidden_states
    assert len(every) == 4
    assert torch.equal(every[0][0].argmax(-1), torch.tensor(ROWS[0]))
    assert torch.allclose(every[-1][0], whole[:7], atol=1e-6)


def test_dilations_of_the_released_model() -> None:
    assert [GPNConfig().dilation(layer) for layer in range(8)] == [1, 2, 4, 8, 16, 32, 1, 2]


def test_it_is_saved_and_found_by_transformers(network: GPNForMaskedLM, tmp_path: Path) -> None:
    from transformers import AutoModelForMaskedLM

    network.save_pretrained(tmp_path)
    ids = torch.tensor([ROWS[0]])
    with torch.no_grad():
        again = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
        assert torch.allclose(again(ids).logits, network(ids).logits, atol=1e-5)


RELEASED: dict[str, Any] = {
    "architectures": ["ConvNetForMaskedLM"], "dilation_cycle": 6, "dilation_double_every": 1, "dilation_max": 32,
    "hidden_size": 512, "initializer_range": 0.02, "kernel_size": 9, "model_type": "ConvNet", "n_layers": 25,
    "vocab_size": 7,
}  # fmt: skip
"""What the published config.json of gpn-brassicales says."""


def test_a_released_configuration_is_recognised_and_read() -> None:
    from glmbench.models.huggingface.families import recognise

    family = recognise(RELEASED)
    assert family is not None
    config = family.make_config(RELEASED)
    assert (config.num_hidden_layers, config.hidden_size, config.vocab_size) == (25, 512, 7)
    with pytest.raises(Unsupported, match="5 further features"):
        family.make_config(RELEASED | {"n_aux_features": 5})
    with pytest.raises(UsageError, match="odd kernel"):
        GPNConfig(kernel_size=4)
