from collections import Counter
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmbench.sequences.alphabet import decode, encode, encode_batch
from glmbench.sequences.shuffles import shuffle_bases, shuffle_dinucleotides

SHUFFLES = [shuffle_bases, shuffle_dinucleotides]


def pairs(sequence: str) -> Counter[tuple[str, str]]:
    return Counter(pairwise(sequence))


@settings(deadline=None, max_examples=100)
@given(st.text("ACGTN", max_size=80), st.integers(0, 2**32))
def test_dinucleotide_counts_ends_and_ns_are_kept(sequence, seed):
    shuffled = decode(shuffle_dinucleotides(encode(sequence), np.random.default_rng(seed)))
    assert pairs(shuffled) == pairs(sequence)
    for before, after in zip(sequence.split("N"), shuffled.split("N"), strict=True):
        assert len(before) == len(after)
        assert pairs(before) == pairs(after)
        assert (before[:1], before[-1:]) == (after[:1], after[-1:])


@settings(deadline=None, max_examples=50)
@given(st.text("ACGTN", max_size=80), st.integers(0, 2**32))
def test_base_counts_and_ns_are_kept(sequence, seed):
    shuffled = decode(shuffle_bases(encode(sequence), np.random.default_rng(seed)))
    for before, after in zip(sequence.split("N"), shuffled.split("N"), strict=True):
        assert Counter(before) == Counter(after)


@pytest.mark.parametrize("sequence", ["ACGACTAGCA", "AACAGACCA", "ACACGTGTAC"])
def test_every_sequence_with_these_dinucleotides_is_equally_likely(sequence):
    inner = {"".join(order) for order in permutations(sequence[1:-1])}
    possible = {each for middle in inner if pairs(each := sequence[0] + middle + sequence[-1]) == pairs(sequence)}
    rows = np.tile(encode(sequence), (400 * len(possible), 1))
    drawn = Counter(decode(row) for row in shuffle_dinucleotides(rows, np.random.default_rng(0)))
    assert set(drawn) == possible
    chi_square = sum((count - 400) ** 2 / 400 for count in drawn.values())
    degrees = len(possible) - 1
    assert chi_square < degrees + 4 * (2 * degrees) ** 0.5


def test_every_order_of_bases_is_equally_likely():
    rows = np.tile(encode("ACG"), (6_000, 1))
    drawn = Counter(decode(row) for row in shuffle_bases(rows, np.random.default_rng(0)))
    assert len(drawn) == 6
    assert sum((count - 1_000) ** 2 / 1_000 for count in drawn.values()) < 25


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_shapes_are_kept_and_the_input_is_not_changed(shuffle):
    codes = np.random.default_rng(0).integers(0, 5, size=(4, 50), dtype=np.uint8)
    before = codes.copy()
    shuffled = shuffle(codes, np.random.default_rng(1))
    assert shuffled.shape == codes.shape
    assert np.array_equal(codes, before)
    assert not np.array_equal(shuffled, codes)
    assert np.array_equal(shuffled, shuffle(codes, np.random.default_rng(1)))


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_sequences_of_a_batch_do_not_mix(shuffle):
    batch = encode_batch(["AAAA", "CCCCCC", "", "GTGTGTGT"])
    shuffled = shuffle(batch, np.random.default_rng(0))
    assert shuffled.offsets.tolist() == batch.offsets.tolist()
    assert shuffled.counts == batch.counts
    assert [Counter(each.tolist()) for each in shuffled] == [Counter(each.tolist()) for each in batch]


def test_a_long_shuffle_loses_what_is_beyond_dinucleotides():
    codes = np.tile(encode("ACGTTGCA"), 500)
    shuffled = shuffle_dinucleotides(codes, np.random.default_rng(0))
    assert pairs(decode(shuffled)) == pairs(decode(codes))
    assert (shuffled == codes).mean() < 0.5
