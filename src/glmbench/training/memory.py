"""Memory between steps: kept by the process instead of being given back to the kernel and fetched again."""

from __future__ import annotations

import ctypes
from functools import cache

# Numbers of glibc's <malloc.h>; values in bytes.
_M_TRIM_THRESHOLD, _KEEP = -1, 1 << 30
_M_MMAP_THRESHOLD, _LARGEST_ALLOWED = -3, 32 << 20


@cache
def keep_freed_memory() -> bool:
    """Let glibc's malloc keep up to 1 GiB of freed memory for this process; False where there is no glibc.

    Activations of about 10 MB are freed and allocated again in every step. By default each time their pages return to
    the kernel and are zeroed anew on first touch, which took up to a third of the CPU time of training a small network.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, _KEEP) and mallopt(_M_MMAP_THRESHOLD, _LARGEST_ALLOWED))
