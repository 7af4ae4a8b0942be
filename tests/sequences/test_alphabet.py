import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmbench.errors import DataError
from glmbench.sequences.alphabet import (
    AlphabetCounts,
    AlphabetPolicy,
    EncodedBatch,
    decode,
    encode,
    encode_batch,
    flatten,
)

bases = st.text("ACGTN", max_size=300)


def test_codes_and_counts_by_hand():
    batch = encode_batch(["ACGTN", "acgu", "", "RYA"])
    assert batch.codes.tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 4, 0]
    assert batch.codes.dtype == np.uint8
    assert batch.offsets.tolist() == [0, 5, 9, 9, 12]
    assert batch.counts == AlphabetCounts(bases=9, n=1, iupac=2, uracil=1, lower_case=4)
    assert [len(each) for each in batch] == [5, 4, 0, 3]
    assert batch[-1].tolist() == [4, 4, 0]


def test_every_letter_of_the_alphabet_has_its_code_in_both_cases():
    assert encode("ACGTUNRYSWKMBDHV").tolist() == [0, 1, 2, 3, 3] + [4] * 11
    assert encode("acgtunryswkmbdhv").tolist() == [0, 1, 2, 3, 3] + [4] * 11


def test_counts_of_one_long_sequence_equal_those_of_its_letters():
    sequence = "ACGTacgtNNnRyU" * 1_000
    counts = encode_batch([sequence]).counts
    assert counts == AlphabetCounts(bases=9_000, n=3_000, iupac=2_000, uracil=1_000, lower_case=6_000)


@pytest.mark.parametrize("letter", ["-", " ", "\n", "X", "é", "*", "?", "\0", "中"])
def test_other_letters_are_refused_with_their_place(letter):
    with pytest.raises(DataError, match=r"sequence 1: letter .* at position 2 \(0-based\)") as caught:
        encode_batch(["AC", f"AC{letter}T"])
    assert repr(letter) in str(caught.value)
    with pytest.raises(DataError, match="at position 2"):
        encode(f"AC{letter}T")


def test_refused_letter_in_bytes():
    with pytest.raises(DataError, match="letter '-' at position 1"):
        encode(b"A-")


@pytest.mark.parametrize(
    ("policy", "sequence", "codes"),
    [
        (AlphabetPolicy(lower_case="upper"), "ACgtn", [0, 1, 2, 3, 4]),
        (AlphabetPolicy(lower_case="n"), "ACgtn", [0, 1, 4, 4, 4]),
        (AlphabetPolicy(ambiguous="refuse"), "ACgt", [0, 1, 2, 3]),
        (AlphabetPolicy(lower_case="refuse"), "ACNR", [0, 1, 4, 4]),
    ],
)
def test_policies(policy, sequence, codes):
    assert encode(sequence, policy).tolist() == codes


@pytest.mark.parametrize(
    ("policy", "sequence", "setting", "position"),
    [
        (AlphabetPolicy(ambiguous="refuse"), "ACNA", "ambiguous", 2),
        (AlphabetPolicy(ambiguous="refuse"), "ACr", "ambiguous", 2),
        (AlphabetPolicy(lower_case="refuse"), "AcN", "lower_case", 1),
    ],
)
def test_policies_that_refuse_name_their_setting(policy, sequence, setting, position):
    with pytest.raises(DataError, match=f'position {position}.*{setting}="refuse"'):
        encode(sequence, policy)


@given(st.lists(bases, max_size=8))
def test_batch_equals_sequences_one_by_one(sequences):
    batch = encode_batch(sequences)
    assert [decode(codes) for codes in batch] == sequences
    assert batch.lengths.tolist() == [len(sequence) for sequence in sequences]


@given(bases)
def test_decode_undoes_encode(sequence):
    assert decode(encode(sequence)) == sequence
    assert np.array_equal(encode(sequence.lower()), encode(sequence.encode()))


def test_matrix_fills_with_n():
    batch = encode_batch(["AC", "ACGT", ""])
    assert batch.matrix().tolist() == [[0, 1, 4, 4], [0, 1, 2, 3], [4, 4, 4, 4]]
    assert batch.matrix(5).shape == (3, 5)
    assert encode_batch(["AC", "GT"]).matrix().tolist() == [[0, 1], [2, 3]]
    assert encode_batch([]).matrix(3).shape == (0, 3)


def test_matrix_never_cuts():
    with pytest.raises(DataError, match="sequence 1 has 4 bases, more than the 3 wanted"):
        encode_batch(["AC", "ACGT"]).matrix(3)


def test_flatten_takes_batches_matrices_and_single_sequences():
    batch = EncodedBatch(np.array([0, 1, 2], dtype=np.uint8), np.array([0, 1, 3]))
    assert flatten(batch)[1].tolist() == [0, 1, 3]
    assert flatten(np.zeros((3, 2), dtype=np.uint8))[1].tolist() == [0, 2, 4, 6]
    assert flatten(np.zeros(5, dtype=np.uint8))[1].tolist() == [0, 5]


def test_counts_add_up():
    assert AlphabetCounts(1, 2, 3, 4, 5) + AlphabetCounts(10, 20, 30, 40, 50) == AlphabetCounts(11, 22, 33, 44, 55)
