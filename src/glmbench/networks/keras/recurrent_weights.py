"""Weights of Keras' recurrent layers in torch's layout, from either of the two layouts that Keras has."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from glmbench.networks.keras.layer import Weights
from glmbench.networks.keras.settings import Settings


@dataclass(frozen=True)
class RecurrentWeights:
    """Weights as `torch.lstm` and `torch.gru` take them, gates one after another.

    Attributes:
        inputs: (gates * units, inputs).
        recurrent: (gates * units, units).
        input_bias: (gates * units,).
        recurrent_bias: (gates * units,).
    """

    inputs: Tensor
    recurrent: Tensor
    input_bias: Tensor
    recurrent_bias: Tensor


def take(settings: Settings, weights: Weights, incoming: int, gates: int) -> RecurrentWeights:
    """The kernel (inputs, gates * units), recurrent kernel and bias of a layer; gates stay in Keras' order.

    `CuDNNLSTM` and `CuDNNGRU` keep cuDNN's memory layout instead: each gate's part of the kernel (inputs, units) is
    the memory of a matrix (units, inputs), each gate's recurrent kernel is transposed, and there are two biases, one
    after the other. A file of such weights may also be named `LSTM` or `GRU`; the length of the bias tells.

    Raises:
        DataError: shapes do not fit.
    """
    units = settings.integer("units")
    width = gates * units
    cudnn = settings.kind.startswith("CuDNN")
    kernel = weights.take("a kernel", (incoming, width))
    recurrent = weights.take("a recurrent kernel", (units, width))
    zero = torch.zeros(width)
    if cudnn or settings.flag("use_bias", True):
        shapes = ((2 * width,),) if cudnn else ((width,), (2, width), (2 * width,))
        bias = weights.take("a bias", *shapes)
        cudnn = bias.shape == (2 * width,)
        both = (bias, zero) if bias.shape == (width,) else (bias.reshape(2, width)[0], bias.reshape(2, width)[1])
    else:
        both = (zero, zero)
    if cudnn:
        rows = [part.contiguous().reshape(units, incoming) for part in kernel.split(units, dim=1)]
        return RecurrentWeights(torch.cat(rows), torch.cat(recurrent.split(units, dim=1)), *both)
    return RecurrentWeights(kernel.mT.contiguous(), recurrent.mT.contiguous(), *both)


def reorder(weights: RecurrentWeights, units: int, order: tuple[int, ...]) -> RecurrentWeights:
    """The same with the gates in another order."""
    rows = torch.cat([torch.arange(gate * units, (gate + 1) * units) for gate in order])
    return RecurrentWeights(
        weights.inputs[rows], weights.recurrent[rows], weights.input_bias[rows], weights.recurrent_bias[rows]
    )
