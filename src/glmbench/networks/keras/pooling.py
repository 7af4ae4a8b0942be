"""Pooling over windows, and over the whole time axis."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from glmbench.networks.keras.convolution import padding, windows
from glmbench.networks.keras.layer import Bounds, Layer, Weights, rank_two, strided
from glmbench.networks.keras.settings import Settings, Shape

_WIDEST = 1 << 16
"""Places that a window may span."""


class WindowPooling(Layer):
    """`MaxPooling1D` and `AveragePooling1D`.

    `valid` drops places that fill no window; `same` keeps them, and an average counts what is there, not the padding.
    """

    def __init__(self, settings: Settings, inputs: Sequence[Shape], weights: Weights) -> None:
        super().__init__()
        self._settings = settings
        rank_two(settings, inputs[0])
        settings.choice("data_format", "channels_last", ("channels_last",))
        self.width = settings.integer("pool_size", 2)
        self.stride = settings.integer("strides") if settings.has("strides") else self.width
        self.mode = settings.choice("padding", "valid", ("valid", "same"))
        self.largest = settings.kind.startswith("Max")
        if self.width > _WIDEST:
            raise settings.error(f"pools {self.width:,} places, wanted at most {_WIDEST:,}")

    def output_shape(self, *inputs: Shape) -> Shape:
        """As many places as there are windows."""
        length, units = rank_two(self._settings, inputs[0])
        return windows(self._settings, length, self.width, self.stride, self.mode), units

    def bounds(self, *inputs: Bounds) -> Bounds | None:
        """A place stands for the inputs of its stride; the last also for what filled no window."""
        number = windows(self._settings, len(inputs[0]) - 1, self.width, self.stride, self.mode)
        return strided(inputs[0], number or 0, self.stride, 0)

    def compute(self, inputs: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        """(B, T, channels) to (B, places, channels)."""
        x = inputs[0].mT
        sides = padding(x.shape[2], self.width, self.stride, self.mode)
        if self.largest:
            x = functional.pad(x, sides, value=float("-inf")) if any(sides) else x
            return functional.max_pool1d(x, self.width, self.stride).mT
        if not any(sides):
            return functional.avg_pool1d(x, self.width, self.stride).mT
        there = functional.pad(x.new_ones(1, 1, x.shape[2]), sides)
        share = functional.avg_pool1d(there, self.width, self.stride)
        return (functional.avg_pool1d(functional.pad(x, sides), self.width, self.stride) / share).mT


class GlobalPooling(Layer):
    """`GlobalAveragePooling1D` and `GlobalMaxPooling1D`; masked places do not count for an average."""

    ends_mask = True

    def __init__(self, settings: Settings, inputs: Sequence[Shape], weights: Weights) -> None:
        super().__init__()
        self._settings = settings
        rank_two(settings, inputs[0])
        settings.refuse("keepdims")
        first = settings.choice("data_format", "channels_last", ("channels_last", "channels_first"))
        self.axis = 2 if first == "channels_first" else 1
        self.largest = "Max" in settings.kind

    def output_shape(self, *inputs: Shape) -> Shape:
        """Channels; with `channels_first` it is the places that are left."""
        length, units = rank_two(self._settings, inputs[0])
        return (units,) if self.axis == 1 else (length,)

    def bounds(self, *inputs: Bounds) -> Bounds | None:
        """No places are left."""
        return None

    def compute(self, inputs: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        """(B, T, channels) to (B, channels)."""
        x = inputs[0]
        if self.largest:
            return x.amax(self.axis)
        if mask is None or self.axis == 2:
            return x.mean(self.axis)
        weights = mask.to(x.dtype)[..., None]
        return (x * weights).sum(1) / torch.clamp(weights.sum(1), min=1.0)
