import tracemalloc
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmbench.errors import DataError
from glmbench.sequences.alphabet import encode_batch
from glmbench.sequences.encoding import reverse_complement
from glmbench.sequences.kmers import (
    canonical_columns,
    canonical_kmer_names,
    kmer_counts,
    kmer_names,
    positional_kmer_names,
    positional_kmers,
    reverse_complement_kmers,
    sparse_kmer_counts,
)

batches = st.lists(st.text("ACGTN", max_size=40), min_size=1, max_size=6)


def counted(sequence: str, k: int) -> Counter[str]:
    windows = (sequence[i : i + k] for i in range(len(sequence) - k + 1))
    return Counter(window for window in windows if "N" not in window)


def named(row: np.ndarray, names: list[str]) -> dict[str, int]:
    return {name: int(count) for name, count in zip(names, row, strict=True) if count}


def test_counts_by_hand():
    table = kmer_counts(encode_batch(["AACAAC", "ACNAC", "A", ""]), 2)
    assert table.dtype == np.float32
    assert named(table[0], kmer_names(2)) == {"AA": 2, "AC": 2, "CA": 1}
    assert named(table[1], kmer_names(2)) == {"AC": 2}
    assert table[2:].sum() == 0


@settings(deadline=None, max_examples=40)
@given(batches, st.integers(1, 5))
def test_dense_and_sparse_equal_a_counter(sequences, k):
    batch = encode_batch(sequences)
    dense, sparse = kmer_counts(batch, k, dtype=np.uint16), sparse_kmer_counts(batch, k)
    assert np.array_equal(dense, sparse.toarray())
    assert sparse.has_sorted_indices
    for row, sequence in zip(dense, sequences, strict=True):
        assert named(row, kmer_names(k)) == counted(sequence, k)


@settings(deadline=None, max_examples=40)
@given(batches, st.integers(1, 4))
def test_canonical_counts_do_not_change_with_the_strand(sequences, k):
    other_strand = [reverse_complement(sequence) for sequence in sequences]
    merged = kmer_counts(encode_batch(sequences), k, canonical=True)
    assert np.array_equal(merged, kmer_counts(encode_batch(other_strand), k, canonical=True))
    assert np.array_equal(merged, sparse_kmer_counts(encode_batch(sequences), k, canonical=True).toarray())
    assert merged.sum() == kmer_counts(encode_batch(sequences), k).sum()
    assert merged.shape[1] == len(canonical_kmer_names(k))


def test_canonical_columns_by_hand():
    assert canonical_kmer_names(2) == ["AA", "AC", "AG", "AT", "CA", "CC", "CG", "GA", "GC", "TA"]
    names = kmer_names(2)
    merged = {name: canonical_kmer_names(2)[column] for name, column in zip(names, canonical_columns(2), strict=True)}
    assert (merged["TT"], merged["GT"], merged["AT"], merged["TG"]) == ("AA", "AC", "AT", "CA")


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_reverse_complement_of_columns_equals_that_of_names(k):
    names = kmer_names(k)
    assert [names[column] for column in reverse_complement_kmers(k)] == [reverse_complement(name) for name in names]


def test_matrix_and_batch_give_the_same():
    codes = np.random.default_rng(0).integers(0, 5, size=(20, 30), dtype=np.uint8)
    batch = encode_batch(["".join("ACGTN"[code] for code in row) for row in codes])
    assert np.array_equal(kmer_counts(codes, 3), kmer_counts(batch, 3))
    assert np.array_equal(kmer_counts(codes[:, ::2], 3), kmer_counts(np.ascontiguousarray(codes[:, ::2]), 3))
    assert (positional_kmers(codes, 3) != positional_kmers(batch, 3)).nnz == 0


def test_long_kmers_are_sparse():
    counts = sparse_kmer_counts(encode_batch(["ACGTACGTACGTACGT"]), 12)
    assert counts.shape == (1, 4**12)
    assert sorted(counts.data.tolist()) == [1, 1, 1, 2]


@pytest.mark.parametrize("length", [4_095, 4_096, 4_097, 70_000])
def test_long_sequences_are_counted_across_pieces(length):
    rng = np.random.default_rng(length)
    sequence = "".join(rng.choice(list("ACGTN"), p=[0.25, 0.25, 0.25, 0.2499, 0.0001], size=length))
    batch = encode_batch([sequence, "A" * length])
    table = kmer_counts(batch, 3)
    assert named(table[0], kmer_names(3)) == counted(sequence, 3)
    assert named(table[1], kmer_names(3)) == {"AAA": length - 2}


def test_counts_equal_scikit_learn():
    text = pytest.importorskip("sklearn.feature_extraction.text")
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(list("ACGT"), size=200)) for _ in range(50)]
    vectorizer = text.CountVectorizer(analyzer="char", ngram_range=(4, 4), lowercase=False, vocabulary=kmer_names(4))
    assert np.array_equal(vectorizer.fit_transform(sequences).toarray(), kmer_counts(encode_batch(sequences), 4))


def test_positional_by_hand():
    features = positional_kmers(encode_batch(["ACGT", "TTN"]), 2)
    names = positional_kmer_names(2, 4)
    assert features.shape == (2, 3 * 16)
    assert features.indices.dtype == np.int32
    assert named(features.toarray()[0], names) == {"0:AC": 1, "1:CG": 1, "2:GT": 1}
    assert named(features.toarray()[1], names) == {"0:TT": 1}


@settings(deadline=None, max_examples=30)
@given(batches, st.integers(1, 3))
def test_positional_kmers_sum_to_counts(sequences, k):
    batch = encode_batch(sequences)
    features = positional_kmers(batch, k, width=45).toarray()
    assert np.array_equal(features.reshape(len(sequences), -1, 4**k).sum(axis=1), kmer_counts(batch, k))


def test_positional_equals_its_definition_at_any_position():
    batch = encode_batch(["ACNGTT", "", "T", "NNNN", "GGTAC"])
    dense = np.zeros((5, 5 * 16))
    for row, sequence in enumerate(["ACNGTT", "", "T", "NNNN", "GGTAC"]):
        for position in range(len(sequence) - 1):
            if "N" not in sequence[position : position + 2]:
                dense[row, position * 16 + kmer_names(2).index(sequence[position : position + 2])] = 1
    features = positional_kmers(batch, 2)
    assert np.array_equal(features.toarray(), dense)
    assert features.has_canonical_format


def test_positional_memory_is_that_of_the_result():
    codes = np.random.default_rng(0).integers(0, 4, size=(500, 999), dtype=np.uint8)
    positional_kmers(codes[:2], 3)
    tracemalloc.start()
    features = positional_kmers(codes, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    result = features.data.nbytes + features.indices.nbytes + features.indptr.nbytes
    assert peak < 1.3 * result


def test_positional_width_is_that_of_training():
    assert positional_kmers(encode_batch(["ACG"]), 2, width=10).shape == (1, 9 * 16)
    assert positional_kmers(np.zeros((2, 3), dtype=np.uint8), 2, width=10).shape == (2, 9 * 16)
    with pytest.raises(DataError, match="more than the 2 wanted"):
        positional_kmers(encode_batch(["ACG"]), 2, width=2)
    with pytest.raises(ValueError, match="no 3-mer"):
        positional_kmers(encode_batch(["AC"]), 3)


def test_no_sequences():
    assert kmer_counts(encode_batch([]), 2).shape == (0, 16)
    assert sparse_kmer_counts(encode_batch([]), 2, canonical=True).shape == (0, 10)
    assert positional_kmers(encode_batch([]), 2, width=5).shape == (0, 64)


@pytest.mark.parametrize(("function", "k"), [(kmer_counts, 0), (kmer_counts, 9), (sparse_kmer_counts, 13)])
def test_k_out_of_range(function, k):
    with pytest.raises(ValueError, match=f"k is {k}, it must be from 1 to"):
        function(encode_batch(["ACGT"]), k)


def test_a_type_too_narrow_for_the_counts_is_refused():
    poly_a = np.zeros((1, 300), dtype=np.uint8)
    assert kmer_counts(poly_a, 1, dtype=np.uint16)[0, 0] == 300
    with pytest.raises(ValueError, match="uint8 cannot hold"):
        kmer_counts(poly_a, 1, dtype=np.uint8)
