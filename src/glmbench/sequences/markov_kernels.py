"""Numba kernels of the order-k Markov model; imported only where they are called.

The tables of all orders 0..k stand one below the other: order j begins at row (4^j - 1) / 3 and has 4^j rows.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from glmbench.sequences.typing import Codes, Integers


@njit(cache=True, nogil=True)
def count_transitions(codes: Codes, offsets: Integers, order: int, table: Integers) -> None:
    """Add each base to the row of its context, at every order that the bases before it allow."""
    for i in range(offsets.size - 1):
        context = 0
        run = 0
        for position in range(offsets[i], offsets[i + 1]):
            code = codes[position]
            if code > 3:
                context = 0
                run = 0
                continue
            first_row = 0
            rows = 1
            for _ in range(min(run, order) + 1):
                table[first_row + context % rows, code] += 1
                first_row += rows
                rows *= 4
            context = (context * 4 + code) % (1 << (2 * order))
            run += 1


@njit(cache=True, nogil=True)
def sum_log_probabilities(
    codes: Codes, offsets: Integers, order: int, table: NDArray[np.float64], sums: NDArray[np.float64]
) -> None:
    """Write the log probability of each sequence; an N adds nothing and ends the context."""
    for i in range(offsets.size - 1):
        context = 0
        run = 0
        total = 0.0
        for position in range(offsets[i], offsets[i + 1]):
            code = codes[position]
            if code > 3:
                context = 0
                run = 0
                continue
            first_row = ((1 << (2 * min(run, order))) - 1) // 3
            total += table[first_row + context, code]
            context = (context * 4 + code) % (1 << (2 * order))
            run += 1
        sums[i] = total


@njit(cache=True, nogil=True)
def sample_bases(rng: np.random.Generator, order: int, cumulative: NDArray[np.float64], codes: Codes) -> None:
    """Fill `codes` (n, length) base by base: the base whose share of `cumulative` a uniform number falls into."""
    for i in range(codes.shape[0]):
        context = 0
        for position in range(codes.shape[1]):
            first_row = ((1 << (2 * min(position, order))) - 1) // 3
            row = cumulative[first_row + context]
            uniform = rng.random()
            code = 0
            while code < 3 and uniform >= row[code]:
                code += 1
            codes[i, position] = code
            context = (context * 4 + code) % (1 << (2 * order))
