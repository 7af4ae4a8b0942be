"""Numba kernels of the near-duplicate search; imported only where they are called."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

_Codes = NDArray[np.uint8]
_Integers = NDArray[np.int64]
_Places = NDArray[np.int32]

_BLOCK = 128
"""Bases that are compared before looking whether enough can still agree.

Within a block there is no branch, and the count is one byte, so that the compiler compares many bases at once.
"""


@njit(cache=True, nogil=True)
def needed_matches(length: int, min_identity: float) -> int:
    """The least number of equal bases that is at least `min_identity` of `length`."""
    # 0.9 · 70 is 63.000…01 in floating point: without the allowance 64 would be asked for.
    return math.ceil(min_identity * length - 1e-9)


@njit(cache=True, nogil=True)
def _seed_at(codes: _Codes, start: int, k: int) -> int:
    """The base-4 number of the k bases from `start`, or -1 where one is unknown."""
    seed = 0
    for i in range(start, start + k):
        if codes[i] > 3:
            return -1
        seed = seed * 4 + codes[i]
    return seed


@njit(cache=True, nogil=True)
def index_seeds(codes: _Codes, offsets: _Integers, k: int) -> tuple[_Integers, _Places, _Places]:
    """Where every k-mer stands, by counting sort.

    Args:
        codes: uint8 (total bases,), rows one after another.
        offsets: int64 (rows + 1,).
        k: length of a seed, in bases.

    Returns:
        Starts, int64 (4^k + 1,): k-mer x has the entries starts[x]:starts[x + 1] of the other two, positions within the
        row, in rising order, and rows, rising within a position.
    """
    starts = np.zeros(4**k + 1, dtype=np.int64)
    longest = 0
    for row in range(offsets.size - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
        for i in range(offsets[row], offsets[row + 1] - k + 1):
            seed = _seed_at(codes, i, k)
            if seed >= 0:
                starts[seed + 1] += 1
    for x in range(4**k):
        starts[x + 1] += starts[x]
    positions = np.empty(starts[-1], dtype=np.int32)
    rows = np.empty(starts[-1], dtype=np.int32)
    free = starts[:-1].copy()
    for position in range(longest - k + 1):
        for row in range(offsets.size - 1):
            if offsets[row] + position + k <= offsets[row + 1]:
                seed = _seed_at(codes, offsets[row] + position, k)
                if seed >= 0:
                    positions[free[seed]] = position
                    rows[free[seed]] = row
                    free[seed] += 1
    return starts, positions, rows


@njit(cache=True, nogil=True)
def _first_at_least(positions: _Places, low: int, high: int, wanted: int) -> int:
    """The first entry of low:high whose position is at least `wanted`, or `high`."""
    while low < high:
        middle = (low + high) // 2
        if positions[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def _nearly_agree(a: _Codes, b: _Codes, offset: int, min_identity: float) -> bool:
    """Whether a and b agree well enough where base i of b lies on base i + offset of a."""
    first = max(0, -offset)
    last = min(b.size, a.size - offset)
    spare = last - first - needed_matches(max(a.size, b.size), min_identity)
    for start in range(first, last, _BLOCK):
        if spare < 0:
            return False
        size = min(_BLOCK, last - start)
        of_a, of_b = a[start + offset : start + offset + size], b[start : start + size]
        differing = np.uint8(0)
        for i in range(size):
            differing = np.uint8(differing + np.uint8((of_a[i] != of_b[i]) | (of_b[i] > 3)))
        spare -= int(differing)
    return spare >= 0


@njit(cache=True, nogil=True)
def first_partners(
    codes_a: _Codes,
    offsets_a: _Integers,
    starts: _Integers,
    positions: _Places,
    rows: _Places,
    codes_b: _Codes,
    offsets_b: _Integers,
    itself: _Integers,
    best: _Integers,
    k: int,
    min_length: int,
    min_identity: float,
) -> None:
    """Lower `best[j]` to the first row of a that nearly agrees with row j of b and is not `itself[j]`.

    Args:
        codes_a: uint8, the bases of a, whose index are `starts`, `positions` and `rows` (see `index_seeds`).
        offsets_a: int64 (rows of a + 1,).
        starts: of the index.
        positions: of the index.
        rows: of the index.
        codes_b: uint8, the bases of b.
        offsets_b: int64 (rows of b + 1,).
        itself: int64 (rows of b,), the row of a that holds the same sequence, or -1.
        best: int64 (rows of b,), changed in place.
        k: length of a seed, at most that of a piece of any row of b.
        min_length: shorter rows have no partners.
        min_identity: share of the longer row that must agree.
    """
    for j in range(offsets_b.size - 1):
        b = codes_b[offsets_b[j] : offsets_b[j + 1]]
        if b.size < min_length:
            continue
        differing = b.size - needed_matches(b.size, min_identity)
        piece = b.size // (differing + 1)
        # A partner may be longer, by what its own share allows; that much more of it may come before b.
        reach = int((1 - min_identity) * b.size / min_identity + 1e-9)
        for p in range(0, (differing + 1) * piece, piece):
            seed = _seed_at(b, p, k)
            if seed < 0:
                continue
            end = starts[seed + 1]
            entry = _first_at_least(positions, starts[seed], end, p - differing)
            while entry < end and positions[entry] <= p + reach:
                row = rows[entry]
                if row >= best[j]:
                    # Rows rise within a position: nothing better before the next one.
                    entry = _first_at_least(positions, entry, end, positions[entry] + 1)
                    continue
                a = codes_a[offsets_a[row] : offsets_a[row + 1]]
                if (
                    row != itself[j]
                    and a.size >= min_length
                    and _nearly_agree(a, b, positions[entry] - p, min_identity)
                ):
                    best[j] = row
                entry += 1
