"""Activation functions by their Keras names."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Activation = Callable[[Tensor], Tensor]


def hard_sigmoid(x: Tensor) -> Tensor:
    """Keras 2's piecewise linear sigmoid, clip(x / 5 + 1/2, 0, 1).

    Keras 3 and `torch.nn.functional.hardsigmoid` have x / 6 instead, and give other numbers for the same file.
    """
    return torch.clamp(0.2 * x + 0.5, 0.0, 1.0)


def softmax(x: Tensor) -> Tensor:
    """Softmax over the last axis."""
    return torch.softmax(x, -1)


def linear(x: Tensor) -> Tensor:
    """What came in."""
    return x


ACTIVATIONS: dict[str, Activation] = {
    "elu": functional.elu,
    "exponential": torch.exp,
    "gelu": functional.gelu,
    "hard_sigmoid": hard_sigmoid,
    "linear": linear,
    "relu": torch.relu,
    "relu6": functional.relu6,
    "selu": functional.selu,
    "sigmoid": torch.sigmoid,
    "softmax": softmax,
    "softplus": functional.softplus,
    "softsign": functional.softsign,
    "swish": functional.silu,
    "tanh": torch.tanh,
}
