"""What every layer of a Keras network is here: a torch module that also knows shapes and places without running."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from glmbench.networks.keras.settings import Settings, Shape

Bounds = NDArray[np.int64]
"""Borders of the places of a time axis in bases, (places + 1,): place i stands for `bounds[i]` up to `bounds[i + 1]`.
They fall where a layer has read from right to left."""

LARGEST_OUTPUT = 1 << 27
"""Numbers in one layer's output for one input: 512 MB. A short file can ask for far more."""


class Weights:
    """The arrays of one layer, taken one by one in the file's order."""

    def __init__(self, settings: Settings, arrays: Sequence[NDArray[np.float32]]) -> None:
        self._settings, self._arrays, self._next = settings, arrays, 0

    def take(self, what: str, *shapes: Shape) -> Tensor:
        """The next array, which must have one of these shapes.

        Raises:
            DataError: there is none, or it has another shape.
        """
        wanted = " or ".join(str(shape) for shape in shapes)
        if self._next >= len(self._arrays):
            raise self._settings.error(
                f"has {len(self._arrays)} weight arrays in the file, wanted {what} {wanted} after them"
            )
        array = self._arrays[self._next]
        if array.shape not in shapes:
            raise self._settings.error(f"has {what} of shape {array.shape} in the file, wanted {wanted}")
        self._next += 1
        return torch.from_numpy(array)

    def finish(self) -> None:
        """Refuse arrays that are left.

        Raises:
            DataError: the file has more arrays than the layer uses.
        """
        if self._next != len(self._arrays):
            raise self._settings.error(
                f"has {len(self._arrays)} weight arrays in the file, wanted {self._next}: file and architecture "
                "are of different networks"
            )

    def split(self, number: int) -> tuple[Weights, Weights]:
        """The next `number` arrays, and those after them, each to be taken on its own."""
        at = self._next + number
        first = Weights(self._settings, self._arrays[self._next : at])
        second = Weights(self._settings, self._arrays[at:])
        self._next = len(self._arrays)
        return first, second

    @property
    def left(self) -> int:
        """Arrays that are not taken yet."""
        return len(self._arrays) - self._next


class Layer(nn.Module):
    """A layer, (batch, time, channels) or (batch, units) in and out. Weights are buffers: nothing here is trained."""

    passes_mask = False
    """Whether the layer takes a mask of places, and the mask goes on with its output."""
    ends_mask = False
    """Whether the layer takes a mask, and its output needs none."""
    makes_mask = False

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[int, float] = {}

    def output_shape(self, *inputs: Shape) -> Shape:
        """Shape of the output, without the batch axis, of inputs of these shapes."""
        return inputs[0]

    def bounds(self, *inputs: Bounds) -> Bounds | None:
        """Where the places of the output lie, of inputs whose places lie so; None if the time axis is lost."""
        return inputs[0]

    def compute(self, inputs: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        """The output, without units held; mask is bool (batch, time), True where something stands."""
        raise RuntimeError(f"{type(self).__name__} computes nothing")

    def mask(self, inputs: Sequence[Tensor]) -> Tensor | None:
        """The mask that the layer makes, for those that make one."""
        return None

    def forward(self, inputs: Sequence[Tensor], mask: Tensor | None = None) -> Tensor:
        """The output; units that are held have their value at every place."""
        y = self.compute(inputs, mask)
        if self.held:
            y = y.clone()
            for unit, value in self.held.items():
                y[..., unit] = value
        return y

    def hold(self, unit: int, value: float | None) -> None:
        """Give a unit (last axis) one value at every place, or release it (None)."""
        if value is None:
            self.held.pop(unit, None)
        else:
            self.held[unit] = value


def rank_two(settings: Settings, shape: Shape) -> tuple[int | None, int]:
    """Time and channels of an input, for layers that need both.

    Raises:
        DataError: the input has another number of axes, or no fixed number of channels.
    """
    if len(shape) != 2 or shape[1] is None:
        raise settings.error(f"gets an input of shape {shape}, wanted (time, channels)")
    return shape[0], shape[1]


def channels(settings: Settings, shape: Shape) -> int:
    """The last axis of an input.

    Raises:
        DataError: it is not known.
    """
    if not shape or shape[-1] is None:
        raise settings.error(f"gets an input of shape {shape}, wanted a fixed last axis")
    return shape[-1]


def strided(bounds: Bounds, places: int, stride: int, offset: int) -> Bounds:
    """Bounds of `places` outputs, the i-th of which stands for the inputs from `offset + i * stride` on.

    The outermost places take what is left over at the ends, so that no base is without a place.
    """
    at = np.clip(offset + stride * np.arange(places + 1), 0, len(bounds) - 1)
    at[0], at[-1] = 0, len(bounds) - 1
    return bounds[at]
