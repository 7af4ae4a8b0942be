"""Numba kernels of the exact BPE trainer; imported only where they are called.

The text is one array with the id of a token at its first and at its last base. From a token's first base its right
neighbour is one length further on, and its left neighbour ends one base before: no linked list is needed. `BREAK`
stands wherever no pair may cross, and marks bases inside a token that began a shorter one before.

Pairs are records found through a hash table: key, number of occurrences, and the list of positions where it stood
when its younger token was made. No occurrence is ever added later, so counts only fall and lists only go stale.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

BREAK = np.uint16(65_535)
KEY_BITS = 16
SCANNED = -1
"""`begins` of a pair of bases: its positions are found by reading the text, at less memory than a list."""

USED, RECORDS, QUEUED, TOKENS, NEEDED = 0, 1, 2, 3, 4
"""Places in `Trainer.counters`: of the arena, of the records, of the queue, of the vocabulary; arena space wanted."""

REACHED, EXHAUSTED, FULL = 0, 1, 2
"""Why `merge_until` came back: as many tokens as asked; no pair is frequent enough; memory must be tidied first."""

_FACTOR = np.uint64(11_400_714_819_323_198_485)
_SHIFT = np.uint64(32)


class Trainer(NamedTuple):
    """All that training needs between two calls; counts and positions are int32, or int64 for long texts."""

    symbols: NDArray[np.uint16]
    lengths: NDArray[np.int64]
    """Bases of each token."""
    pairs: NDArray[np.int64]
    """(tokens, 2): what each token was merged from."""
    slots: NDArray[np.int32]
    keys: NDArray[np.uint32]
    counts: NDArray[np.signedinteger]
    begins: NDArray[np.signedinteger]
    sizes: NDArray[np.signedinteger]
    arena: NDArray[np.signedinteger]
    """The lists of positions, one after another."""
    queue_counts: NDArray[np.signedinteger]
    queue_keys: NDArray[np.uint32]
    left: NDArray[np.int64]
    """Scratch: a number for each token on the left of what is merged; zero between merges."""
    right: NDArray[np.int64]
    left_seen: NDArray[np.int64]
    right_seen: NDArray[np.int64]
    counters: NDArray[np.int64]


@njit(cache=True, nogil=True)
def fill_symbols(codes: NDArray[np.uint8], offsets: NDArray[np.int64], symbols: NDArray[np.uint16]) -> None:
    """Write the bases of all sequences into `symbols` with a `BREAK` before, between and after, and for every N."""
    symbols[0] = BREAK
    at = 1
    for i in range(offsets.size - 1):
        for j in range(offsets[i], offsets[i + 1]):
            symbols[at] = codes[j] if codes[j] < 4 else BREAK
            at += 1
        symbols[at] = BREAK
        at += 1


@njit(cache=True, nogil=True)
def count_base_pairs(symbols: NDArray[np.uint16], counts: NDArray[np.int64]) -> None:
    """Add to `counts`, (16,), how often each of the 16 pairs of bases stands in the text; overlapping ones count."""
    for i in range(symbols.size - 1):
        if symbols[i] < 4 and symbols[i + 1] < 4:
            counts[symbols[i] * 4 + symbols[i + 1]] += 1


@njit(cache=True, nogil=True)
def find(state: Trainer, key: int) -> int:
    """The record of a pair, or -1."""
    mask = np.uint64(state.slots.size - 1)
    at = ((np.uint64(key) * _FACTOR) >> _SHIFT) & mask
    while True:
        record = int(state.slots[at])
        if record < 0 or state.keys[record] == key:
            return record
        at = (at + np.uint64(1)) & mask


@njit(cache=True, nogil=True)
def place(state: Trainer, record: int) -> None:
    """Enter a record that is not in the hash table yet, and queue it."""
    mask = np.uint64(state.slots.size - 1)
    at = ((np.uint64(state.keys[record]) * _FACTOR) >> _SHIFT) & mask
    while state.slots[at] >= 0:
        at = (at + np.uint64(1)) & mask
    state.slots[at] = record
    push(state, state.counts[record], state.keys[record])


@njit(cache=True, nogil=True)
def add_pair(state: Trainer, left: int, right: int, count: int, begin: int, size: int) -> None:
    """A new record, in the hash table and in the queue."""
    record = state.counters[RECORDS]
    state.counters[RECORDS] += 1
    state.keys[record] = np.uint32((left << KEY_BITS) | right)
    state.counts[record] = count
    state.begins[record] = begin
    state.sizes[record] = size
    place(state, record)


@njit(cache=True, nogil=True)
def _before(count: int, key: int, other_count: int, other_key: int) -> bool:
    return count > other_count or (count == other_count and key < other_key)


@njit(cache=True, nogil=True)
def push(state: Trainer, count: int, key: int) -> None:
    """Queue a pair: the most frequent first, then that of the older left token, then of the older right token."""
    counts, keys = state.queue_counts, state.queue_keys
    at = state.counters[QUEUED]
    state.counters[QUEUED] += 1
    while at > 0:
        parent = (at - 1) >> 1
        if not _before(count, key, counts[parent], keys[parent]):
            break
        counts[at], keys[at] = counts[parent], keys[parent]
        at = parent
    counts[at], keys[at] = count, key


@njit(cache=True, nogil=True)
def pop(state: Trainer) -> None:
    """Take the first pair off the queue."""
    counts, keys = state.queue_counts, state.queue_keys
    state.counters[QUEUED] -= 1
    size = state.counters[QUEUED]
    count, key = counts[size], keys[size]
    at = 0
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and _before(counts[child + 1], keys[child + 1], counts[child], keys[child]):
            child += 1
        if not _before(counts[child], keys[child], count, key):
            break
        counts[at], keys[at] = counts[child], keys[child]
        at = child
    counts[at], keys[at] = count, key


@njit(cache=True, nogil=True)
def merge_until(state: Trainer, tokens: int, min_frequency: int, max_bases: int) -> int:
    """Merge the most frequent pair again and again until the vocabulary has `tokens`; says why it came back."""
    counters = state.counters
    while counters[TOKENS] < tokens:
        if counters[QUEUED] == 0:
            return EXHAUSTED
        queued, key = state.queue_counts[0], state.queue_keys[0]
        record = find(state, key)
        count = state.counts[record]
        if count != queued:  # it fell since it was queued
            pop(state)
            if count >= min_frequency:
                push(state, count, key)
            continue
        counters[NEEDED] = 3 * count  # twice for the lists of new pairs, once for positions that are read off the text
        if counters[USED] + counters[NEEDED] > state.arena.size:
            return FULL
        if counters[RECORDS] + 2 * (counters[TOKENS] + 1) > state.keys.size:
            return FULL
        pop(state)
        _merge(state, record, min_frequency, max_bases)
    return REACHED


@njit(cache=True, nogil=True)
def _merge(state: Trainer, record: int, min_frequency: int, max_bases: int) -> None:
    a, b = int(state.keys[record] >> KEY_BITS), int(state.keys[record] & 0xFFFF)
    c = int(state.counters[TOKENS])
    state.counters[TOKENS] += 1
    state.pairs[c, 0], state.pairs[c, 1] = a, b
    state.lengths[c] = state.lengths[a] + state.lengths[b]
    if state.begins[record] == SCANNED:
        first = int(state.counters[USED] + 2 * state.counts[record])
        size = _scan(state.symbols, a, b, state.arena[first:])
    else:
        first, size = int(state.begins[record]), int(state.sizes[record])
    state.counts[record] = 0
    hits = state.arena[first : first + size]
    hits = hits[: _rewrite(state, a, b, c, hits)]
    _count_neighbours(state, c, hits)
    _store_pairs(state, c, min_frequency, max_bases)
    _store_positions(state, c, hits)


@njit(cache=True, nogil=True)
def _scan(symbols: NDArray[np.uint16], a: int, b: int, out: NDArray[np.signedinteger]) -> int:
    """Positions of a pair of bases: only a token of one base still has that base's id at its place."""
    found = 0
    for i in range(symbols.size - 1):
        if symbols[i] == a and symbols[i + 1] == b:
            out[found] = i
            found += 1
    return found


@njit(cache=True, nogil=True)
def _rewrite(state: Trainer, a: int, b: int, c: int, hits: NDArray[np.signedinteger]) -> int:
    """Merge from left to right; `hits` keeps, at its front, the positions that held the pair: says how many.

    Counts of the pairs that a merge tears apart fall. Between two neighbouring merges that is one pair, (b, a), taken
    off as the right-hand one of the first.
    """
    symbols, left, right = state.symbols, state.left, state.right
    length_a, length_b = state.lengths[a], state.lengths[b]
    kept = lefts = rights = 0
    for i in range(hits.size):
        p = hits[i]
        q = p + length_a
        if symbols[p] != a or symbols[q] != b:
            continue
        x, r = symbols[p - 1], q + length_b
        y = symbols[r]
        if x != BREAK and x != c:
            if left[x] == 0:
                state.left_seen[lefts] = x
                lefts += 1
            left[x] += 1
        if y != BREAK:
            if right[y] == 0:
                state.right_seen[rights] = y
                rights += 1
            right[y] += 1
        symbols[q] = BREAK
        symbols[p] = c
        symbols[r - 1] = c
        hits[kept] = p
        kept += 1
    for i in range(lefts):
        x = state.left_seen[i]
        _lower(state, (x << KEY_BITS) | a, left[x])
        left[x] = 0
    for i in range(rights):
        y = state.right_seen[i]
        _lower(state, (b << KEY_BITS) | y, right[y])
        right[y] = 0
    return kept


@njit(cache=True, nogil=True)
def _lower(state: Trainer, key: int, by: int) -> None:
    """Take occurrences off a pair; one that was never frequent enough has no record, one just merged has none left."""
    record = find(state, key)
    if record >= 0 and state.counts[record] > 0:
        state.counts[record] -= by


@njit(cache=True, nogil=True)
def _count_neighbours(state: Trainer, c: int, hits: NDArray[np.signedinteger]) -> None:
    """Into `left` and `right`: how often each token stands beside the new one; two new ones count on the left."""
    symbols, left, right, length = state.symbols, state.left, state.right, state.lengths[c]
    lefts = rights = 0
    for i in range(hits.size):
        x, y = symbols[hits[i] - 1], symbols[hits[i] + length]
        if x != BREAK:
            if left[x] == 0:
                state.left_seen[lefts] = x
                lefts += 1
            left[x] += 1
        if y != BREAK and y != c:
            if right[y] == 0:
                state.right_seen[rights] = y
                rights += 1
            right[y] += 1
    state.left_seen[lefts] = -1
    state.right_seen[rights] = -1


@njit(cache=True, nogil=True)
def _store_pairs(state: Trainer, c: int, min_frequency: int, max_bases: int) -> None:
    """Records for the frequent new pairs; `left` and `right` become the place of their list + 1, or 0 for none."""
    lengths, counters = state.lengths, state.counters
    for side in range(2):
        numbers, seen = (state.left, state.left_seen) if side == 0 else (state.right, state.right_seen)
        i = 0
        while seen[i] >= 0:
            other, count = seen[i], numbers[seen[i]]
            numbers[other] = 0
            if count >= min_frequency and lengths[other] + lengths[c] <= max_bases:
                begin = counters[USED]
                if side == 0:
                    add_pair(state, other, c, count, begin, count)
                else:
                    add_pair(state, c, other, count, begin, count)
                numbers[other] = begin + 1
                counters[USED] += count
            i += 1


@njit(cache=True, nogil=True)
def _store_positions(state: Trainer, c: int, hits: NDArray[np.signedinteger]) -> None:
    """Fill the new pairs' lists, ascending, and zero the scratch."""
    symbols, lengths, arena, left, right = state.symbols, state.lengths, state.arena, state.left, state.right
    for i in range(hits.size):
        p = np.int64(hits[i])
        x, y = symbols[p - 1], symbols[p + lengths[c]]
        if x != BREAK and left[x] > 0:
            arena[left[x] - 1] = p - lengths[x]
            left[x] += 1
        if y != BREAK and y != c and right[y] > 0:
            arena[right[y] - 1] = p
            right[y] += 1
    left[:] = 0
    right[:] = 0


@njit(cache=True, nogil=True)
def compact(state: Trainer, order: NDArray[np.int64]) -> None:
    """Move the lists of the records `order` (by place) to the arena's front, without positions gone stale."""
    symbols, arena = state.symbols, state.arena
    used = 0
    for record in order:
        a, b = state.keys[record] >> KEY_BITS, state.keys[record] & 0xFFFF
        begin, size = np.int64(state.begins[record]), np.int64(state.sizes[record])
        state.begins[record] = used
        for i in range(begin, begin + size):
            p = arena[i]
            if symbols[p] == a and symbols[p + state.lengths[a]] == b:
                arena[used] = p
                used += 1
        state.sizes[record] = used - state.begins[record]
    state.counters[USED] = used


@njit(cache=True, nogil=True)
def place_all(state: Trainer) -> None:
    """Enter all records into an empty hash table and an empty queue."""
    for record in range(state.counters[RECORDS]):
        place(state, record)
