"""Numba kernels that cut base codes into k-mers, overlapping or side by side; imported only where they are called."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from glmbench.sequences.typing import Codes, Integers

_ROOM = 1 << 12
"""Bases that are looked at together, so few that they stay in the processor's nearest cache."""


@njit(cache=True, nogil=True)
def _fill_known(piece: Codes, k: int, first: int, digits: NDArray[np.int32], ids: NDArray[np.int32]) -> None:
    """Ids of the overlapping k-mers of a piece without N; base by base, which vectorises."""
    for i in range(ids.size):
        ids[i] = digits[piece[i]]
    for base in range(1, k):
        for i in range(ids.size):
            ids[i] = (ids[i] << np.int32(2)) | digits[piece[i + base]]
    for i in range(ids.size):
        ids[i] += first


@njit(cache=True, nogil=True)
def _fill_rolling(
    piece: Codes, k: int, first: int, unknown: int, digits: NDArray[np.int32], ids: NDArray[np.int32]
) -> None:
    """The same for a piece that holds N: every k-mer that reaches one is `unknown`."""
    mask = (1 << (2 * k)) - 1
    kmer = run = 0
    for i in range(piece.size):
        if piece[i] > 3:
            kmer = run = 0
        else:
            kmer = ((kmer << 2) | digits[piece[i]]) & mask
            run += 1
        if i >= k - 1:
            ids[i - k + 1] = first + kmer if run >= k else unknown


@njit(cache=True, nogil=True)
def overlapping_ids(
    codes: Codes,
    offsets: Integers,
    k: int,
    first: int,
    unknown: int,
    digits: NDArray[np.int32],
    ids: NDArray[np.int32],
    starts: NDArray[np.int32],
) -> None:
    """Fill the ids and the first bases of the overlapping k-mers of every sequence, one sequence after another.

    Args:
        codes: uint8 (bases,).
        offsets: int64 (sequences + 1,), of the sequences in `codes`.
        k: bases of a token.
        first: id of the first k-mer.
        unknown: id of a k-mer that holds an N.
        digits: int32 (5,), the base-4 digit of every base code.
        ids: int32 (tokens,), filled.
        starts: int32 (tokens,), filled.
    """
    at = 0
    for sequence in range(offsets.size - 1):
        start = offsets[sequence]
        number = offsets[sequence + 1] - start - k + 1
        for begin in range(0, number, _ROOM):
            tokens = min(_ROOM, number - begin)
            piece = codes[start + begin : start + begin + tokens + k - 1]
            seen = np.uint8(0)
            for i in range(piece.size):
                seen |= piece[i]
            room = ids[at : at + tokens]
            if seen > 3:
                _fill_rolling(piece, k, first, unknown, digits, room)
            else:
                _fill_known(piece, k, first, digits, room)
            for i in range(tokens):
                starts[at + i] = begin + i
            at += tokens


@njit(cache=True, nogil=True)
def count_blocks(codes: Codes, offsets: Integers, k: int, counts: Integers) -> None:
    """Write the tokens of every sequence, cut into k-mers side by side, to `counts` int64 (sequences,)."""
    for sequence in range(offsets.size - 1):
        tokens = run = 0
        for i in range(offsets[sequence], offsets[sequence + 1]):
            if codes[i] > 3:
                tokens += run // k + run % k + 1
                run = 0
            else:
                run += 1
        counts[sequence] = tokens + run // k + run % k


@njit(cache=True, nogil=True)
def block_ids(
    codes: Codes,
    offsets: Integers,
    k: int,
    first: int,
    single: int,
    unknown: int,
    digits: NDArray[np.int32],
    ids: NDArray[np.int32],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
) -> None:
    """Fill ids and spans of the k-mers side by side: each stretch without N from its left, its rest base by base.

    Args:
        codes: uint8 (bases,).
        offsets: int64 (sequences + 1,), of the sequences in `codes`.
        k: bases of a token.
        first: id of the first k-mer.
        single: id of the first single base.
        unknown: id of an N.
        digits: int32 (5,), the base-4 digit of every base code.
        ids: int32 (tokens,), filled.
        starts: int32 (tokens,), filled.
        ends: int32 (tokens,), filled.
    """
    at = 0
    for sequence in range(offsets.size - 1):
        origin, last = offsets[sequence], offsets[sequence + 1]
        i = origin
        while i < last:
            kmer = 0
            taken = 0
            if i + k <= last:
                while taken < k and codes[i + taken] < 4:
                    kmer = (kmer << 2) | digits[codes[i + taken]]
                    taken += 1
            if taken == k:
                ids[at] = first + kmer
            else:
                taken = 1
                ids[at] = unknown if codes[i] > 3 else single + digits[codes[i]]
            starts[at] = i - origin
            ends[at] = i - origin + taken
            i += taken
            at += 1
