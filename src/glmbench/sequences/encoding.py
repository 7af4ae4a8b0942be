"""One-hot arrays and reverse complements, of letters and of codes."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from glmbench.sequences.typing import Codes

_LETTERS = "ACGTURYSWKMBDHVN"
_COMPLEMENTS = "TGCAAYRSWMKVHDBN"
_COMPLEMENT_OF_LETTER = str.maketrans(_LETTERS + _LETTERS.lower(), _COMPLEMENTS + _COMPLEMENTS.lower())
_COMPLEMENT_OF_CODE = np.array([3, 2, 1, 0, 4], dtype=np.uint8)


def one_hot(
    codes: Codes,
    dtype: DTypeLike = np.float32,
    layout: Literal["length-first", "channels-first"] = "length-first",
) -> NDArray[Any]:
    """One-hot array of base codes, channels in the order A, C, G, T; N is all zeros.

    Args:
        codes: uint8 (..., length), values 0..4.
        dtype: element type of the result.
        layout: "length-first" for (..., length, 4); "channels-first" for (..., 4, length), as torch convolutions take.
    """
    from glmbench.sequences.encoding_kernels import fill_channels_first, fill_channels_last

    # Whatever the type, zero has no bit set: the kernels write bit patterns, so one serves all types of a size.
    one = np.ones(1, dtype=dtype)
    one_bits = one.view(f"u{one.itemsize}")[0]
    codes = np.ascontiguousarray(codes)
    if layout == "length-first":
        result = np.empty((*codes.shape, 4), dtype=one.dtype)
        fill_channels_last(codes.reshape(-1), one_bits, result.view(one_bits.dtype).reshape(-1))
        return result
    *rows, length = codes.shape
    result = np.empty((*rows, 4, length), dtype=one.dtype)
    number = math.prod(rows)
    bits = result.view(one_bits.dtype).reshape(number, 4, length)
    fill_channels_first(codes.reshape(number, length), one_bits, bits)
    return result


def reverse_complement(sequence: str) -> str:
    """The other strand, read 5' to 3'; IUPAC codes are complemented, case is kept, U becomes A, other letters stay."""
    return sequence.translate(_COMPLEMENT_OF_LETTER)[::-1]


def reverse_complement_codes(codes: Codes) -> Codes:
    """The other strand of codes, uint8 (..., length), reversed along the last axis; N stays N.

    Filling at the end of a row comes to stand at its start.
    """
    return _COMPLEMENT_OF_CODE[codes[..., ::-1]]
