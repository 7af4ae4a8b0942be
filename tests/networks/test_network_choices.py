from __future__ import annotations

import pytest
import torch

from glmbench.errors import UsageError
from glmbench.networks.choices import NAMES, Vocabulary, make_network
from glmbench.networks.sizes import PRESETS, encoder_sizes, parameters

CHARACTERS = Vocabulary(9, pad=3, end=2, bases=(5, 6, 7, 8))
PIECES = Vocabulary(64, pad=3, end=2, bases=None)
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}


def weights(name: str, seed: int, **more: object) -> list[torch.Tensor]:
    return list(make_network(name, CHARACTERS, seed=seed, **more).state_dict().values())


@pytest.mark.parametrize("name", PRESETS)
def test_the_dial_sizes_encoders(name: str) -> None:
    network = make_network(name, PIECES, depth=2)
    assert sum(p.numel() for p in network.parameters()) == parameters(encoder_sizes(PRESETS[name].kind, 2, 64))
    assert (network.config.hidden_size, network.config.num_hidden_layers) == (128, 2)
    assert network.config.vocab_size == 64
    assert network.config.pad_token_id == 3


@pytest.mark.parametrize("name", ["dnabert2", "genomenet-lstm", "t5-small"])
def test_weights_follow_from_the_seed_and_leave_torch_alone(name: str) -> None:
    more: dict[str, object] = {"depth": 1} if name == "dnabert2" else {"sizes": T5} if name == "t5-small" else {}
    before = torch.get_rng_state()
    one, same, other = weights(name, 1, **more), weights(name, 1, **more), weights(name, 2, **more)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_sizes_go_over_presets_and_sentinels_beyond_the_vocabulary() -> None:
    assert make_network("dnabert2", PIECES, depth=1, sizes={"layer_norm_eps": 1e-6}).config.layer_norm_eps == 1e-6
    t5 = make_network("t5-small", PIECES, sizes=T5, sentinels=100)
    assert (t5.config.vocab_size, t5.config.eos_token_id, t5.config.d_model) == (164, 2, 16)
    middle = make_network("genomenet-cnn", CHARACTERS, middle=True)
    assert (middle.config.position, middle.config.base_ids) == ("middle", [5, 6, 7, 8])


@pytest.mark.parametrize(
    ("name", "vocabulary", "more", "message"),
    [
        ("gpt", PIECES, {}, "no network 'gpt'; there are dnabert2, modern, dnabert, logo, t5-small"),
        ("gpt", PIECES, {"depth": 2}, "no network 'gpt'"),
        ("t5-small", PIECES, {"depth": 2}, "has no depth to choose"),
        ("genomenet-lstm", PIECES, {}, "reads single bases: use --tokenizer character"),
        ("dnabert2", PIECES, {"depth": 1, "sizes": {"hidden_sizes": 3}}, "hidden_sizes"),
        ("genomenet-lstm", CHARACTERS, {"sizes": {"unit": [3]}}, "unit"),
    ],
)
def test_what_is_no_network_is_said(name: str, vocabulary: Vocabulary, more: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_network(name, vocabulary, **more)


def test_all_names_are_distinct_and_of_three_families() -> None:
    assert len(set(NAMES)) == len(NAMES) == 11
