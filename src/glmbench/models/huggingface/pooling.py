"""One vector a row from the states of its tokens, and one a sequence from those of its windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from glmbench.models.model import Pool

if TYPE_CHECKING:
    from torch import Tensor

    from glmbench.networks.packing import Packing


def pool_rows(states: Tensor, packing: Packing, prefix: int, counts: Sequence[int], pool: Pool) -> Tensor:
    """Mean or maximum, (rows, dim), over the tokens of each row that stand for bases.

    Args:
        states: float32 (tokens, dim) of rows end to end.
        packing: of the rows.
        prefix: special tokens before the others in each row.
        counts: tokens that stand for bases in each row.
        pool: `mean` or `max`.
    """
    import torch

    starts = packing.offsets[:-1].long() + prefix
    lengths = torch.tensor(counts, device=states.device)
    before = lengths.cumsum(0) - lengths
    places = torch.repeat_interleave(starts - before, lengths)
    places += torch.arange(len(places), device=states.device)
    return torch.segment_reduce(states[places], pool, lengths=lengths)


def pool_windows(
    features: NDArray[np.float32], owners: NDArray[np.intp], weights: NDArray[np.float32], count: int, pool: Pool
) -> NDArray[np.float32]:
    """One row a sequence from one row a window: the maximum, or the mean weighted by tokens.

    Args:
        features: (windows, dim).
        owners: the sequence of each window.
        weights: tokens of each window.
        count: number of sequences; each has a window.
        pool: how rows were pooled; those of a first or last token are averaged.
    """
    if pool == "max":
        highest = np.full((count, features.shape[1]), -np.inf, dtype=np.float32)
        np.maximum.at(highest, owners, features)
        return highest
    total = np.zeros((count, features.shape[1]), dtype=np.float32)
    np.add.at(total, owners, features * weights[:, None])
    return total / np.bincount(owners, weights=weights, minlength=count).astype(np.float32)[:, None]
