"""Between a padded batch and packed tokens: padding is taken out once, before the first layer, and put back at last."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from glmbench.networks.packing import Packing


@dataclass(frozen=True)
class Rows:
    """Where packed tokens lie in a padded batch.

    Attributes:
        shape: (batch, length).
        packing: of the real tokens; rows without any are no sequences.
        index: int64 (tokens,), positions of the real tokens in the flattened batch; None where all are real.
    """

    shape: tuple[int, int]
    packing: Packing
    index: Tensor | None

    def pack(self, x: Tensor) -> Tensor:
        """Values of the real tokens, (tokens, …), of x, (batch, length, …)."""
        flat = x.flatten(0, 1)
        return flat if self.index is None else flat[self.index]

    def pad(self, x: Tensor) -> Tensor:
        """The batch (batch, length, …) of x, (tokens, …); zero at padding."""
        if self.index is None:
            return x.view(*self.shape, *x.shape[1:])
        whole = x.new_zeros(self.shape[0] * self.shape[1], *x.shape[1:])
        return whole.index_copy(0, self.index, x).view(*self.shape, *x.shape[1:])


def find_rows(ids: Tensor, mask: Tensor | None) -> Rows:
    """Where the real tokens of `ids`, (batch, length), are: those with a mask that is not 0.

    Padding may be on either side. A masked token inside a sequence is taken out, and its neighbours become adjacent.
    """
    batch, length = ids.shape
    if mask is None or bool((mask != 0).all()):
        return Rows((batch, length), uniform_packing(batch, length, ids.device), None)
    real = mask != 0
    counts = real.sum(dim=1)
    counts = counts[counts > 0]
    offsets = torch.zeros(len(counts) + 1, dtype=torch.int32, device=ids.device)
    offsets[1:] = counts.cumsum(0)
    index = real.flatten().nonzero()[:, 0]
    return Rows((batch, length), Packing(tuple(counts.tolist()), offsets), index)


def uniform_packing(sequences: int, length: int, device: torch.device) -> Packing:
    """The packing of sequences of one length."""
    offsets = torch.arange(sequences + 1, dtype=torch.int32, device=device) * length
    return Packing((length,) * sequences, offsets)


def positions(packing: Packing) -> Tensor:
    """Position of every token in its own sequence, int64 (tokens,), on the device of the packing."""
    offsets = packing.offsets.long()
    starts = torch.repeat_interleave(offsets[:-1], offsets.diff(), output_size=packing.tokens)
    return torch.arange(packing.tokens, device=offsets.device) - starts


def sequence_of(packing: Packing) -> Tensor:
    """Which sequence every token belongs to, int32 (tokens,), on the device of the packing."""
    offsets = packing.offsets
    numbers = torch.arange(len(packing.lengths), dtype=torch.int32, device=offsets.device)
    return torch.repeat_interleave(numbers, offsets.diff(), output_size=packing.tokens)
