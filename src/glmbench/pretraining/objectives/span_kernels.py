"""Numba kernels that choose tokens and hide spans around them; imported only where they are called.

Chosen tokens are held as `centres`, int64 indices into the tokens of the batch, ascending within a row, and `bounds`,
int64 (rows + 1,): row r has the centres `bounds[r]` to before `bounds[r + 1]`. `eligible` says of every id of the
vocabulary whether a token of that id may be chosen or hidden.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from glmbench.pretraining.objectives.random_kernels import below, bits, high, threshold

Ids = NDArray[np.int32]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]

_MANY = 64
"""Centres of a row above which the row is sorted: inserting them one by one is quadratic in their number."""


@njit(cache=True, nogil=True)
def draw_centres(
    ids: Ids, offsets: Indices, eligible: Flags, probability: float, seed: np.uint64
) -> tuple[Indices, Indices]:
    """Choose each eligible token with one probability, on its own."""
    limit = threshold(probability)
    found = np.empty(ids.size + 1, np.int64)  # the last candidate is written before it is known to count
    bounds = np.zeros(offsets.size, np.int64)
    n = 0
    for row in range(offsets.size - 1):
        for i in range(offsets[row], offsets[row + 1]):
            found[n] = i
            n += (high(bits(seed, i)) < limit) & eligible[ids[i]]
        bounds[row + 1] = n
    return found[:n].copy(), bounds


@njit(cache=True, nogil=True)
def best_in_windows(
    ids: Ids,
    offsets: Indices,
    eligible: Flags,
    looked_up: Ids,
    ranks: Ids,
    centres: Indices,
    bounds: Indices,
    before: int,
    after: int,
) -> tuple[Indices, NDArray[np.float64]]:
    """The token of lowest rank around each centre, and its rank.

    The rank of token i is `ranks[looked_up[i]]`. Among equals the centre wins, then the leftmost.
    """
    best, score = np.empty(centres.size, np.int64), np.empty(centres.size, np.float64)
    for row in range(offsets.size - 1):
        for j in range(bounds[row], bounds[row + 1]):
            centre = centres[j]
            at, lowest = centre, ranks[looked_up[centre]]
            for i in range(max(centre - before, offsets[row]), min(centre + after + 1, offsets[row + 1])):
                rank = ranks[looked_up[i]]
                if rank < lowest and eligible[ids[i]]:
                    at, lowest = i, rank
            best[j], score[j] = at, lowest
    return best, score


@njit(cache=True, nogil=True)
def any_in_windows(
    ids: Ids,
    offsets: Indices,
    eligible: Flags,
    centres: Indices,
    bounds: Indices,
    before: int,
    after: int,
    seed: np.uint64,
) -> Indices:
    """One eligible token around each centre, all equally likely."""
    chosen = centres.copy()
    for row in range(offsets.size - 1):
        for j in range(bounds[row], bounds[row + 1]):
            begin, end = max(centres[j] - before, offsets[row]), min(centres[j] + after + 1, offsets[row + 1])
            there = 0
            for i in range(begin, end):
                there += eligible[ids[i]]
            left = below(bits(seed, j), there)
            for i in range(begin, end):
                if eligible[ids[i]]:
                    if left == 0:
                        chosen[j] = i
                    left -= 1
    return chosen


@njit(cache=True, nogil=True)
def lower_half(scores: NDArray[np.float64], bounds: Indices) -> Flags:
    """Which centres are among the ceil(m / 2) of lowest score of the m in their row; among equals the first."""
    chosen = np.zeros(scores.size, np.bool_)
    for row in range(bounds.size - 1):
        begin, end = bounds[row], bounds[row + 1]
        wanted = (end - begin + 1) // 2
        order = np.argsort(scores[begin:end], kind="mergesort")
        for j in order[:wanted]:
            chosen[begin + j] = True
    return chosen


@njit(cache=True, nogil=True)
def best_of_rows(ids: Ids, offsets: Indices, eligible: Flags, ranks: Ids, bounds: Indices) -> Indices:
    """As many eligible tokens of lowest rank in each row as `bounds` gives it centres; among equals the first.

    Ascending by rank within a row. A row never has more centres than eligible tokens.
    """
    chosen = np.empty(bounds[-1], np.int64)
    for row in range(offsets.size - 1):
        begin, wanted = bounds[row], bounds[row + 1] - bounds[row]
        if wanted > _MANY:  # inserting is quadratic in their number, sorting is not
            own = np.array([i for i in range(offsets[row], offsets[row + 1]) if eligible[ids[i]]])
            order = np.argsort(np.array([ranks[ids[i]] for i in own]), kind="mergesort")
            chosen[begin : begin + wanted] = own[order[:wanted]]
            continue
        held = 0
        for i in range(offsets[row], offsets[row + 1]):
            if wanted == 0 or not eligible[ids[i]]:
                continue
            rank = ranks[ids[i]]
            if held == wanted and rank >= ranks[ids[chosen[begin + held - 1]]]:
                continue
            held += held < wanted
            j = begin + held - 1
            while j > begin and ranks[ids[chosen[j - 1]]] > rank:
                chosen[j] = chosen[j - 1]
                j -= 1
            chosen[j] = i
    return chosen


@njit(cache=True, nogil=True)
def hide_around(
    ids: Ids,
    offsets: Indices,
    eligible: Flags,
    centres: Indices,
    bounds: Indices,
    wanted: Flags,
    before: int,
    after: int,
    hidden: Flags,
) -> None:
    """Hide the eligible tokens from `before` before to `after` after each wanted centre, within its row."""
    for row in range(offsets.size - 1):
        for j in range(bounds[row], bounds[row + 1]):
            if not wanted[j]:
                continue
            for i in range(max(centres[j] - before, offsets[row]), min(centres[j] + after + 1, offsets[row + 1])):
                hidden[i] |= eligible[ids[i]]
