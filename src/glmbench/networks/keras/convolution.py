"""`Conv1D`, and how Keras pads."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from glmbench.networks.keras.activations import ACTIVATIONS
from glmbench.networks.keras.layer import Bounds, Layer, Weights, rank_two, strided
from glmbench.networks.keras.settings import Settings, Shape

_WIDEST = 1 << 16
"""Places that a window may span; padding would take memory that the file only has to ask for."""


def padding(length: int, width: int, stride: int, mode: str) -> tuple[int, int]:
    """Places that Keras adds left and right of a time axis.

    Args:
        length: places there are.
        width: places that one window spans, dilation included.
        stride: between windows.
        mode: `same`: as many outputs as strides, the odd place on the right; `causal`: all on the left; `valid`: none.
    """
    if mode == "same":
        total = max((-(-length // stride) - 1) * stride + width - length, 0)
        return total // 2, total - total // 2
    return (width - 1, 0) if mode == "causal" else (0, 0)


def windows(settings: Settings, length: int | None, width: int, stride: int, mode: str) -> int | None:
    """How many windows there are on a time axis.

    Raises:
        DataError: not one.
    """
    if length is None:
        return None
    number = (length + sum(padding(length, width, stride, mode)) - width) // stride + 1
    if number < 1:
        raise settings.error(f"gets {length} places, and its window spans {width}")
    return number


class Convolution(Layer):
    """`Conv1D`: a kernel (width, inputs, filters) in the file."""

    kernel: Tensor
    bias: Tensor | None

    def __init__(self, settings: Settings, inputs: Sequence[Shape], weights: Weights) -> None:
        super().__init__()
        self._settings = settings
        _, incoming = rank_two(settings, inputs[0])
        settings.choice("data_format", "channels_last", ("channels_last",))
        taps, filters = settings.integer("kernel_size"), settings.integer("filters")
        self.stride, self.dilation = settings.integer("strides", 1), settings.integer("dilation_rate", 1)
        self.groups = settings.integer("groups", 1)
        self.mode = settings.choice("padding", "valid", ("valid", "same", "causal"))
        self.width = (taps - 1) * self.dilation + 1
        if self.width > _WIDEST or incoming % self.groups or filters % self.groups:
            raise settings.error(f"spans {self.width} places, with {incoming} inputs in {self.groups} groups")
        self.activation = ACTIVATIONS[settings.activation()]
        kernel = weights.take("a kernel", (taps, incoming // self.groups, filters))
        self.register_buffer("kernel", kernel.permute(2, 1, 0).contiguous())
        self.register_buffer("bias", weights.take("a bias", (filters,)) if settings.flag("use_bias", True) else None)

    def output_shape(self, *inputs: Shape) -> Shape:
        """As many places as there are windows."""
        length, _ = rank_two(self._settings, inputs[0])
        return windows(self._settings, length, self.width, self.stride, self.mode), self.kernel.shape[0]

    def bounds(self, *inputs: Bounds) -> Bounds | None:
        """A place stands for the inputs of its stride; without padding, those at the middle of its window."""
        length = len(inputs[0]) - 1
        number = windows(self._settings, length, self.width, self.stride, self.mode)
        offset = (self.width - 1) // 2 if self.mode == "valid" else 0
        return strided(inputs[0], number or 0, self.stride, offset)

    def compute(self, inputs: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        """(B, T, inputs) to (B, places, filters)."""
        x = inputs[0].mT
        sides = padding(x.shape[2], self.width, self.stride, self.mode)
        if any(sides):
            x = functional.pad(x, sides)
        y = functional.conv1d(x, self.kernel, self.bias, stride=self.stride, dilation=self.dilation, groups=self.groups)
        return self.activation(y.mT)
