"""Numba kernels that count k-mers; imported only where they are called."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from glmbench.sequences.typing import Codes, Integers

_ROOM = 1 << 12
"""Bases that are looked at together; long sequences are taken in pieces that overlap by k - 1."""


@njit(cache=True, nogil=True)
def _first_n(codes: Codes) -> int:
    """Where the first N is, or the size; whether there is one is asked in a pass that vectorises."""
    seen = np.uint8(0)
    for i in range(codes.size):
        seen |= codes[i]
    end = 0 if seen > 3 else codes.size
    while end < codes.size and codes[end] < 4:
        end += 1
    return end


@njit(cache=True, nogil=True)
def _count_run(run: Codes, k: int, kmers: NDArray[np.uint16], counts: NDArray[Any]) -> None:
    """Add the k-mers of a run of known bases to `counts`; `kmers` is room for them.

    All k-mers are put together first, one base of each at a time: these loops vectorise, a rolling k-mer waits for
    the one before it.
    """
    number = run.size - k + 1
    for i in range(number):
        kmers[i] = run[i]
    for base in range(1, k):
        for i in range(number):
            kmers[i] = (kmers[i] << np.uint16(2)) | np.uint16(run[i + base])
    for i in range(number):
        counts[kmers[i]] += 1


@njit(cache=True, nogil=True)
def count_dense(codes: Codes, offsets: Integers, k: int, counts: NDArray[Any], table: NDArray[Any]) -> None:
    """Write the k-mer counts (k up to 8) of sequence i to row i of `table` (sequences, 4^k), windows with N left out.

    Each row is counted in `counts` (4^k), zeros of an integer type that holds them: it stays in the processor's
    nearest cache, where increments at random places are cheap, and is then written to the table in order.
    """
    kmers = np.empty(_ROOM, dtype=np.uint16)
    for i in range(offsets.size - 1):
        sequence = codes[offsets[i] : offsets[i + 1]]
        start = 0
        while start + k <= sequence.size:
            piece = sequence[start : start + _ROOM]
            end = _first_n(piece)
            if end >= k:
                _count_run(piece[:end], k, kmers, counts)
            start += end + 1 if end < piece.size else end - k + 1
        row = table[i]
        for kmer in range(counts.size):
            row[kmer] = counts[kmer]
            counts[kmer] = 0


@njit(cache=True, nogil=True)
def count_sparse(
    codes: Codes, offsets: Integers, k: int, indptr: Integers, indices: NDArray[np.int32], counts: NDArray[np.float32]
) -> int:
    """Fill the arrays of a CSR matrix (sequences, 4^k), columns ascending in each row; return the number of entries.

    One table of 4^k counts serves all rows: only the entries that a row touched are read and reset.
    """
    mask = (1 << (2 * k)) - 1
    table = np.zeros(1 << (2 * k), dtype=np.int32)
    filled = 0
    for i in range(offsets.size - 1):
        start = filled
        kmer = 0
        run = 0
        for j in range(offsets[i], offsets[i + 1]):
            code = codes[j]
            if code > 3:
                run = 0
            else:
                kmer = ((kmer << 2) | code) & mask
                run += 1
                if run >= k:
                    if table[kmer] == 0:
                        indices[filled] = kmer
                        filled += 1
                    table[kmer] += 1
        indices[start:filled].sort()
        for entry in range(start, filled):
            counts[entry] = table[indices[entry]]
            table[indices[entry]] = 0
        indptr[i + 1] = filled
    return filled


@njit(cache=True, nogil=True)
def fill_positional(codes: Codes, offsets: Integers, k: int, indptr: NDArray[Any], indices: NDArray[Any]) -> int:
    """Fill the arrays of a CSR matrix (sequences, positions * 4^k) that has a one for each window without N.

    Returns:
        The number of entries.
    """
    kmers = 1 << (2 * k)
    filled = 0
    for i in range(offsets.size - 1):
        kmer = 0
        run = 0
        for j in range(offsets[i], offsets[i + 1]):
            code = codes[j]
            if code > 3:
                run = 0
            else:
                kmer = ((kmer << 2) | code) & (kmers - 1)
                run += 1
                if run >= k:
                    indices[filled] = (j - offsets[i] - k + 1) * kmers + kmer
                    filled += 1
        indptr[i + 1] = filled
    return filled
