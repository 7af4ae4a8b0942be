"""Numba kernels that compare token strings before and after a change; imported only where they are called."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from glmbench.sequences.typing import Integers


@njit(cache=True, nogil=True)
def _edit_distance(a: NDArray[np.int32], b: NDArray[np.int32]) -> int:
    """Levenshtein's: fewest tokens to insert, delete or replace; equal fronts and backs are left out first."""
    front = 0
    while front < min(a.size, b.size) and a[front] == b[front]:
        front += 1
    a, b = a[front:], b[front:]
    back = 0
    while back < min(a.size, b.size) and a[a.size - 1 - back] == b[b.size - 1 - back]:
        back += 1
    a, b = a[: a.size - back], b[: b.size - back]
    row = np.arange(b.size + 1)
    for i in range(a.size):
        diagonal = row[0]
        row[0] = i + 1
        for j in range(b.size):
            kept = diagonal + (0 if a[i] == b[j] else 1)
            diagonal = row[j + 1]
            row[j + 1] = min(kept, diagonal + 1, row[j] + 1)
    distance: int = row[b.size]
    return distance


@njit(cache=True, nogil=True)
def _jaccard(a: NDArray[np.int32], b: NDArray[np.int32]) -> float:
    """Distinct tokens that both have, of those that either has; 1 where neither has any."""
    a, b = np.sort(a), np.sort(b)
    i = j = 0
    shared = either = 0
    while i < a.size or j < b.size:
        if j == b.size or (i < a.size and a[i] < b[j]):
            token = a[i]
        elif i == a.size or b[j] < a[i]:
            token = b[j]
        else:
            token = a[i]
            shared += 1
        either += 1
        while i < a.size and a[i] == token:
            i += 1
        while j < b.size and b[j] == token:
            j += 1
    return shared / either if either else 1.0


@njit(cache=True, nogil=True)
def token_changes(
    before: NDArray[np.int32],
    before_offsets: Integers,
    after: NDArray[np.int32],
    after_offsets: Integers,
    jaccard: NDArray[np.float64],
    distance: NDArray[np.float64],
) -> None:
    """Write Jaccard similarity and normalised edit distance of every pair of token strings.

    Args:
        before: int32 (tokens,), ids of all sequences.
        before_offsets: int64 (sequences + 1,).
        after: the same of the changed sequences.
        after_offsets: int64 (sequences + 1,).
        jaccard: float64 (sequences,), filled.
        distance: float64 (sequences,), filled: edits over the tokens of the longer string, 0 where both are empty.
    """
    for i in range(jaccard.size):
        a = before[before_offsets[i] : before_offsets[i + 1]]
        b = after[after_offsets[i] : after_offsets[i + 1]]
        jaccard[i] = _jaccard(a, b)
        distance[i] = _edit_distance(a, b) / max(a.size, b.size, 1)
