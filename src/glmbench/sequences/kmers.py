"""k-mer features: counts, counts merged over both strands, and one-hot k-mers by position.

Columns are in base-4 order with A, C, G, T as digits, first base most significant: AA, AC, AG, AT, CA, …
Windows that hold an N are not counted.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from glmbench.sequences.alphabet import BASES, EncodedBatch, flatten, require_width
from glmbench.sequences.typing import Codes, Integers

if TYPE_CHECKING:
    from scipy.sparse import csr_array

MAX_DENSE_K = 8
MAX_SPARSE_K = 12


def kmer_counts(
    sequences: EncodedBatch | Codes, k: int, *, canonical: bool = False, dtype: DTypeLike = np.float32
) -> NDArray[Any]:
    """Count the k-mers of each sequence into a dense table.

    Args:
        sequences: a batch (lengths may differ) or codes, uint8 (n, length).
        k: 1 to 8; longer k-mers need `sparse_kmer_counts`.
        canonical: add each k-mer and its reverse complement into one column.
        dtype: a number type that can hold the counts.

    Returns:
        (n, 4^k) of `dtype`, or (n, number of canonical k-mers).

    Raises:
        ValueError: k is out of range, or a sequence has more k-mers than `dtype` can count.
    """
    from glmbench.sequences.kmer_kernels import count_dense

    _check_k(k, MAX_DENSE_K)
    codes, offsets = flatten(sequences)
    table = np.empty((len(offsets) - 1, 4**k), dtype=dtype)
    longest = int(np.diff(offsets).max(initial=0))
    if longest > _largest_count(table.dtype):
        raise ValueError(
            f"a sequence of {longest} bases may have counts that {table.dtype} cannot hold; use a wider dtype"
        )
    counts = np.zeros(4**k, dtype=np.uint16 if longest <= np.iinfo(np.uint16).max else np.int64)
    count_dense(codes, offsets, k, counts, table)
    return _merge_strands(table, k) if canonical else table


def sparse_kmer_counts(sequences: EncodedBatch | Codes, k: int, *, canonical: bool = False) -> csr_array:
    """Count the k-mers of each sequence into a sparse float32 matrix with the columns of `kmer_counts`.

    Args:
        sequences: a batch (lengths may differ) or codes, uint8 (n, length).
        k: 1 to 12.
        canonical: add each k-mer and its reverse complement into one column.

    Raises:
        ValueError: k is out of range.
    """
    from scipy.sparse import csr_array

    from glmbench.sequences.kmer_kernels import count_sparse

    _check_k(k, MAX_SPARSE_K)
    codes, offsets = flatten(sequences)
    rows = len(offsets) - 1
    capacity = int(np.minimum(np.maximum(np.diff(offsets) - k + 1, 0), 4**k).sum())
    indptr = np.zeros(rows + 1, dtype=np.int64)
    indices = np.empty(capacity, dtype=np.int32)
    counts = np.empty(capacity, dtype=np.float32)
    filled = count_sparse(codes, offsets, k, indptr, indices, counts)
    columns = 4**k
    indices, counts = indices[:filled], counts[:filled]
    if canonical:
        fold = canonical_columns(k)
        indices, columns = fold[indices].astype(np.int32), int(fold.max()) + 1
    matrix = csr_array((counts, indices, indptr.astype(_index_type(filled))), shape=(rows, columns))
    matrix.sum_duplicates()
    return matrix


def positional_kmers(sequences: EncodedBatch | Codes, k: int, *, width: int | None = None) -> csr_array:
    """One-hot of the k-mer at each position, as a sparse float32 matrix.

    Args:
        sequences: a batch or codes, uint8 (n, length). Shorter sequences have no features at the positions they lack.
        k: 1 to 12.
        width: length in bases that the columns are laid out for; None for the longest sequence. Give the training
            width when transforming test sequences.

    Returns:
        (n, (width - k + 1) * 4^k); column position * 4^k + k-mer.

    Raises:
        DataError: a sequence is longer than `width`.
        ValueError: k is out of range, or `width` is less than k.
    """
    from scipy.sparse import csr_array

    from glmbench.sequences.kmer_kernels import fill_positional

    _check_k(k, MAX_SPARSE_K)
    codes, offsets = flatten(sequences)
    lengths = np.diff(offsets)
    longest = int(lengths.max(initial=0)) if isinstance(sequences, EncodedBatch) else sequences.shape[-1]
    columns = longest if width is None else width
    require_width(lengths, columns)
    positions = columns - k + 1
    if positions < 1:
        raise ValueError(f"sequences of {columns} bases have no {k}-mer; choose a smaller k")
    capacity = int(np.maximum(lengths - k + 1, 0).sum())
    index_type = _index_type(max(positions * 4**k, capacity))
    indptr = np.zeros(len(offsets), dtype=index_type)
    indices = np.empty(capacity, dtype=index_type)
    filled = fill_positional(codes, offsets, k, indptr, indices)
    values = np.ones(filled, dtype=np.float32)
    return csr_array((values, indices[:filled], indptr), shape=(len(offsets) - 1, positions * 4**k))


def kmer_names(k: int) -> list[str]:
    """The k-mers in column order."""
    return ["".join(letters) for letters in product(BASES, repeat=k)]


def canonical_kmer_names(k: int) -> list[str]:
    """The canonical k-mers in column order: of each k-mer and its reverse complement the one that comes first."""
    names = kmer_names(k)
    return [names[kmer] for kmer in _canonical_kmers(k)]


def positional_kmer_names(k: int, width: int) -> list[str]:
    """Names of the columns of `positional_kmers`: 0-based position, colon, k-mer."""
    names = kmer_names(k)
    return [f"{position}:{name}" for position in range(width - k + 1) for name in names]


def reverse_complement_kmers(k: int) -> Integers:
    """int64 (4^k,): the column of each k-mer's reverse complement."""
    remaining = np.arange(4**k)
    reverse = np.zeros(4**k, dtype=np.int64)
    for _ in range(k):
        reverse = reverse * 4 + 3 - remaining % 4
        remaining //= 4
    return reverse


def canonical_columns(k: int) -> Integers:
    """int64 (4^k,): the column that each k-mer has when both strands are merged."""
    smaller = np.minimum(np.arange(4**k), reverse_complement_kmers(k))
    return np.searchsorted(_canonical_kmers(k), smaller)


def _canonical_kmers(k: int) -> Integers:
    every = np.arange(4**k)
    return every[every <= reverse_complement_kmers(k)]


def _merge_strands(table: NDArray[Any], k: int) -> NDArray[Any]:
    kept = _canonical_kmers(k)
    partners = reverse_complement_kmers(k)[kept]
    merged = table[:, kept]
    has_partner = partners != kept  # a k-mer that is its own reverse complement is counted once
    merged[:, has_partner] += table[:, partners[has_partner]]
    return merged


def _check_k(k: int, largest: int) -> None:
    if not 1 <= k <= largest:
        advice = "; use sparse_kmer_counts" if largest < k <= MAX_SPARSE_K else ""
        raise ValueError(f"k is {k}, it must be from 1 to {largest}{advice}")


def _largest_count(dtype: np.dtype[Any]) -> int:
    """The largest n such that 0..n are exact in `dtype`."""
    return int(np.iinfo(dtype).max) if dtype.kind in "iu" else int(2 ** (np.finfo(dtype).nmant + 1))


def _index_type(largest: int) -> type[np.int32] | type[np.int64]:
    """int32 where it suffices: some solvers of scikit-learn take no other."""
    return np.int32 if largest <= np.iinfo(np.int32).max else np.int64
