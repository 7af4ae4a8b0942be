from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig

from glmbench.errors import DataError, Unsupported, UsageError
from glmbench.networks.masked_lm import any_backend, load_masked_lm, masked_lm_config, new_masked_lm, set_backend
from glmbench.networks.packing import Packing
from glmbench.networks.sizes import Kind, encoder_sizes

KINDS: tuple[Kind, ...] = ("dnabert2", "modern", "bert")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def tiny(kind: Kind, **changes: Any) -> Any:
    return masked_lm_config(encoder_sizes(kind, 1, 30), pad=3, **changes)


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_decides_the_weights_and_nothing_else(kind: Kind) -> None:
    torch.manual_seed(5)
    first = new_masked_lm(tiny(kind), seed=1)
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), after)
    again, other = (new_masked_lm(tiny(kind), seed=seed) for seed in (1, 2))
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
    assert not all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in first.state_dict().items())


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_gives_the_packed_network_back(kind: Kind, tmp_path: Path) -> None:
    network = new_masked_lm(tiny(kind), seed=1).eval()
    network.save_pretrained(tmp_path)
    back = load_masked_lm(tmp_path)
    ids, packing = torch.arange(5, 17), Packing.from_offsets(np.array([0, 4, 12]))
    assert torch.equal(back.head(back.packed_states(ids, packing)), network.head(network.packed_states(ids, packing)))
    assert not back.training


@pytest.mark.parametrize("kind", KINDS)
def test_the_backend_can_be_chosen(kind: Kind) -> None:
    network = new_masked_lm(tiny(kind), seed=0, attention_backend="flash")
    ids, packing = torch.arange(5, 17), Packing.from_offsets(np.array([0, 4, 12]))
    with pytest.raises(Unsupported, match="attention_backend flash: needs a CUDA device"):
        network.packed_states(ids, packing)
    set_backend(network, "auto").packed_states(ids, packing)


@pytest.mark.parametrize("kind", KINDS)
def test_a_chosen_backend_is_left_aside_for_a_while(kind: Kind, tmp_path: Path) -> None:
    network = new_masked_lm(tiny(kind), seed=0, attention_backend="varlen").eval()
    ids, packing = torch.arange(5, 17), Packing.from_offsets(np.array([0, 4, 12]))
    with any_backend(network):
        network.packed_states(ids, packing)
        network.save_pretrained(tmp_path)
    with pytest.raises(Unsupported, match="attention_backend varlen: needs a CUDA device"):
        network.packed_states(ids, packing)
    assert AutoConfig.from_pretrained(tmp_path).to_dict().get("attention_backend", "auto") == "auto"
    with any_backend(torch.nn.Linear(1, 1)):
        pass


def test_weights_that_do_not_fit_are_an_error(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    new_masked_lm(tiny("modern"), seed=1).save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    weights.pop("model.final_norm.weight")
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"model\.final_norm\.weight"):
        load_masked_lm(tmp_path)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError, match="cannot be loaded"):
        load_masked_lm(tmp_path)


def test_another_architecture_is_unsupported(tmp_path: Path) -> None:
    from transformers import GPT2Config

    GPT2Config().save_pretrained(tmp_path)
    with pytest.raises(Unsupported, match=r"holds a gpt2; .* glmbench-dnabert2, glmbench-modern, bert"):
        load_masked_lm(tmp_path)


def test_fields_change_a_configuration_and_unknown_ones_are_refused() -> None:
    config = tiny("modern", positions="alibi", hidden_size=32)
    assert (config.positions, config.hidden_size, config.pad_token_id) == ("alibi", 32, 3)
    with pytest.raises(UsageError, match=r"layers: no fields of ModernConfig; it has .*num_hidden_layers"):
        tiny("modern", layers=3)
