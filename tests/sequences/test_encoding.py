import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmbench.sequences.alphabet import decode, encode
from glmbench.sequences.encoding import one_hot, reverse_complement, reverse_complement_codes


def test_one_hot_by_hand():
    codes = encode("AGN")
    assert one_hot(codes).tolist() == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert one_hot(codes, layout="channels-first").tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64, np.uint8, np.int64])
@pytest.mark.parametrize("shape", [(3, 7), (0, 7), (3, 0), (5,), (2, 3, 4)])
def test_one_hot_layouts_agree_and_keep_the_type(dtype, shape):
    codes = np.random.default_rng(0).integers(0, 5, size=shape, dtype=np.uint8)
    last = one_hot(codes, dtype)
    assert last.shape == (*shape, 4)
    assert last.dtype == dtype
    assert np.array_equal(last, np.moveaxis(one_hot(codes, dtype, "channels-first"), -2, -1))
    assert np.array_equal(last, np.eye(5, 4)[codes])


def test_one_hot_equals_torch():
    torch = pytest.importorskip("torch")
    codes = np.random.default_rng(0).integers(0, 4, size=(9, 50), dtype=np.uint8)
    assert np.array_equal(
        one_hot(codes), torch.nn.functional.one_hot(torch.from_numpy(codes).long(), 4).float().numpy()
    )


def test_reverse_complement_by_hand():
    assert reverse_complement("AACGTN") == "NACGTT"
    assert reverse_complement("acGU") == "ACgt"
    assert reverse_complement("RYSWKMBDHVN") == "NBDHVKMWSRY"


@given(st.text("ACGTNRYSWKMBDHVacgtn", max_size=60))
def test_reverse_complement_twice_is_identity(sequence):
    assert reverse_complement(reverse_complement(sequence)) == sequence


@given(st.text("ACGTN", max_size=60))
def test_codes_and_letters_have_the_same_reverse_complement(sequence):
    assert decode(reverse_complement_codes(encode(sequence))) == reverse_complement(sequence)


def test_reverse_complement_of_a_matrix_is_by_row():
    codes = np.array([[0, 1, 4], [2, 2, 3]], dtype=np.uint8)
    assert reverse_complement_codes(codes).tolist() == [[4, 2, 3], [0, 1, 1]]
