"""Numba kernels that draw tokens and corrupt them; imported only where they are called."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from glmbench.pretraining.objectives.random_kernels import below, bits, high, threshold


@njit(cache=True, nogil=True)
def draw_tokens(
    ids: NDArray[np.int32], eligible: NDArray[np.bool_], probability: float, seed: np.uint64
) -> NDArray[np.bool_]:
    """Choose each token whose id is eligible with one probability, on its own."""
    limit = threshold(probability)
    hidden = np.empty(ids.size, np.bool_)
    for i in range(ids.size):
        hidden[i] = (high(bits(seed, i)) < limit) & eligible[ids[i]]
    return hidden


@njit(cache=True, nogil=True)
def corrupt(
    ids: NDArray[np.int32],
    hidden: NDArray[np.bool_],
    mask_id: int,
    replacements: NDArray[np.int32],
    masked: float,
    random: float,
    seed: np.uint64,
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int32]]:
    """What is seen, where tokens are hidden, and the true tokens there."""
    until_masked, until_random = threshold(masked), threshold(masked + random)
    seen = ids.copy()
    count = 0
    for i in range(ids.size):
        count += hidden[i]
    positions, targets = np.empty(count, np.int64), np.empty(count, np.int32)
    n = 0
    for i in range(ids.size):
        if not hidden[i]:
            continue
        positions[n], targets[n] = i, ids[i]
        n += 1
        x = bits(seed, i)
        if high(x) < until_masked:
            seen[i] = mask_id
        elif high(x) < until_random:
            seen[i] = replacements[below(x, replacements.size)]
    return seen, positions, targets
