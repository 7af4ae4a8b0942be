"""Numba kernels that count n-grams over long sequences; imported only where they are called."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from glmbench.sequences.typing import Codes, Integers


@njit(cache=True, nogil=True)
def count_longest(
    codes: Codes, longest: int, ngram: int, run: int, counts: NDArray[np.uint32], ends: Integers
) -> tuple[int, int]:
    """Add the n-grams of the longest order to `counts` and those that end a run of known bases to `ends`.

    A base that is followed by another one is the prefix of a longer n-gram; only at the end of a run is it not, so
    `ends` is all that the sums over prefixes lack.

    Args:
        codes: uint8 (length,), the next piece of a sequence; any code above 3 ends a run.
        longest: the order n that is counted.
        ngram: the last bases of the piece before, in base 4; 0 at the start of a sequence.
        run: how many known bases end the piece before.
        counts: (4^longest,), added to.
        ends: (sum of 4^n for n below `longest`,), order after order, added to.

    Returns:
        `ngram` and `run` for the next piece.
    """
    mask = (1 << (2 * longest)) - 1
    for i in range(codes.size):
        code = codes[i]
        if code > 3:
            first = 0
            for n in range(1, min(run, longest - 1) + 1):
                ends[first + (ngram & ((1 << (2 * n)) - 1))] += 1
                first += 1 << (2 * n)
            ngram = 0
            run = 0
        else:
            ngram = ((ngram << 2) | code) & mask
            run += 1
            if run >= longest:
                counts[ngram] += np.uint32(1)
    return ngram, run
