"""Layers that rearrange, mask or repeat: `Flatten`, `Reshape`, `Masking`, `TimeDistributed`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor

from glmbench.networks.keras.dense import Activation, Dense, Identity, LeakyReLU
from glmbench.networks.keras.layer import Bounds, Layer, Weights
from glmbench.networks.keras.settings import Settings, Shape

Build = Callable[[Settings, Sequence[Shape], Weights], Layer]


class Flatten(Layer):
    """Place by place, the channels of each together."""

    def __init__(self, settings: Settings, inputs: Sequence[Shape], weights: Weights) -> None:
        super().__init__()
        settings.choice("data_format", "channels_last", ("channels_last",))
        self._settings = settings

    def output_shape(self, *inputs: Shape) -> Shape:
        """One axis."""
        return (math.prod(_known(self._settings, inputs[0])),)

    def bounds(self, *inputs: Bounds) -> Bounds | None:
        """No places are left."""
        return None

    def compute(self, inputs: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        """(B, …) to (B, units)."""
        return inputs[0].flatten(1)


class Reshape(Layer):
    """`Reshape`, with at most one -1."""

    def __init__(self, settings: Settings, inputs: Sequence[Shape], weights: Weights) -> None:
        super().__init__()
        number = math.prod(_known(settings, inputs[0]))
        target = list(settings.integers("target_shape"))
        if target.count(-1) == 1:
            rest = math.prod(length for length in target if length != -1)
            target[target.index(-1)] = number // rest if rest else 0
        if math.prod(target) != number or min(target, default=1) < 1:
            raise settings.error(f"makes {tuple(target)} of {number} numbers")
        self.target = tuple(target)

    def output_shape(self, *inputs: Shape) -> Shape:
        """What the file says."""
        return self.target

    def bounds(self, *inputs: Bounds) -> Bounds | None:
        """Nobody knows what stands where now."""
        return None

    def compute(self, inputs: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        """(B, …) to (B, *target)."""
        return inputs[0].reshape(len(inputs[0]), *self.target)


class Masking(Layer):
    """`Masking`: places whose every channel has one value are skipped by recurrent layers, and zero for others."""

    passes_mask = True
    makes_mask = True

    def __init__(self, settings: Settings, inputs: Sequence[Shape], weights: Weights) -> None:
        super().__init__()
        self.value = settings.number("mask_value", 0.0)

    def mask(self, inputs: Sequence[Tensor]) -> Tensor | None:
        """True where something else stands."""
        return (inputs[0] != self.value).any(-1)

    def compute(self, inputs: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        """Masked places become zero."""
        return inputs[0] * (inputs[0] != self.value).any(-1, keepdim=True)


class TimeDistributed(Layer):
    """A layer applied to each place by itself."""

    def __init__(self, settings: Settings, inputs: Sequence[Shape], weights: Weights, build: Build) -> None:
        super().__init__()
        if len(inputs[0]) < 2:
            raise settings.error(f"gets an input of shape {inputs[0]}, wanted a time axis and more")
        self.inner = build(settings.inner(), [inputs[0][1:]], weights)
        self.passes_mask = isinstance(self.inner, Dense | Activation | LeakyReLU | Identity)
        if self.inner.makes_mask:
            raise settings.error("wraps a layer that makes a mask")

    def output_shape(self, *inputs: Shape) -> Shape:
        """The time axis stays, the rest is what the inner layer makes of it."""
        return inputs[0][0], *self.inner.output_shape(inputs[0][1:])

    def compute(self, inputs: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        """(B, T, …) to (B, T, …)."""
        x = inputs[0]
        y: Tensor = self.inner([x.flatten(0, 1)])
        together: Tensor = y.unflatten(0, x.shape[:2])
        return together


def _known(settings: Settings, shape: Shape) -> tuple[int, ...]:
    known = tuple(length for length in shape if length is not None)
    if len(known) != len(shape):
        raise settings.error(f"gets an input of shape {shape}, wanted a fixed one")
    return known
