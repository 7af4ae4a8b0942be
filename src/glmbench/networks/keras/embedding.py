"""Tokens to vectors: `Embedding`, and deepG's two layers that add positions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from glmbench.networks.keras.layer import LARGEST_OUTPUT, Bounds, Layer, Weights, channels
from glmbench.networks.keras.settings import Settings, Shape


class Embedding(Layer):
    """`Embedding`: a row a token; tokens arrive as whole numbers in float32."""

    table: Tensor

    def __init__(self, settings: Settings, inputs: Sequence[Shape], weights: Weights) -> None:
        super().__init__()
        size = settings.integer("input_dim"), settings.integer("output_dim")
        self.register_buffer("table", weights.take("a table", size))
        self.makes_mask = settings.flag("mask_zero", False)

    def output_shape(self, *inputs: Shape) -> Shape:
        """One more axis."""
        return *inputs[0], self.table.shape[1]

    def bounds(self, *inputs: Bounds) -> Bounds | None:
        """A place a token."""
        return inputs[0]

    def mask(self, inputs: Sequence[Tensor]) -> Tensor | None:
        """True where the token is not 0."""
        return inputs[0] != 0

    def compute(self, inputs: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        """(B, T) to (B, T, channels)."""
        return self.table[inputs[0].long()]


class Positions(Layer):
    """deepG's `layer_pos_embedding` and `layer_pos_sinusoid`: tokens embedded (or not) plus one vector a place.

    With `embed_dim` 0 the input is one-hot and stays as it is.
    """

    tokens: Tensor | None
    positions: Tensor

    def __init__(self, settings: Settings, inputs: Sequence[Shape], weights: Weights) -> None:
        super().__init__()
        places, letters = settings.integer("maxlen"), settings.integer("vocabulary_size")
        width = settings.integer("embed_dim", 64, least=0)
        if inputs[0][0] != places:
            raise settings.error(f"has {places} positions and gets an input of shape {inputs[0]}")
        self.register_buffer("tokens", weights.take("a token table", (letters, width)) if width else None)
        self.width = width or channels(settings, inputs[0])
        if places * self.width > LARGEST_OUTPUT:
            raise settings.error(f"has {places:,} positions of {self.width:,} channels")
        if settings.kind == "layer_pos_embedding":
            table = weights.take("a position table", (places, self.width))
        else:
            table = sinusoids(places, self.width, settings.number("n", 10_000.0))
        self.register_buffer("positions", table)

    def output_shape(self, *inputs: Shape) -> Shape:
        """(time, channels)."""
        return inputs[0][0], self.width

    def compute(self, inputs: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        """(B, T) or (B, T, channels) to (B, T, channels)."""
        x = inputs[0]
        return (x if self.tokens is None else self.tokens[x.long()]) + self.positions


def sinusoids(places: int, width: int, base: float) -> Tensor:
    """Sines in even channels, cosines in odd ones, (places, width); positions are counted from 0."""
    channel = torch.arange(width, dtype=torch.float64)
    angles = torch.arange(places, dtype=torch.float64)[:, None] / base ** (2 * (channel // 2) / width)
    return torch.where(channel % 2 == 0, angles.sin(), angles.cos()).float()
