"""The oldest control: k-mer counts and positional k-mers as features. `kmer:5`, `kmer:1-4`, `kmer:pos3`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import Unsupported, UsageError
from glmbench.models.model import ModelCard
from glmbench.models.reference import ModelReference, Options, refuse_revision
from glmbench.storage.hashing import sha256_json

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from glmbench.sequences.alphabet import EncodedBatch

FEATURES_VERSION = 1
"""Part of every fingerprint; raised when the same spec gives other numbers."""

SPARSE_FROM = 4**6
"""Number of columns from which counts are returned as CSR."""

LARGEST_K = 12
DEFAULT_LENGTH = 1024


class KmerModel:
    """Raw k-mer counts (concatenated over a range of k), or one-hot k-mers by position. Holds no state.

    Windows with an N are not counted. Positional columns are laid out for `length` bases whatever is embedded, so
    training and test features agree; columns that no sequence reaches are zero and cost nothing (CSR).
    """

    def __init__(self, ks: tuple[int, ...], *, positional: bool = False, length: int = DEFAULT_LENGTH) -> None:
        self.ks, self.positional, self.length = ks, positional, length

    @cached_property
    def card(self) -> ModelCard:
        """Card of a control; the fingerprint is of the spec and `FEATURES_VERSION`."""
        spec = (
            f"pos{self.ks[0]}" if self.positional else f"{self.ks[0]}-{self.ks[-1]}" if self.ks[1:] else str(self.ks[0])
        )
        options = {"length": str(self.length)} if self.positional and self.length != DEFAULT_LENGTH else {}
        what = f"one-hot {self.ks[0]}-mers by position" if self.positional else f"counts of {spec}-mers"
        return ModelCard(
            reference=str(ModelReference("kmer", spec, options=options)),
            name=f"positional {self.ks[0]}-mers" if self.positional else f"{spec.replace('-', '–')}-mers",
            kind="control",
            fingerprint=sha256_json(["kmer", list(self.ks), self.positional, self.length, FEATURES_VERSION]),
            description=what,
            context=self.length if self.positional else None,
        )

    @property
    def dimension(self) -> int:
        """Number of columns."""
        positions = self.length - self.ks[0] + 1 if self.positional else 1
        return positions * sum(1 << 2 * k for k in self.ks)

    def embed(self, sequences: Sequence[str]) -> NDArray[np.float32] | csr_matrix:
        """Features of shape (batch, `dimension`), columns in base-4 order (A, C, G, T), k by k or position by position.

        Dense float32; CSR where there are at least `SPARSE_FROM` columns or they are positional.

        Raises:
            Unsupported: a sequence is longer than the positional columns reach.
            DataError: a letter is no nucleotide code.
        """
        from glmbench.sequences.alphabet import encode_batch

        batch = encode_batch(sequences)
        if self.positional:
            return self._positional(batch)
        from glmbench.sequences.kmers import kmer_counts, sparse_kmer_counts

        if self.dimension < SPARSE_FROM:
            return np.concatenate([kmer_counts(batch, k) for k in self.ks], axis=1)
        from scipy.sparse import csr_matrix, hstack

        return csr_matrix(hstack([sparse_kmer_counts(batch, k) for k in self.ks], format="csr", dtype=np.float32))

    def _positional(self, batch: EncodedBatch) -> csr_matrix:
        from scipy.sparse import csr_matrix

        from glmbench.sequences.kmers import positional_kmers

        longest = int(batch.lengths.max(initial=self.ks[0]))
        if longest > self.length:
            raise Unsupported(
                f"{self.card.reference}: a sequence has {longest} bases, positional features are laid out for "
                f"{self.length}; use kmer:pos{self.ks[0]}?length={longest} for all sets of the task"
            )
        features = positional_kmers(batch, self.ks[0], width=longest)
        shape = (len(batch), self.dimension)
        return csr_matrix((features.data, features.indices, features.indptr), shape=shape)


def load_kmer(reference: ModelReference, *, trust_remote_code: bool = False, offline: bool = False) -> KmerModel:
    """The model of `kmer:K`, `kmer:K1-K2` or `kmer:posK[?length=…]`.

    Raises:
        UsageError: the spec is none of these, or k is out of range.
    """
    refuse_revision(reference)
    options = Options(reference)
    match = re.fullmatch(r"(pos)?(\d+)(?:-(\d+))?", reference.locator)
    if match is None or (match[1] and match[3]):
        raise UsageError(f"model reference {str(reference)!r}: wanted kmer:5, kmer:1-4 or kmer:pos3")
    first, last = int(match[2]), int(match[3] or match[2])
    if not 1 <= first <= last <= LARGEST_K:
        raise UsageError(f"model reference {str(reference)!r}: k must be from 1 to {LARGEST_K}, smallest first")
    length = options.integer("length", DEFAULT_LENGTH, least=first) if match[1] else DEFAULT_LENGTH
    options.finish()
    return KmerModel(tuple(range(first, last + 1)), positional=bool(match[1]), length=length or DEFAULT_LENGTH)
