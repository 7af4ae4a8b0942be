"""The one-hot CNN: the supervised control that a pre-trained model has to beat."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from glmbench.networks.configs import OneHotBaseCNNConfig, OneHotCNNConfig


class OneHotCNN(nn.Module):
    """Convolution, batch norm, max pooling and ReLU, a few times; then global max and mean pooling and a linear head.

    The sequence is an image of height 1 in channels-last memory: torch has a fast path for that layout in Conv2d and
    none in Conv1d (1.6 times the training speed on a CPU, the same numbers). ReLU follows the pooling because the two
    commute and there is `pool` times less to do. Convolutions have no bias: batch norm would subtract it again.

    An all-zero column is a base that is not known. Shorter sequences of a batch are padded on the right with such
    columns, and their lengths are passed along: what lies beyond them is then hidden from every layer, as the border of
    the image is, so that outputs do not depend on the company. (In training, batch statistics do see the padding.)
    """

    def __init__(self, config: OneHotCNNConfig) -> None:
        super().__init__()
        self.config = config
        inputs = (4, *config.channels[:-1])
        self.convolutions = nn.ModuleList(
            nn.Conv2d(i, o, (1, k), padding=(0, k // 2), bias=False)
            for i, o, k in zip(inputs, config.channels, config.kernels, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for channels in config.channels)
        self.channel_dropout = nn.Dropout2d(config.channel_dropout)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(2 * config.channels[-1], config.outputs)
        for weight in self.parameters():
            if weight.dim() == 4:
                weight.data = weight.data.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Scores of shape (B, outputs), before any softmax.

        Args:
            x: one-hot bases, (B, 4, 1, L), channels-last; see `one_hot`.
            lengths: bases of each sequence, (B,); None where no sequence is padded, which is faster.
        """
        last = len(self.convolutions) - 1
        for layer, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            x = norm(convolution(x))  # (B, C, 1, L)
            if lengths is not None:
                x = x.masked_fill(_beyond(lengths, x.shape[3]), -torch.inf)  # never the maximum, and zero after ReLU
            if layer < last:
                x = functional.max_pool2d(x, (1, self.config.pool), ceil_mode=True)  # the last bases count too
                x = self.channel_dropout(functional.relu(x))
                if lengths is not None:
                    lengths = -(-lengths // self.config.pool)
            else:
                x = functional.relu(x)
        mean = x.mean((2, 3)) if lengths is None else x.sum((2, 3)) / lengths[:, None]
        x = torch.cat((x.amax((2, 3)), mean), dim=1)  # (B, 2C)
        out: Tensor = self.head(self.dropout(x))
        return out


class OneHotBaseCNN(nn.Module):
    """Convolutions of growing reach, batch norm and ReLU, without pooling; a linear head on every base.

    With the default sizes a base sees 49 bases to either side. Inputs are those of `OneHotCNN`.
    """

    def __init__(self, config: OneHotBaseCNNConfig) -> None:
        super().__init__()
        self.config = config
        inputs = (4, *[config.channels] * (len(config.kernels) - 1))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(i, config.channels, (1, k), padding=(0, d * (k // 2)), dilation=(1, d), bias=False)
            for i, k, d in zip(inputs, config.kernels, config.dilations, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(config.channels) for _ in config.kernels)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.channels, config.outputs)
        for weight in self.parameters():
            if weight.dim() == 4:
                weight.data = weight.data.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Scores of every base, (B, L, outputs), before any softmax; those beyond a sequence's end mean nothing."""
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = functional.relu(norm(convolution(x)))  # (B, C, 1, L)
            if lengths is not None:
                x = x.masked_fill(_beyond(lengths, x.shape[3]), 0.0)
        out: Tensor = self.head(self.dropout(x[:, :, 0].transpose(1, 2)))
        return out


def _beyond(lengths: Tensor, width: int) -> Tensor:
    """True at the padding, shape (B, 1, 1, width)."""
    return (torch.arange(width, device=lengths.device) >= lengths[:, None])[:, None, None]
