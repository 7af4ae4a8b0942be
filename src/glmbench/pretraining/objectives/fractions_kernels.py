"""Numba kernels that count what is hidden; imported only where they are called."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def count_hidden(
    offsets: NDArray[np.int64], starts: NDArray[np.int32], ends: NDArray[np.int32], positions: NDArray[np.int64]
) -> tuple[int, int, int, int]:
    """Hidden tokens, tokens, hidden bases, bases, of tokens that cover bases; starts ascend within a row."""
    hidden_tokens = tokens = shown_bases = bases = next_hidden = 0
    for row in range(offsets.size - 1):
        covered = shown = 0  # bases before these are counted already: of all tokens, of tokens that are not hidden
        for i in range(offsets[row], offsets[row + 1]):
            hidden = next_hidden < positions.size and positions[next_hidden] == i
            next_hidden += hidden
            begin, end = starts[i], ends[i]
            if begin == end:
                continue
            tokens += 1
            hidden_tokens += hidden
            bases += max(end - max(begin, covered), 0)
            covered = max(covered, end)
            if not hidden:
                shown_bases += max(end - max(begin, shown), 0)
                shown = max(shown, end)
    return hidden_tokens, tokens, bases - shown_bases, bases
