from __future__ import annotations

from typing import Any

import pytest
import torch

from glmbench.errors import UsageError
from glmbench.networks.sizes import (
    PRESETS,
    EncoderSizes,
    Kind,
    body_parameters,
    encoder_sizes,
    flops_per_token,
    parameters,
    preset,
    sizes_of,
    training_flops_per_token,
)


def built(sizes: EncoderSizes, **changes: Any) -> Any:
    from glmbench.networks.masked_lm import masked_lm_config, new_masked_lm

    with torch.device("meta"):
        return new_masked_lm(masked_lm_config(sizes, pad=3, **changes), seed=0)


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("sizes", [*PRESETS.values(), encoder_sizes("modern", 2, 30), encoder_sizes("bert", 1, 30)])
def test_counts_are_those_of_the_networks(sizes: EncoderSizes) -> None:
    network = built(sizes)
    assert parameters(sizes) == count(network)
    assert body_parameters(sizes) == count(network.base_model)


@pytest.mark.parametrize("name", PRESETS)
def test_a_configuration_says_its_sizes(name: str) -> None:
    from glmbench.networks.masked_lm import masked_lm_config

    sizes = preset(name, vocabulary=77)
    assert sizes.vocabulary == 77
    assert sizes_of(masked_lm_config(sizes, pad=3).to_dict()) == sizes


@pytest.mark.parametrize(("kind", "name"), [("dnabert2", "dnabert2"), ("modern", "modern"), ("bert", "dnabert")])
def test_depth_twelve_is_the_published_size(kind: Kind, name: str) -> None:
    published = PRESETS[name]
    dialled = encoder_sizes(kind, 12, published.vocabulary)
    assert parameters(dialled) == parameters(published)
    assert (dialled.layers, dialled.heads, dialled.window) == (published.layers, published.heads, published.window)


def test_operations_of_a_forward_pass_are_counted_by_hand() -> None:
    gated = EncoderSizes("dnabert2", layers=1, dim=2, heads=1, feed_forward=3, vocabulary=5)
    # qkv and output: 16 weights; gate, value and output of feed-forward: 18; scores and mixing: 7 keys x 2 features
    body = 2 * (16 + 18) + 2 * 2 * 7 * 2
    head = 2 * 4 + 2 * 10
    assert flops_per_token(gated, 7) == body + head
    # the output of attention (4 weights) and feed-forward of the last layer, and the head, for those asked about only
    assert flops_per_token(gated, 7, predicted=0.25) == body - 0.75 * 2 * (4 + 18) + head / 4
    assert training_flops_per_token(gated, 7) == 3 * (body + head)
    plain = EncoderSizes("bert", layers=1, dim=2, heads=1, feed_forward=3, vocabulary=5)
    assert flops_per_token(plain, 7, predicted=0) == 2 * 12 + 56


@pytest.mark.parametrize(("window", "length"), [(0, 4), (2, 5), (3, 4), (9, 4)])
def test_local_layers_count_the_keys_they_see(window: int, length: int) -> None:
    local = EncoderSizes("modern", 2, 1, 1, 1, 1, window=window, global_every=2)
    seen = sum(abs(i - j) <= window for i in range(length) for j in range(length)) / length
    without = 2 * ((4 + 3) + 3)  # the last layer ends at attention where nothing is asked
    assert flops_per_token(local, length, predicted=0) == pytest.approx(without + 4 * (length + seen))


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="no preset 'gpt'; wanted one of dnabert2, modern, dnabert, logo"):
        preset("gpt")
    with pytest.raises(UsageError, match="5 heads do not divide 64 features"):
        EncoderSizes("bert", 1, 64, 5, 64, 10)
    with pytest.raises(UsageError, match="must be positive"):
        encoder_sizes("bert", 0, 10)
    with pytest.raises(UsageError, match="model type 'gpt2' has no known sizes"):
        sizes_of({"model_type": "gpt2"})
