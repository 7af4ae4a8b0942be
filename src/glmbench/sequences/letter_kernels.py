"""Numba kernels from letters (ASCII bytes) to base codes; imported only where they are called."""

from __future__ import annotations

import numpy as np
from numba import njit

from glmbench.sequences.typing import Codes, Integers

_A, _C, _G, _T, _U = (np.uint8(ord(letter)) for letter in "ACGTU")
_BLOCK = 128
"""Letters that are checked between two additions to the total: a uint8 can count them, and the loop stays in bytes."""


@njit(cache=True, nogil=True)
def encode_letters(letters: Codes, codes: Codes) -> int:
    """Write the code of every letter: A, C, G, T or U of either case 0, 1, 2, 3, 3, and 4 for anything else.

    Bits 1 and 2 of the ASCII letter tell the four bases apart in both cases, so the loop is arithmetic on bytes, which
    the compiler vectorises as it cannot a table look-up. `codes` must not overlap `letters`: that would forbid it too.

    Returns:
        How many letters are irregular, that is not one of upper-case A, C, G, T.
    """
    irregular = 0
    for start in range(0, letters.size, _BLOCK):
        block = letters[start : start + _BLOCK]
        coded = codes[start : start + _BLOCK]
        for i in range(block.size):
            letter = block[i]
            upper = letter & np.uint8(0xDF)
            is_base = (upper == _A) | (upper == _C) | (upper == _G) | (upper == _T) | (upper == _U)
            code = ((letter >> np.uint8(1)) ^ (letter >> np.uint8(2))) & np.uint8(3)
            coded[i] = code if is_base else np.uint8(4)
        in_block = np.uint8(0)
        for i in range(block.size):
            letter = block[i]
            is_irregular = (letter != _A) & (letter != _C) & (letter != _G) & (letter != _T)
            in_block = np.uint8(in_block + np.uint8(is_irregular))
        irregular += int(in_block)
    return irregular


@njit(cache=True, nogil=True)
def letter_histogram(letters: Codes, histogram: Integers) -> None:
    """Add the count of each of the 256 byte values to `histogram`.

    Four tables in turn: an increment need not wait for the one before it where neighbours are equal.
    """
    tables = np.zeros((4, 256), dtype=np.int64)
    whole = letters.size - letters.size % 4
    for i in range(0, whole, 4):
        tables[0, letters[i]] += 1
        tables[1, letters[i + 1]] += 1
        tables[2, letters[i + 2]] += 1
        tables[3, letters[i + 3]] += 1
    for i in range(whole, letters.size):
        tables[0, letters[i]] += 1
    histogram += tables.sum(axis=0)
