"""Numba kernels that train a unigram vocabulary; imported only where they are called.

A token is its bases packed into a uint32, two bits each, first base most significant, and its length (at most 16).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from glmbench.sequences.typing import Codes, Integers
from glmbench.tokenizers.unigram_kernels import cut_run

LONGEST = 16
"""Bases of the longest token; as many as fit into a uint32, and the tokenizers library's own limit."""
_LARGE = 1e100


@njit(cache=True, nogil=True)
def build_trie(packed: NDArray[np.uint32], lengths: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Children int32 (nodes, 4), 0 for none, and the token that ends in each node, or -1, int32 (nodes,)."""
    children = np.zeros((int(lengths.sum()) + 1, 4), dtype=np.int32)
    token_of = np.full(len(children), -1, dtype=np.int32)
    nodes = 1
    for token in range(packed.size):
        node = np.int32(0)
        for place in range(lengths[token]):
            base = (packed[token] >> np.uint32(2 * (lengths[token] - 1 - place))) & np.uint32(3)
            if children[node, base] == 0:
                children[node, base] = nodes
                nodes += 1
            node = children[node, base]
        token_of[node] = token
    return children[:nodes].copy(), token_of[:nodes].copy()


@njit(cache=True, nogil=True)
def expected_counts(
    codes: Codes,
    bounds: Integers,
    children: NDArray[np.int32],
    token_of: NDArray[np.int32],
    probabilities: NDArray[np.float64],
    counts: NDArray[np.float64],
) -> None:
    """Add how often each token is expected, over all ways to cut each piece (forward-backward), to `counts`.

    Sums are not of logarithms: every base multiplies what passes it by 4, so that sums stay near 1, and where one
    grows or shrinks too far, a base farther on than any token that is under way multiplies by its inverse.

    Args:
        codes: uint8 (bases,), the pieces one after the other, without N.
        bounds: int64 (pieces + 1,).
        children: as from `build_trie`.
        token_of: as from `build_trie`.
        probabilities: float64 (tokens,).
        counts: float64 (tokens,).
    """
    most = np.diff(bounds).max()
    forward, backward = np.empty(most + 1), np.empty(most + 1)
    factors = np.empty(most + 1)
    for row in range(bounds.size - 1):
        piece = codes[bounds[row] : bounds[row + 1]]
        width = piece.size
        factors[: width + 1] = 4.0
        forward[: width + 1] = 0.0
        forward[0] = 1.0
        adjusted = 0
        for start in range(width):
            weight = forward[start]
            beyond = start + LONGEST + 1
            if start >= adjusted and beyond <= width and not 1 / _LARGE < weight < _LARGE:
                factors[beyond] = 4.0 / weight
                adjusted = beyond
            node = np.int32(0)
            for place in range(start, width):
                node = children[node, piece[place]]
                if node == 0:
                    break
                weight *= factors[place + 1]
                if token_of[node] >= 0:
                    forward[place + 1] += weight * probabilities[token_of[node]]
        backward[width] = 1.0
        for start in range(width - 1, -1, -1):
            total = 0.0
            weight = 1.0
            share = forward[start] / forward[width]
            node = np.int32(0)
            for place in range(start, width):
                node = children[node, piece[place]]
                if node == 0:
                    break
                weight *= factors[place + 1]
                token = token_of[node]
                if token >= 0:
                    onward = weight * probabilities[token] * backward[place + 1]
                    total += onward
                    counts[token] += share * onward
            backward[start] = total


@njit(cache=True, nogil=True)
def best_cut_counts(
    codes: Codes,
    bounds: Integers,
    children: NDArray[np.int32],
    token_of: NDArray[np.int32],
    scores: NDArray[np.float64],
    counts: NDArray[np.float64],
) -> None:
    """Add how often each token occurs in the best cut of each piece (Viterbi) to `counts` float64 (tokens,)."""
    most = np.diff(bounds).max()
    best = np.empty(most + 1)
    last, last_start = np.empty(most + 1, dtype=np.int32), np.empty(most + 1, dtype=np.int32)
    for row in range(bounds.size - 1):
        piece = codes[bounds[row] : bounds[row + 1]]
        width = piece.size
        cut_run(piece, children, token_of, scores, best, last, last_start)
        end = width
        while end > 0:
            counts[last[end]] += 1
            end = last_start[end]


@njit(cache=True, nogil=True)
def alternatives(
    packed: NDArray[np.uint32],
    lengths: NDArray[np.int32],
    children: NDArray[np.int32],
    token_of: NDArray[np.int32],
    scores: NDArray[np.float64],
    instead: NDArray[np.int32],
    better: NDArray[np.bool_],
) -> None:
    """For each token the best cut of its bases into others.

    Args:
        packed: uint32 (tokens,).
        lengths: int32 (tokens,).
        children: as from `build_trie`.
        token_of: as from `build_trie`.
        scores: float64 (tokens,).
        instead: int32 (tokens, 16), filled with the tokens of that cut, then -1; all -1 for a single base.
        better: bool (tokens,), filled: whether that cut scores more than the token itself.
    """
    bases = np.empty(LONGEST, dtype=np.uint8)
    best = np.empty(LONGEST + 1)
    last, last_start = np.empty(LONGEST + 1, dtype=np.int32), np.empty(LONGEST + 1, dtype=np.int32)
    without = scores.copy()
    for token in range(packed.size):
        instead[token, :] = -1
        better[token] = False
        length = lengths[token]
        if length == 1:
            continue
        for place in range(length):
            bases[place] = (packed[token] >> np.uint32(2 * (length - 1 - place))) & np.uint32(3)
        without[token] = -np.inf
        cut_run(bases[:length], children, token_of, without, best, last, last_start)
        without[token] = scores[token]
        better[token] = best[length] > scores[token]
        end = length
        place = 0
        while end > 0:
            instead[token, place] = last[end]
            place += 1
            end = last_start[end]
