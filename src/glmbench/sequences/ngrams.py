"""n-gram counts of genomes, all orders from 1 to n in one pass, in memory that does not grow with the genome.

Only the longest n-grams are counted. A shorter one is the sum over the bases that follow it, plus the few that end a
run of known bases. Entries are in base-4 order with A, C, G, T as digits, first base most significant, as in `kmers`.
n-grams never span an N or the end of a sequence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from glmbench.sequences.alphabet import EncodedBatch, N
from glmbench.sequences.typing import Codes, Integers

LONGEST = 10
MAX_LONGEST = 12
"""Its table has 17 million entries, 128 MiB; the next would have 67 million."""

_PIECE = 1 << 24
"""Bases between two looks at the counter's room: far fewer than the 2^32 that a uint32 holds."""
_ROOM = (1 << 32) - 1


@dataclass(frozen=True, slots=True, eq=False)
class NGramCounts:
    """How often every n-gram of every order occurs; counts of two genomes, or of two strands, add with `+`.

    Attributes:
        orders: int64 (4^n,) for n = 1, 2, …
    """

    orders: tuple[Integers, ...]

    @property
    def longest(self) -> int:
        """The longest order, in bases."""
        return len(self.orders)

    def of(self, n: int) -> Integers:
        """The counts of the n-grams of order `n`, int64 (4^n,).

        Raises:
            ValueError: there is no such order.
        """
        if not 1 <= n <= self.longest:
            raise ValueError(f"n-grams of {n} bases were not counted, only 1 to {self.longest}; count longer ones")
        return self.orders[n - 1]

    def total(self, n: int) -> int:
        """How many n-grams of order `n` there are."""
        return int(self.of(n).sum())

    def __add__(self, other: NGramCounts) -> NGramCounts:
        if self.longest != other.longest:
            raise ValueError(f"counts to order {self.longest} and to order {other.longest} do not add")
        return NGramCounts(tuple(a + b for a, b in zip(self.orders, other.orders, strict=True)))


def count_ngrams(sequences: Iterable[Codes] | EncodedBatch, longest: int = LONGEST) -> NGramCounts:
    """Count the n-grams of n = 1..`longest` over all sequences.

    Args:
        sequences: base codes, uint8 (length,) each, as many as there are; read one after the other and only once, so
            a generator over contigs, or memory-mapped codes, keep one piece in memory.
        longest: 1 to 12.

    Raises:
        ValueError: `longest` is out of range.
    """
    from glmbench.sequences.ngram_kernels import count_longest

    if not 1 <= longest <= MAX_LONGEST:
        raise ValueError(f"the longest n-gram is {longest} bases, it must be from 1 to {MAX_LONGEST}")
    counts = np.zeros(4**longest, dtype=np.int64)
    room = np.zeros(4**longest, dtype=np.uint32)
    ends = np.zeros(sum(4**n for n in range(1, longest)), dtype=np.int64)
    stop = np.array([N], dtype=np.uint8)
    in_room = 0
    batch = (sequences[i] for i in range(len(sequences))) if isinstance(sequences, EncodedBatch) else sequences
    for codes in batch:
        ngram = run = 0
        for start in range(0, codes.size, _PIECE):
            piece = codes[start : start + _PIECE]
            if in_room + piece.size > _ROOM:
                counts += room
                room[:] = 0
                in_room = 0
            ngram, run = count_longest(piece, longest, ngram, run, room, ends)
            in_room += piece.size
        count_longest(stop, longest, ngram, run, room, ends)
    return marginalise(counts + room, ends)


def marginalise(longest_counts: Integers, ends: Integers | None = None) -> NGramCounts:
    """All orders from the counts of the longest.

    Args:
        longest_counts: int64 (4^n,).
        ends: (sum of 4^m for m below n,), order after order: n-grams that no base follows. None where they are not
            known; each shorter count then lacks at most one for every end of a run of known bases.
    """
    orders = [longest_counts]
    end = 0 if ends is None else ends.size
    while orders[0].size > 4:
        shorter = orders[0].reshape(-1, 4).sum(axis=1)
        if ends is not None:
            shorter += ends[end - shorter.size : end]
            end -= shorter.size
        orders.insert(0, shorter)
    return NGramCounts(tuple(orders))
