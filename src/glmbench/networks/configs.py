"""Sizes of our architectures: plain values that import no torch, so that a model's card can be written without it."""

from __future__ import annotations

from dataclasses import dataclass

from glmbench.errors import UsageError


@dataclass(frozen=True)
class OneHotCNNConfig:
    """Sizes of `networks.onehot_cnn.OneHotCNN`.

    With the defaults a feature of the last layer sees 86 bp. Every length from 1 bp works: pooling keeps a ragged last
    window.
    """

    channels: tuple[int, ...] = (64, 128, 128)
    """Filters of each convolution."""
    kernels: tuple[int, ...] = (15, 7, 3)
    """Odd kernel width of each convolution, in positions of its own input."""
    pool: int = 4
    """Width and stride of the max pooling between convolutions."""
    channel_dropout: float = 0.2
    """Share of channels between convolutions that is dropped, each in all positions of a sequence, while training."""
    dropout: float = 0.5
    """Share of pooled features that is dropped before the head while training."""
    outputs: int = 2

    def __post_init__(self) -> None:
        """Refuse sizes that make no network."""
        if not self.channels or len(self.channels) != len(self.kernels):
            raise UsageError(f"one kernel per layer is wanted, got channels {self.channels} and kernels {self.kernels}")
        if any(kernel < 1 or kernel % 2 == 0 for kernel in self.kernels):
            raise UsageError(f"kernels {self.kernels}: want odd widths, so that an output position has a centre")
        if min(*self.channels, self.pool, self.outputs) < 1:
            raise UsageError(f"sizes of a one-hot CNN must be positive, got {self}")
        if not (0 <= self.dropout < 1 and 0 <= self.channel_dropout < 1):
            raise UsageError(f"shares that are dropped must be at least 0 and below 1, got {self}")

    @property
    def parameters(self) -> int:
        """Number of weights below the head."""
        inputs = (4, *self.channels[:-1])
        convolutions = sum(i * o * k for i, o, k in zip(inputs, self.channels, self.kernels, strict=True))
        return convolutions + 2 * sum(self.channels)


@dataclass(frozen=True)
class OneHotBaseCNNConfig:
    """Sizes of `networks.onehot_cnn.OneHotBaseCNN`; with the defaults a base sees 49 bases to either side."""

    channels: int = 64
    kernels: tuple[int, ...] = (15, 7, 7, 7)
    """Odd kernel width of each convolution."""
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    """Distance of the positions that a kernel reads."""
    dropout: float = 0.1
    outputs: int = 2

    def __post_init__(self) -> None:
        """Refuse sizes that make no network."""
        if not self.kernels or len(self.kernels) != len(self.dilations):
            raise UsageError(f"one dilation per kernel is wanted, got {self.kernels} and {self.dilations}")
        if any(kernel < 1 or kernel % 2 == 0 for kernel in self.kernels):
            raise UsageError(f"kernels {self.kernels}: want odd widths, so that an output position has a centre")
        if min(self.channels, *self.dilations, self.outputs) < 1 or not 0 <= self.dropout < 1:
            raise UsageError(f"sizes of a one-hot CNN must be positive, got {self}")
