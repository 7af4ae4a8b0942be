"""Overlapping k-mers, one a base: DNABERT's tokens."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import UsageError
from glmbench.sequences.alphabet import EncodedBatch
from glmbench.sequences.typing import Codes
from glmbench.tokenizers.character import SPECIAL, SPECIAL_NAMES
from glmbench.tokenizers.tokenizer import Kind, SpecialTokens, Tokens, flat_sequences

DIGITS = "ATCG"
"""Digits 0 to 3 of a k-mer's number, first base most significant, in DNABERT and the Nucleotide Transformer."""
LARGEST_K = 8


@cache
def kmers(k: int) -> tuple[str, ...]:
    """All 4^k k-mers in the order of their ids: AAA, AAT, AAC, AAG, ATA and so on."""
    return tuple("".join(letters) for letters in product(DIGITS, repeat=k))


def code_digits() -> NDArray[np.int32]:
    """int32 (5,): the digit of every base code (A, C, G, T); N has none, its entry is 0."""
    return np.array([DIGITS.index(base) for base in "ACGT"] + [0], dtype=np.int32)


def check_k(k: int, smallest: int, what: str) -> None:
    """Refuse a k for which there is no table of k-mers.

    Raises:
        UsageError: k is out of range.
    """
    if not smallest <= k <= LARGEST_K:
        raise UsageError(f"{what} of {k} bases; want {smallest} to {LARGEST_K} (the vocabulary holds all 4^k)")


@dataclass(frozen=True)
class KmerTokenizer:
    """The k-mer at every base: sequence of L bases, L - k + 1 tokens, ids 5 and up after five special tokens.

    Ids are those of DNABERT's released vocabularies (k = 3 to 6). Two neighbours share k - 1 bases, so that a masked
    token is known from its neighbours: mask spans.

    Args:
        k: 1 to 8.

    Raises:
        UsageError: k is out of range.
    """

    k: int

    def __post_init__(self) -> None:
        check_k(self.k, 1, "overlapping k-mers")

    @property
    def name(self) -> str:
        """`kmer-6`."""
        return f"kmer-{self.k}"

    @property
    def kind(self) -> Kind:
        """`kmer`."""
        return "kmer"

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """[PAD], [UNK], [CLS], [SEP], [MASK], then the k-mers in base-4 order with digits A, T, C, G."""
        return SPECIAL_NAMES + kmers(self.k)

    @property
    def special(self) -> SpecialTokens:
        """Ids 0 to 4."""
        return SPECIAL

    @property
    def overlap(self) -> int:
        """Tokens share k - 1 bases."""
        return self.k - 1

    def encode(self, sequences: EncodedBatch | Codes) -> Tokens:
        """The k-mer at every base, unknown where it holds an N; see `Tokenizer.encode`."""
        from glmbench.tokenizers.kmer_kernels import overlapping_ids

        codes, bases = flat_sequences(sequences)
        offsets = np.zeros(len(bases), dtype=np.int64)
        np.cumsum(np.maximum(np.diff(bases) - self.k + 1, 0), out=offsets[1:])
        ids, starts = np.empty((2, offsets[-1]), dtype=np.int32)
        first = len(SPECIAL_NAMES)
        overlapping_ids(codes, bases, self.k, first, SPECIAL.unknown, code_digits(), ids, starts)
        return Tokens(ids, offsets, starts, starts + np.int32(self.k))

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json`, `tokenizer_config.json` and `vocab.txt`; see `Tokenizer.save`."""
        from glmbench.tokenizers.saving import save_kmers

        save_kmers(self, folder)

    def content_hash(self) -> str:
        """SHA-256 over kind, k and vocabulary."""
        from glmbench.storage.hashing import sha256_json

        return sha256_json({"kind": self.kind, "k": self.k, "vocabulary": self.vocabulary})
