"""Layers that treat every place alike: `Dense`, activations, and what does nothing after training."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from glmbench.networks.keras.activations import ACTIVATIONS, linear
from glmbench.networks.keras.layer import Layer, Weights, channels
from glmbench.networks.keras.settings import Settings, Shape


class Dense(Layer):
    """`Dense`: a kernel (inputs, units) in the file."""

    passes_mask = True
    kernel: Tensor
    bias: Tensor | None

    def __init__(self, settings: Settings, inputs: Sequence[Shape], weights: Weights) -> None:
        super().__init__()
        units = settings.integer("units")
        self.function = settings.activation()
        self.register_buffer("kernel", weights.take("a kernel", (channels(settings, inputs[0]), units)))
        self.register_buffer("bias", weights.take("a bias", (units,)) if settings.flag("use_bias", True) else None)

    def output_shape(self, *inputs: Shape) -> Shape:
        """The last axis becomes the units."""
        return *inputs[0][:-1], self.kernel.shape[1]

    def compute(self, inputs: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        """(B, …, inputs) to (B, …, units)."""
        return ACTIVATIONS[self.function](self.scores(inputs))

    def scores(self, inputs: Sequence[Tensor]) -> Tensor:
        """What the activation function is applied to."""
        return functional.linear(inputs[0], self.kernel.mT, self.bias)


class Activation(Layer):
    """`Activation`, `ReLU`, `ELU`, `Softmax`: a function without weights."""

    passes_mask = True

    def __init__(self, settings: Settings, inputs: Sequence[Shape], weights: Weights) -> None:
        super().__init__()
        self.function = settings.kind.lower() if settings.kind != "Activation" else settings.activation()
        if settings.kind == "Softmax" and settings.has("axis") and settings.integers_or_one("axis") != (-1,):
            raise settings.error("works along another axis than the last, which this loader does not run")
        if settings.kind == "ReLU":
            _plain_relu(settings)
        if settings.kind == "ELU" and settings.number("alpha", 1.0) != 1.0:
            raise settings.error("has an alpha other than 1, which this loader does not run")

    def compute(self, inputs: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        """The function of each number, or of the last axis."""
        return ACTIVATIONS[self.function](inputs[0])

    def scores(self, inputs: Sequence[Tensor]) -> Tensor:
        """What the function is applied to."""
        return inputs[0]


def _plain_relu(settings: Settings) -> None:
    extra = [key for key in ("negative_slope", "threshold") if settings.has(key) and settings.number(key) != 0]
    if extra or settings.has("max_value"):
        raise settings.error(f"is a ReLU with {', '.join(extra) or 'max_value'}, which this loader does not run")


class LeakyReLU(Layer):
    """`LeakyReLU`: negative numbers times `alpha` (0.3 where the file says nothing)."""

    passes_mask = True

    def __init__(self, settings: Settings, inputs: Sequence[Shape], weights: Weights) -> None:
        super().__init__()
        self.slope = settings.number("negative_slope" if settings.has("negative_slope") else "alpha", 0.3)

    def compute(self, inputs: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        """Each number on its own."""
        return functional.leaky_relu(inputs[0], self.slope)


class Identity(Layer):
    """Dropout and noise, which do nothing after training."""

    passes_mask = True

    def __init__(self, settings: Settings, inputs: Sequence[Shape], weights: Weights) -> None:
        super().__init__()

    def compute(self, inputs: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        """What came in."""
        return linear(inputs[0])
