"""Numba kernels that make the tables of the exact BPE encoder; imported only where they are called.

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

NONE = -1
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
        return NONE
    key = (np.int64(left) << 32) | np.int64(right)
    at = (hashed >> _SHIFT) & mask
    while merges.keys[at] != key:
        if merges.keys[at] < 0:
            return NONE
        at = (at + np.uint64(1)) & mask
    return int(merges.tokens[at])


@njit(cache=True, nogil=True)
def stand_together(merges: Merges, left: int, right: int) -> bool:
    """Whether BPE leaves the bases of two tokens as these two: no merge across the border comes before theirs.

    Merges are undone from the last to the first; a merge across is too late if it comes after `limit`.
    """
    limit = _ANY
    while True:
        merged = _merged(merges, left, right)
        if merged != NONE and merged < limit:
            return False
        if max(left, right) < 4:
            return True
        if left > right:
            limit, left = left, int(merges.splits[left, 1])
        else:
            limit, right = right + 1, int(merges.splits[right, 0])


@njit(cache=True, nogil=True)
def _earliest_across(merges: Merges, left: int, right: int) -> int:
    """The first merge of `right` with what stands to its left when that is to become `left`; `_ANY` for none."""
    earliest = waits_for = _ANY
    while True:
        merged = _merged(merges, left, right)
        if merged != NONE and merged < waits_for:
            earliest = min(earliest, merged)
        part = int(merges.splits[left, 1])
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
    trie[0] = NONE
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
            if trie[node, base] == NONE:
                trie[node, base] = nodes
                trie[nodes] = NONE
                nodes += 1
            node = trie[node, base]
        trie[node, TOKEN] = token
    return nodes


@njit(cache=True, nogil=True)
def find_shorter(trie: NDArray[np.int32], shorter: NDArray[np.int32]) -> None:
    """Fill `shorter` from the trie, in which a node has a higher number than the one before it."""
    longest = np.full(trie.shape[0], NONE, dtype=np.int32)
    for node in range(trie.shape[0]):
        token = trie[node, TOKEN]
        if token != NONE:
            shorter[token] = longest[node]
            longest[node] = token
        for base in range(4):
            if trie[node, base] != NONE:
                longest[trie[node, base]] = longest[node]


@njit(cache=True, nogil=True)
def find_jumps(trie: NDArray[np.int32], jumps: NDArray[np.int32]) -> None:
    """Fill `jumps` from the trie."""
    for word in range(jumps.shape[0]):
        node, token = 0, NONE
        for i in range(JUMP):
            node = int(trie[node, (word >> 2 * (JUMP - 1 - i)) & 3])
            if node == NONE:
                break
            if trie[node, TOKEN] != NONE:
                token = int(trie[node, TOKEN])
        jumps[word, 0], jumps[word, 1] = node, token
