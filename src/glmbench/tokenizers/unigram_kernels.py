"""Numba kernel of the unigram model: the most probable way to cut bases into tokens."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from glmbench.sequences.typing import Codes, Integers


@njit(cache=True, nogil=True)
def cut_run(
    run: Codes,
    children: NDArray[np.int32],
    token_of: NDArray[np.int32],
    scores: NDArray[np.float64],
    best: NDArray[np.float64],
    last: NDArray[np.int32],
    last_start: NDArray[np.int32],
) -> None:
    """For every end in a run of known bases: its best score, the token that ends there, and where that begins."""
    best[0] = 0.0
    for end in range(1, run.size + 1):
        last[end] = -1
    for start in range(run.size):
        node = 0
        end = start
        while end < run.size:
            node = children[node, run[end]]
            if node == 0:
                break
            end += 1
            token = token_of[node]
            if token >= 0:
                # The sum and the strict comparison are those of the tokenizers library: equal scores, equal cuts.
                score = scores[token] + best[start]
                if last[end] < 0 or score > best[end]:
                    best[end], last[end], last_start[end] = score, token, start


@njit(cache=True, nogil=True)
def unigram_ids(
    codes: Codes,
    offsets: Integers,
    children: NDArray[np.int32],
    token_of: NDArray[np.int32],
    scores: NDArray[np.float64],
    unknown: int,
    ids: NDArray[np.int32],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    token_offsets: Integers,
) -> None:
    """Fill ids and spans by Viterbi over every stretch without N; an N is one unknown token.

    Args:
        codes: uint8 (bases,).
        offsets: int64 (sequences + 1,), of the sequences in `codes`.
        children: int32 (nodes, 4), the trie of all tokens: where each base leads from each node; 0 is nowhere.
        token_of: int32 (nodes,), the token that ends in a node, or -1; every single base is a token.
        scores: float64 (vocabulary,), log probabilities.
        unknown: id of an N.
        ids: int32 (bases,), filled from the front; so are `starts` and `ends`.
        starts: int32 (bases,).
        ends: int32 (bases,).
        token_offsets: int64 (sequences + 1,), filled.
    """
    longest = 1
    run = 0
    for sequence in range(offsets.size - 1):
        run = 0
        for i in range(offsets[sequence], offsets[sequence + 1]):
            run = 0 if codes[i] > 3 else run + 1
            longest = max(longest, run)
    best = np.empty(longest + 1, dtype=np.float64)
    last = np.empty(longest + 1, dtype=np.int32)
    last_start = np.empty(longest + 1, dtype=np.int32)
    at = 0
    for sequence in range(offsets.size - 1):
        origin, stop = offsets[sequence], offsets[sequence + 1]
        i = origin
        while i < stop:
            if codes[i] > 3:
                ids[at], starts[at], ends[at] = unknown, i - origin, i - origin + 1
                at += 1
                i += 1
                continue
            end = i
            while end < stop and codes[end] < 4:
                end += 1
            cut_run(codes[i:end], children, token_of, scores, best, last, last_start)
            tokens = 0
            back = end - i
            while back > 0:
                tokens += 1
                back = last_start[back]
            back = end - i
            place = at + tokens
            while back > 0:
                place -= 1
                ids[place] = last[back]
                starts[place] = i - origin + last_start[back]
                ends[place] = i - origin + back
                back = last_start[back]
            at += tokens
            i = end
        token_offsets[sequence + 1] = at
