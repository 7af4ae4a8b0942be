from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import issparse

from glmbench.errors import Unsupported, UsageError
from glmbench.models import registry
from glmbench.models.kmer import KmerModel
from glmbench.models.model import Embeds


def kmer(reference: str) -> KmerModel:
    model = registry.load(reference)
    assert isinstance(model, KmerModel)
    return model


def test_two_mers_by_hand() -> None:
    features = np.asarray(kmer("kmer:2").embed(["AACA", "ACNAC"]))
    expected = np.zeros((2, 16))
    expected[0, [0, 1, 4]] = 1  # AA, AC, CA
    expected[1, 1] = 2  # AC on both sides of the N
    np.testing.assert_array_equal(features, expected)
    assert features.dtype == np.float32


def test_a_range_concatenates_its_counts() -> None:
    sequences = ["ACGTTGCA", "TTTTTTGG"]
    parts = [np.asarray(kmer(f"kmer:{k}").embed(sequences)) for k in (1, 2, 3, 4)]
    np.testing.assert_array_equal(np.asarray(kmer("kmer:1-4").embed(sequences)), np.concatenate(parts, axis=1))


def test_large_tables_are_sparse_and_equal_dense_counts() -> None:
    from glmbench.sequences.alphabet import encode_batch
    from glmbench.sequences.kmers import kmer_counts

    sequences = ["ACGTTGCAACGTTG", "TTTTTTTTTTGG"]
    features = kmer("kmer:6").embed(sequences)
    assert issparse(features)
    assert features.format == "csr"
    np.testing.assert_array_equal(features.toarray(), kmer_counts(encode_batch(sequences), 6))


def test_positional_k_mers_by_hand_and_the_same_columns_for_other_sets() -> None:
    model = kmer("kmer:pos3")
    short, long = model.embed(["AAAC"]), model.embed(["AAACG", "TTTTTTTT"])
    assert short.shape[1] == long.shape[1] == model.dimension
    assert short.nonzero()[1].tolist() == [0, 64 + 1]  # AAA at 0, AAC at 1
    assert long[[0]].nonzero()[1].tolist() == [0, 64 + 1, 128 + 6]  # and ACG at 2


def test_positional_k_mers_beyond_their_length_say_what_to_do() -> None:
    with pytest.raises(Unsupported, match=r"kmer:pos3\?length=12"):
        kmer("kmer:pos3?length=10").embed(["A" * 12])
    assert kmer("kmer:pos3?length=12").embed(["A" * 12]).nnz == 10


def test_cards() -> None:
    references = ["kmer:5", "kmer:1-4", "kmer:pos3", "kmer:pos3?length=40"]
    cards = [kmer(reference).card for reference in references]
    assert [card.reference for card in cards] == references
    assert len({card.fingerprint for card in cards}) == 4
    assert {card.kind for card in cards} == {"control"}
    assert isinstance(kmer("kmer:5"), Embeds)
    assert kmer("kmer:3-3").card.reference == "kmer:3"


@pytest.mark.parametrize(
    "reference", ["kmer:0", "kmer:13", "kmer:4-2", "kmer:pos", "kmer:pos1-3", "kmer:5@v1", "kmer:5?length=3"]
)
def test_malformed_specs_are_usage_errors(reference: str) -> None:
    with pytest.raises(UsageError):
        registry.load(reference)
