"""Layers of the GenomeNet networks: what Keras' layers of the same names compute, written with torch's kernels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from glmbench.networks.genomenet_config import GenomeNetConfig

_BATCH_NORM_EPSILON = 1e-3
"""Keras' default; torch's is 1e-5."""


class LSTM(nn.Module):
    """One LSTM layer with a single bias vector, as Keras has it; torch's own has two, of which one would be redundant.

    Gates lie in the order input, forget, cell, output, which is Keras' and torch's; their activation is the sigmoid.
    A Keras kernel transposed is `kernel`, a Keras recurrent kernel transposed is `recurrent`.
    """

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.units = units
        self.kernel = nn.Parameter(torch.empty(4 * units, inputs))
        self.recurrent = nn.Parameter(torch.empty(4 * units, units))
        self.bias = nn.Parameter(torch.empty(4 * units))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Keras' start: Glorot-uniform kernel, orthogonal recurrent kernel, bias 0 but 1 for the forget gate."""
        nn.init.xavier_uniform_(self.kernel)
        nn.init.orthogonal_(self.recurrent)
        nn.init.zeros_(self.bias)
        nn.init.ones_(self.bias[self.units : 2 * self.units])

    def forward(self, x: Tensor, carried: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """States (B, T, units) of inputs (B, T, inputs), then output and cell state after the last.

        Args:
            x: what is read.
            carried: output and cell state from before, (B, units) each.
        """
        weights = (self.kernel, self.recurrent, self.bias, torch.zeros_like(self.bias))
        before = (carried[0][None], carried[1][None])
        states, output, cell = torch.lstm(x, before, weights, True, 1, 0.0, self.training, False, True)
        return states, output[0], cell[0]


class ConvolutionBlock(nn.Module):
    """Convolution and ReLU, max pooling and batch norm, and a skip connection around them where one is wanted.

    deepG has the pooling before the batch norm in the first block and in all blocks of `middle` networks, and after it
    in later blocks of `end` networks. Its skip path is an average pooling, then a convolution of width 1 with ReLU and
    batch norm where the number of filters changes. Nothing follows the addition.
    """

    def __init__(self, config: GenomeNetConfig, block: int) -> None:
        super().__init__()
        inputs = config.filters[block - 1] if block else 4
        filters = config.filters[block]
        self.pool = config.pools[block]
        self.pool_first = block == 0 or config.position == "middle"
        self.convolution = nn.Conv1d(inputs, filters, config.kernel)
        self.norm = _batch_norm(filters, config.momentum)
        self.residual = config.residual and block > 0
        self.skip_convolution: nn.Conv1d | None = None
        self.skip_norm: nn.BatchNorm1d | None = None
        if self.residual and inputs != filters:
            self.skip_convolution = nn.Conv1d(inputs, filters, 1)
            self.skip_norm = _batch_norm(filters, config.momentum)

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps (B, filters, L // pool) of (B, inputs, L)."""
        width = self.convolution.kernel_size[0]
        # An even kernel reaches one position further to the right, as in TensorFlow.
        y = functional.relu(self.convolution(functional.pad(x, ((width - 1) // 2, width // 2))))
        if self.pool_first:
            y = self.norm(functional.max_pool1d(y, self.pool))
        else:
            y = functional.max_pool1d(self.norm(y), self.pool)
        return y + self._skip(x) if self.residual else y

    def _skip(self, x: Tensor) -> Tensor:
        if self.pool > 1:
            x = functional.avg_pool1d(x, self.pool)
        if self.skip_convolution is not None and self.skip_norm is not None:
            x = self.skip_norm(functional.relu(self.skip_convolution(x)))
        return x


class SequenceDropout(nn.Module):
    """Dropout that drops a unit at all positions of a sequence, as Keras drops an LSTM's inputs."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """The (B, T, units) given, some units of each sequence zero and the others scaled up, in training only."""
        if not self.training or self.share == 0:
            return x
        kept = torch.empty_like(x[:, :1]).bernoulli_(1 - self.share)
        return x * kept.div_(1 - self.share)


class Branch(nn.Module):
    """Reads one side of a target, towards it."""

    def __init__(self, config: GenomeNetConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ConvolutionBlock(config, i) for i in range(len(config.filters)))
        widths = [config.filters[-1] if config.filters else 4, *config.units]
        self.lstms = nn.ModuleList(LSTM(i, units) for i, units in zip(widths, config.units, strict=False))
        self.units = tuple(config.units)
        self.dropout = SequenceDropout(config.dropout)
        self.stride = config.stride
        self.readout = config.readout

    def forward(self, x: Tensor) -> Tensor:
        """What the head sees of one-hot bases (B, L, 4) before a target: (B, features)."""
        states = self.layers(x)[-1]
        if self.readout == "last":
            return states[:, -1]
        return states.flatten(1) if self.readout == "flatten" else states.mean(1)

    def layers(self, x: Tensor) -> list[Tensor]:
        """The states (B, positions, width) of every layer, for one-hot bases (B, L, 4)."""
        maps, found = x.mT, []
        for block in self.blocks:
            maps = block(maps)
            found.append(maps.mT)
        if not self.lstms:
            return found
        return found + self._recurrent(maps.mT, None)[0]

    def continued(self, x: Tensor, carried: Tensor) -> tuple[Tensor, Tensor]:
        """States (B, T, units) of text that goes on from a state (2, layers, B, units), and the state after it."""
        layers, after = self._recurrent(x, carried)
        return layers[-1], after

    def _recurrent(self, x: Tensor, carried: Tensor | None) -> tuple[list[Tensor], Tensor]:
        found, outputs, cells = [], [], []
        for i, (lstm, units) in enumerate(zip(self.lstms, self.units, strict=True)):
            zero = x.new_zeros(len(x), units)
            x, output, cell = lstm(x, (zero, zero) if carried is None else (carried[0, i], carried[1, i]))
            x = self.dropout(x)
            found.append(x)
            outputs.append(output)
            cells.append(cell)
        if carried is None:
            return found, x.new_empty(0)
        return found, torch.stack((torch.stack(outputs), torch.stack(cells)))


def _batch_norm(filters: int, keras_momentum: float) -> nn.BatchNorm1d:
    return nn.BatchNorm1d(filters, eps=_BATCH_NORM_EPSILON, momentum=1 - keras_momentum)
