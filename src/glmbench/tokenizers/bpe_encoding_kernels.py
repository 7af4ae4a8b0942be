"""Numba kernels of the exact BPE encoder; imported only where they are called.

A sequence of tokens is what BPE gives if every two neighbours are what BPE gives for the two alone. So the longest
token that fits is taken, shorter ones where it clashes with the one before, and steps are taken back where nothing
fits: the algorithm of the Rust crate `bpe` (https://github.com/github/rust-gems). Added here: a token that no token can
follow, given the next two bases, is not tried, which saves three of four steps back.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from glmbench.tokenizers.bpe_table_kernels import JUMP, NONE, TOKEN, Tables, stand_together


@njit(cache=True, nogil=True)
def _longest(tables: Tables, codes: NDArray[np.uint8], at: int) -> int:
    """The longest token that the bases from `at` begin with."""
    trie, end = tables.trie, codes.size
    node, token = 0, NONE
    if at + JUMP <= end:
        word = 0
        for i in range(at, at + JUMP):
            word = word * 4 + codes[i]
        node, token = int(tables.jumps[word, 0]), int(tables.jumps[word, 1])
        if node == NONE:
            return token
        at += JUMP
    while at < end:
        node = int(trie[node, codes[at]])
        if node == NONE:
            break
        if trie[node, TOKEN] != NONE:
            token = int(trie[node, TOKEN])
        at += 1
    return token


@njit(cache=True, nogil=True)
def _encode_stretch(
    tables: Tables, codes: NDArray[np.uint8], dead: NDArray[np.bool_], out: NDArray[np.int32], first: int
) -> int:
    """Tokens of a stretch without N to `out` from `first`; says where they end.

    `dead` marks places up to which no sequence of tokens leads on; it comes and goes all False.
    """
    lengths, shorter, followed = tables.lengths, tables.shorter, tables.followed
    end, at, written, any_dead = codes.size, 0, first, False
    token = _longest(tables, codes, 0)
    while at < end:
        after = at + lengths[token]
        fits = not dead[after]
        if fits and after + 2 <= end:
            fits = (followed[token] >> (4 * codes[after] + codes[after + 1])) & 1 != 0
        if fits and (written == first or stand_together(tables.merges, out[written - 1], token)):
            out[written] = token
            written += 1
            at = after
            token = _longest(tables, codes, at)
        elif shorter[token] != NONE:
            token = int(shorter[token])
        else:
            dead[at] = any_dead = True
            written -= 1
            token = int(out[written])
            at -= lengths[token]
    if any_dead:
        dead[: end + 1] = False
    return written


@njit(cache=True, nogil=True)
def encode_sequences(
    tables: Tables,
    codes: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    unknown: int,
    ids: NDArray[np.int32],
    offsets: NDArray[np.int64],
) -> None:
    """Ids of all sequences, one after another, into `ids`, with room for a token a base; `offsets` says where.

    `bounds` are the sequences' offsets in `codes`.
    """
    dead = np.zeros(_longest_sequence(bounds) + 1, dtype=np.bool_)
    written = 0
    for i in range(bounds.size - 1):
        offsets[i] = written
        at, end = bounds[i], bounds[i + 1]
        while at < end:
            if codes[at] > 3:
                ids[written] = unknown
                written += 1
                at += 1
                continue
            stop = at
            while stop < end and codes[stop] < 4:
                stop += 1
            first = written
            written = _encode_stretch(tables, codes[at:stop], dead, ids, first)
            for j in range(first, written):
                ids[j] = tables.ids[ids[j]]
            at = stop
    offsets[-1] = written


@njit(cache=True, nogil=True)
def _longest_sequence(bounds: NDArray[np.int64]) -> int:
    longest = 0
    for i in range(bounds.size - 1):
        longest = max(longest, bounds[i + 1] - bounds[i])
    return longest


@njit(cache=True, nogil=True)
def fill_spans(
    ids: NDArray[np.int32],
    offsets: NDArray[np.int64],
    lengths: NDArray[np.int32],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
) -> None:
    """Where each token begins and ends within its sequence, from the length in bases of every id."""
    for i in range(offsets.size - 1):
        at = np.int32(0)
        for j in range(offsets[i], offsets[i + 1]):
            starts[j] = at
            at += lengths[ids[j]]
            ends[j] = at
