"""Attention within the sequences of one row against one dense softmax over the whole row with a mask."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from glmbench.errors import Unsupported
from glmbench.networks.packing import Packing
from glmbench.networks.transformers_attention import NAME, attend, packed_attention
from glmbench.networks.unpadding import positions, sequence_of


class Layer(nn.Module):
    """What a network of transformers is, to attention: a configuration and a flag."""

    def __init__(self, causal: bool) -> None:
        super().__init__()
        from transformers import BertConfig

        self.is_causal = causal
        self.config = BertConfig(attn_implementation="eager")


def packing_of(lengths: list[int]) -> Packing:
    return Packing(tuple(lengths), torch.tensor([0, *lengths]).cumsum(0).to(torch.int32))


def dense(q: Tensor, k: Tensor, v: Tensor, seen: Tensor, bias: Tensor, scale: float) -> Tensor:
    """(1, tokens, heads, dim) by the definition, in float64."""
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    scores = (q.double() @ k.double().transpose(2, 3)) * scale + bias.double()
    return (scores.masked_fill(~seen, -torch.inf).softmax(-1) @ v.double()).transpose(1, 2).float()


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    causal=st.booleans(),
    window=st.none() | st.integers(1, 12),
    biased=st.booleans(),
    groups=st.sampled_from([1, 2]),
)
def test_attention_of_a_row_is_that_of_its_sequences(
    lengths: list[int], causal: bool, window: int | None, biased: bool, groups: int
) -> None:
    torch.manual_seed(len(lengths))
    packing = packing_of(lengths)
    q, k, v = (torch.randn(1, heads, packing.tokens, 8) for heads in (4, 4 // groups, 4 // groups))
    owner, place = sequence_of(packing), positions(packing)
    distance = place[:, None] - place
    seen = owner[:, None] == owner
    if causal:
        seen &= distance >= 0
    if window is not None:
        seen &= distance.abs() < window
    of_distance = torch.randn(4, 2 * packing.longest) if biased else torch.zeros(4, 2 * packing.longest)
    bias = of_distance[:, distance.clamp(-packing.longest, packing.longest - 1) + packing.longest]
    corner = torch.arange(packing.longest)
    options: dict[str, Any] = {"scaling": 0.3, "sliding_window": window}
    if biased:
        options["position_bias"] = of_distance[:, corner[:, None] - corner + packing.longest][None]
    layer = Layer(causal)
    with packed_attention(layer, packing):
        assert layer.config._attn_implementation == NAME
        mixed, weights = attend(layer, q, k, v, None, **options)
    assert weights is None
    assert layer.config._attn_implementation == "eager"
    torch.testing.assert_close(mixed, dense(q, k, v, seen, bias, 0.3), atol=1e-5, rtol=1e-4)


def test_what_ours_does_not_do_is_refused() -> None:
    layer, x = Layer(False), torch.randn(1, 2, 3, 4)
    with pytest.raises(Unsupported, match="does not do what Layer asks"):
        attend(layer, x, x, x)
    with packed_attention(layer, packing_of([1, 2])):
        attend(layer, x, x, x, position_ids=None, deterministic=True)
        for asked in ({"softcap": 30.0}, {"attention_mask": torch.ones(1, 1, 3, 3)}, {"dropout": 0.1}):
            with pytest.raises(Unsupported, match="does not do"):
                attend(layer, x, x, x, **asked)


def test_a_network_that_never_came_to_our_attention_is_told_on_leaving_and_put_back() -> None:
    layer = Layer(False)
    with (
        pytest.raises(Unsupported, match="Layer has an attention of its own"),
        packed_attention(layer, packing_of([2])),
    ):
        pass
    assert layer.config._attn_implementation == "eager"
