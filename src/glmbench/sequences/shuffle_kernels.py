"""Numba kernels that shuffle runs of bases in place; imported only where they are called."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from glmbench.sequences.typing import Codes, Integers


@njit(cache=True, nogil=True)
def _permute(rng: np.random.Generator, items: Codes) -> None:
    """Fisher-Yates."""
    for last in range(items.size - 1, 0, -1):
        other = rng.integers(0, last + 1)
        items[last], items[other] = items[other], items[last]


@njit(cache=True, nogil=True)
def _sort_successors(run: Codes, successors: Codes) -> NDArray[np.int64]:
    """Write the successors of A, then of C, G, T; return where each of the four lists begins and the last ends."""
    begins = np.zeros(5, dtype=np.int64)
    for i in range(run.size - 1):
        begins[run[i] + 1] += 1
    for base in range(4):
        begins[base + 1] += begins[base]
    free = begins[:4].copy()
    for i in range(run.size - 1):
        successors[free[run[i]]] = run[i + 1]
        free[run[i]] += 1
    return begins


@njit(cache=True, nogil=True)
def _draw_tree(rng: np.random.Generator, successors: Codes, begins: NDArray[np.int64], root: int) -> Codes:
    """Wilson's algorithm: each base's edge in a uniformly drawn spanning tree that leads to `root`."""
    towards_root = np.zeros(4, dtype=np.uint8)
    in_tree = np.zeros(4, dtype=np.bool_)
    in_tree[root] = True
    for base in range(4):
        if begins[base] == begins[base + 1]:
            continue
        at = base
        while not in_tree[at]:
            towards_root[at] = successors[rng.integers(begins[at], begins[at + 1])]
            at = int(towards_root[at])
        at = base
        while not in_tree[at]:
            in_tree[at] = True
            at = int(towards_root[at])
    return towards_root


@njit(cache=True, nogil=True)
def _shuffle_pairs(rng: np.random.Generator, run: Codes, successors: Codes) -> None:
    """Replace a run by a uniformly drawn sequence with the same counts of all 16 dinucleotides."""
    if run.size < 4:  # first and last base are fixed, and so then is all between them
        return
    begins = _sort_successors(run, successors)
    root = int(run[-1])
    towards_root = _draw_tree(rng, successors, begins, root)
    for base in range(4):
        first, end = begins[base], begins[base + 1]
        if first == end:
            continue
        if base != root:  # the tree's edge is the last one to leave this base
            end -= 1
            at = first
            while successors[at] != towards_root[base]:
                at += 1
            successors[at], successors[end] = successors[end], successors[at]
        _permute(rng, successors[first:end])
    free = begins[:4].copy()
    for i in range(1, run.size):
        before = run[i - 1]
        run[i] = successors[free[before]]
        free[before] += 1


@njit(cache=True, nogil=True)
def shuffle_runs(rng: np.random.Generator, codes: Codes, offsets: Integers, keep_pairs: bool) -> None:
    """Shuffle each run of known bases of each sequence by itself, in place; every N stays where it is."""
    successors = np.empty(codes.size, dtype=np.uint8)
    for i in range(offsets.size - 1):
        start = offsets[i]
        while start < offsets[i + 1]:
            end = start
            while end < offsets[i + 1] and codes[end] < 4:
                end += 1
            if keep_pairs:
                _shuffle_pairs(rng, codes[start:end], successors)
            else:
                _permute(rng, codes[start:end])
            start = end + 1
