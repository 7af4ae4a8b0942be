"""Random numbers inside numba kernels: a counter and a seed in, 64 bits out; imported only where they are called.

A kernel that hashes a counter needs no state, so every position has its own draw whatever else is drawn, and a larger
probability under the same seed keeps all that a smaller one chose.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_LOW = np.uint64(0xFFFFFFFF)


@njit(cache=True, nogil=True, inline="always")
def bits(seed: np.uint64, counter: int) -> np.uint64:
    """64 random bits: SplitMix64 (Steele, Lea and Flood, 2014, OOPSLA) entered at `counter`."""
    x = np.uint64(seed) + np.uint64(counter + 1) * _STEP
    x = (x ^ (x >> np.uint64(30))) * _FIRST
    x = (x ^ (x >> np.uint64(27))) * _SECOND
    return x ^ (x >> np.uint64(31))


@njit(cache=True, nogil=True, inline="always")
def high(x: np.uint64) -> np.uint64:
    """The upper 32 of 64 bits, to be compared with a threshold."""
    return x >> np.uint64(32)


@njit(cache=True, nogil=True, inline="always")
def below(x: np.uint64, n: int) -> int:
    """A number in 0..n-1 from the lower 32 of 64 bits; no number is likelier than another by more than n / 2^32."""
    return int(((x & _LOW) * np.uint64(n)) >> np.uint64(32))


@njit(cache=True, nogil=True, inline="always")
def threshold(probability: float) -> np.uint64:
    """What `high` bits are below with this probability."""
    return np.uint64(min(max(probability, 0.0), 1.0) * 4294967296.0)
