"""Numba kernels of one-hot encoding; imported only where they are called."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from glmbench.sequences.typing import Codes


@njit(cache=True, nogil=True)
def fill_channels_last(codes: Codes, one: np.unsignedinteger[Any], filled: NDArray[Any]) -> None:
    """Write four channels for each code to `filled` (codes * 4,); comparisons vectorise, a table look-up does not."""
    zero = one ^ one
    for i in range(codes.size):
        code = np.uint32(codes[i])
        for channel in range(4):
            filled[4 * i + channel] = one if code == np.uint32(channel) else zero


@njit(cache=True, nogil=True)
def fill_channels_first(codes: Codes, one: np.unsignedinteger[Any], filled: NDArray[Any]) -> None:
    """Write four rows for each row of `codes` (n, length) to `filled` (n, 4, length)."""
    zero = one ^ one
    for i in range(codes.shape[0]):
        row = codes[i]
        for channel in range(4):
            channel_row = filled[i, channel]
            for position in range(row.size):
                channel_row[position] = one if row[position] == channel else zero
