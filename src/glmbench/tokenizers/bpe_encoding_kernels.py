"""Numba kernels of the exact BPE encoder; imported only where they are called.

A sequence of tokens is what BPE gives if every two neighbours are what BPE gives for the two alone. So the longest
token that fits is taken, shorter ones where it clashes with the one before, and steps are taken back where nothing
fits: the algorithm of the Rust crate `bpe` (https://github.com/github/rust-gems). Added here: a token that no token can
follow, given the next two bases, is not tried, which saves three of four steps back.

Tokens are numbered A, C, G, T = 0..3, then merges in the order of their rank.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

TOKEN = 4
"""Column of `Tables.trie` with the token that ends at a node, or -1; columns 0 to 3 are the nodes one base on."""

JUMP = 6
"""Bases that the search for the longest token looks up at once."""

_NONE = -1
_ANY = 1 << 30
_FACTOR = np.uint64(11_400_714_819_323_198_485)
_SHIFT = np.uint64(32)


class Merges(NamedTuple):
    """Which tokens merge to which, as a hash table before which stands a filter that fits a fast cache."""

    keys: NDArray[np.int64]
    """Left << 32 | right, or -1."""
    tokens: NDArray[np.int32]
    filter: NDArray[np.uint8]
    """A bit for each hash value; not set where no merge has it."""
    filter_shift: NDArray[np.uint64]
    """(1,): 64 less the bits of a hash value in the filter."""
    splits: NDArray[np.int32]
    """(V, 2): what each token is merged from; of a base, the base itself."""


class Tables(NamedTuple):
    """What the encoder looks up, for a vocabulary of base tokens and merges (V,)."""

    merges: Merges
    trie: NDArray[np.int32]
    """(nodes, 5), of all tokens; node 0 is the root, -1 is no node."""
    jumps: NDArray[np.int32]
    """(4**JUMP, 2): the node that `JUMP` bases lead to, or -1, and the longest token among them."""
    shorter: NDArray[np.int32]
    """(V,): the next shorter token that each token begins with, or -1."""
    lengths: NDArray[np.int32]
    """(V,), in bases."""
    followed: NDArray[np.uint16]
    """(V,): bit 4 x + y says whether any token can stand behind this one where the bases x, y come next."""
    ids: NDArray[np.int32]
    """(V,): the vocabulary's id of each token."""


@njit(cache=True, nogil=True)
def _hash(left: int, right: int) -> np.uint64:
    return ((np.uint64(left) << _SHIFT) | np.uint64(right)) * _FACTOR


@njit(cache=True, nogil=True)
def enter_merge(merges: Merges, left: int, right: int, token: int) -> None:
    """Enter that `left` and `right` merge to `token`."""
    hashed, mask = _hash(left, right), np.uint64(merges.keys.size - 1)
    bit = hashed >> merges.filter_shift[0]
    merges.filter[bit >> np.uint64(3)] |= np.uint8(1 << (bit & np.uint64(7)))
    at = (hashed >> _SHIFT) & mask
    while merges.keys[at] >= 0:
        at = (at + np.uint64(1)) & mask
    merges.keys[at] = (np.int64(left) << 32) | np.int64(right)
    merges.tokens[at] = token
    merges.splits[token, 0], merges.splits[token, 1] = left, right


@njit(cache=True, nogil=True)
def _merged(merges: Merges, left: int, right: int) -> int:
    """The token that two tokens merge to, or -1."""
    hashed, mask = _hash(left, right), np.uint64(merges.keys.size - 1)
    bit = hashed >> merges.filter_shift[0]
    if not (merges.filter[bit >> np.uint64(3)] >> (bit & np.uint64(7))) & 1:
        return _NONE
    key = (np.int64(left) << 32) | np.int64(right)
    at = (hashed >> _SHIFT) & mask
    while merges.keys[at] != key:
        if merges.keys[at] < 0:
            return _NONE
        at = (at + np.uint64(1)) & mask
    return np.int64(merges.tokens[at])


@njit(cache=True, nogil=True)
def stand_together(merges: Merges, left: int, right: int) -> bool:
    """Whether BPE leaves the bases of two tokens as these two: no merge across the border comes before theirs.

    Merges are undone from the last to the first; a merge across is too late if it comes after `limit`.
    """
    splits = merges.splits
    left, right = np.int64(left), np.int64(right)
    limit = np.int64(_ANY)
    while True:
        merged = _merged(merges, left, right)
        if merged != _NONE and merged < limit:
            return False
        undo_left = left > right
        for _ in range(2):
            token = left if undo_left else right
            part = np.int64(splits[token, 1] if undo_left else splits[token, 0])
            if part != token:
                break
            undo_left = not undo_left
        if part == token:
            return True
        if undo_left:
            limit, left = token, part
        else:
            limit, right = token + 1, part


@njit(cache=True, nogil=True)
def _earliest_across(merges: Merges, left: int, right: int) -> int:
    """The first merge of `right` with what stands to its left when that is to become `left`; `_ANY` for none."""
    earliest = waits_for = np.int64(_ANY)
    while True:
        merged = _merged(merges, left, right)
        if merged != _NONE and merged < waits_for:
            earliest = min(earliest, merged)
        part = np.int64(merges.splits[left, 1])
        if part == left:
            return earliest
        waits_for, left = left, part


@njit(cache=True, nogil=True)
def find_followed(merges: Merges, followed: NDArray[np.uint16]) -> None:
    """Fill `followed`.

    Tokens are gone through from short to long along what they begin with: where `right` is merged away in step m,
    tokens that begin with it and are made after step m cannot follow either, nor can what begins with those.
    """
    splits = merges.splits
    tokens = followed.size
    firsts = np.zeros(tokens + 1, dtype=np.int64)  # where the tokens that a token is the left part of begin
    for token in range(4, tokens):
        firsts[splits[token, 0] + 1] += 1
    firsts = np.cumsum(firsts)
    longer = np.empty(max(tokens - 4, 0), dtype=np.int32)  # they themselves, ascending
    filled = firsts.copy()
    first_base = np.arange(tokens)
    for token in range(4, tokens):
        left = splits[token, 0]
        longer[filled[left]] = token
        filled[left] += 1
        first_base[token] = first_base[left]
    stack = np.empty(tokens, dtype=np.int64)
    for token in range(tokens):
        bits = 0
        for base in range(4):
            earliest = _earliest_across(merges, token, base)
            if earliest == _ANY:
                bits |= 0b1111 << 4 * base
                continue
            for i in range(firsts[base], firsts[base + 1]):
                if longer[i] >= earliest:
                    break
                bit = 1 << (4 * base + first_base[splits[longer[i], 1]])
                if not bits & bit and _any_follows(merges, token, longer[i], firsts, longer, stack):
                    bits |= bit
        followed[token] = bits


@njit(cache=True, nogil=True)
def _any_follows(
    merges: Merges,
    token: int,
    begin: int,
    firsts: NDArray[np.int64],
    longer: NDArray[np.int32],
    stack: NDArray[np.int64],
) -> bool:
    """Whether a token whose making passes through `begin` can follow `token`."""
    stack[0] = begin
    size = 1
    while size > 0:
        size -= 1
        right = stack[size]
        earliest = _earliest_across(merges, token, right)
        if earliest == _ANY:
            return True
        for i in range(firsts[right], firsts[right + 1]):
            if longer[i] >= earliest:
                break
            stack[size] = longer[i]
            size += 1
    return False


@njit(cache=True, nogil=True)
def build_trie(splits: NDArray[np.int32], lengths: NDArray[np.int32], trie: NDArray[np.int32]) -> int:
    """Fill `trie` (with room for one node more than all tokens have bases); says how many nodes it has."""
    firsts = np.zeros(lengths.size + 1, dtype=np.int64)
    firsts[1:] = np.cumsum(lengths.astype(np.int64))
    bases = np.empty(firsts[-1], dtype=np.uint8)
    trie[0] = _NONE
    nodes = 1
    for token in range(lengths.size):
        a, b, first = splits[token, 0], splits[token, 1], firsts[token]
        if a == token:
            bases[first] = token
        else:
            bases[first : first + lengths[a]] = bases[firsts[a] : firsts[a + 1]]
            bases[first + lengths[a] : firsts[token + 1]] = bases[firsts[b] : firsts[b + 1]]
        node = 0
        for base in bases[first : firsts[token + 1]]:
            if trie[node, base] == _NONE:
                trie[node, base] = nodes
                trie[nodes] = _NONE
                nodes += 1
            node = trie[node, base]
        trie[node, TOKEN] = token
    return nodes


@njit(cache=True, nogil=True)
def find_shorter(trie: NDArray[np.int32], shorter: NDArray[np.int32]) -> None:
    """Fill `shorter` from the trie, in which a node has a higher number than the one before it."""
    longest = np.full(trie.shape[0], _NONE, dtype=np.int32)
    for node in range(trie.shape[0]):
        token = trie[node, TOKEN]
        if token != _NONE:
            shorter[token] = longest[node]
            longest[node] = token
        for base in range(4):
            if trie[node, base] != _NONE:
                longest[trie[node, base]] = longest[node]


@njit(cache=True, nogil=True)
def find_jumps(trie: NDArray[np.int32], jumps: NDArray[np.int32]) -> None:
    """Fill `jumps` from the trie."""
    for word in range(jumps.shape[0]):
        node, token = np.int64(0), np.int64(_NONE)
        for i in range(JUMP):
            node = np.int64(trie[node, (word >> 2 * (JUMP - 1 - i)) & 3])
            if node == _NONE:
                break
            if trie[node, TOKEN] != _NONE:
                token = np.int64(trie[node, TOKEN])
        jumps[word, 0], jumps[word, 1] = node, token


@njit(cache=True, nogil=True)
def _longest(tables: Tables, codes: NDArray[np.uint8], at: int) -> int:
    """The longest token that the bases from `at` begin with."""
    trie, end = tables.trie, codes.size
    node, token = np.int64(0), np.int64(_NONE)
    if at + JUMP <= end:
        word = np.int64(0)
        for i in range(at, at + JUMP):
            word = word * 4 + codes[i]
        node, token = np.int64(tables.jumps[word, 0]), np.int64(tables.jumps[word, 1])
        if node == _NONE:
            return token
        at += JUMP
    while at < end:
        node = np.int64(trie[node, codes[at]])
        if node == _NONE:
            break
        if trie[node, TOKEN] != _NONE:
            token = np.int64(trie[node, TOKEN])
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
        elif shorter[token] != _NONE:
            token = np.int64(shorter[token])
        else:
            dead[at] = any_dead = True
            written -= 1
            token = np.int64(out[written])
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
