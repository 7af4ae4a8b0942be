"""`BatchNormalization` and `LayerNormalization`, with the statistics that training left."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from glmbench.networks.keras.layer import Layer, Weights, channels
from glmbench.networks.keras.settings import Settings, Shape


def _last_axis(settings: Settings, shape: Shape) -> None:
    if settings.has("axis") and settings.integers_or_one("axis") not in ((-1,), (len(shape),)):
        raise settings.error("normalises another axis than the last, which this loader does not run")


class BatchNormalisation(Layer):
    """Kept as one multiplication and one addition a channel."""

    passes_mask = True
    scale: Tensor
    shift: Tensor

    def __init__(self, settings: Settings, inputs: Sequence[Shape], weights: Weights) -> None:
        super().__init__()
        _last_axis(settings, inputs[0])
        units = (channels(settings, inputs[0]),)
        one, zero = torch.ones(units), torch.zeros(units)
        gamma = weights.take("a gamma", units) if settings.flag("scale", True) else one
        beta = weights.take("a beta", units) if settings.flag("center", True) else zero
        mean, variance = weights.take("a moving mean", units), weights.take("a moving variance", units)
        # In double precision, so that folding the four arrays into two costs no accuracy.
        scale = gamma.double() / torch.sqrt(variance.double() + settings.number("epsilon", 1e-3))
        self.register_buffer("scale", scale.float())
        self.register_buffer("shift", (beta.double() - mean.double() * scale).float())

    def compute(self, inputs: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        """(B, …, channels), each channel on its own."""
        return torch.addcmul(self.shift, inputs[0], self.scale)


class LayerNormalisation(Layer):
    """Over the last axis."""

    passes_mask = True
    gamma: Tensor | None
    beta: Tensor | None

    def __init__(self, settings: Settings, inputs: Sequence[Shape], weights: Weights) -> None:
        super().__init__()
        _last_axis(settings, inputs[0])
        units = (channels(settings, inputs[0]),)
        self.epsilon = settings.number("epsilon", 1e-3)
        self.register_buffer("gamma", weights.take("a gamma", units) if settings.flag("scale", True) else None)
        self.register_buffer("beta", weights.take("a beta", units) if settings.flag("center", True) else None)

    def compute(self, inputs: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        """(B, …, channels), each place on its own."""
        x = inputs[0]
        return functional.layer_norm(x, x.shape[-1:], self.gamma, self.beta, self.epsilon)
