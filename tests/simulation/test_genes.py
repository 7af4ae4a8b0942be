from __future__ import annotations

import itertools

import numpy as np
import pytest

from glmbench.sequences.alphabet import decode, encode
from glmbench.simulation.genes import (
    GENETIC_CODE,
    IS_STOP,
    CodingWindows,
    codon_indices,
    codon_usage,
    frame_averaged_words,
    sample_codons,
    sample_open_reading_frame,
    translate,
)


def all_sequences(length: int) -> np.ndarray:
    return np.stack(np.unravel_index(np.arange(4**length), (4,) * length), axis=1).astype(np.uint8)


def test_genetic_code_is_the_standard_one():
    # NCBI's own line for table 1, whose bases run T C A G.
    ncbi = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"
    amino_acid = dict(zip(itertools.product("TCAG", repeat=3), ncbi, strict=True))
    assert "".join(amino_acid[codon] for codon in itertools.product("ACGT", repeat=3)) == GENETIC_CODE


def test_translate_by_hand():
    assert translate(encode("ATGGCCTGGTAA")) == "MAW*"
    assert [decode(np.array(np.unravel_index(codon, (4, 4, 4)))) for codon in np.flatnonzero(IS_STOP)] == [
        "TAA",
        "TAG",
        "TGA",
    ]


def test_codon_usage_is_human_without_stops():
    usage = codon_usage()
    assert usage.sum() == pytest.approx(1)
    assert not usage[IS_STOP].any()
    leucines = {codon: usage[index] for index, codon in _codons() if GENETIC_CODE[index] == "L"}
    assert max(leucines, key=leucines.__getitem__) == "CTG"
    assert leucines["CTG"] / leucines["TTA"] == pytest.approx(39.6 / 7.7)


def test_gc_bias_moves_third_positions_and_keeps_amino_acids():
    plain, biased = codon_usage(), codon_usage(1.0)
    letters = np.array(list(GENETIC_CODE))
    for letter in set(GENETIC_CODE):
        assert biased[letters == letter].sum() == pytest.approx(plain[letters == letter].sum())
    third = np.arange(64) % 4
    gc = np.isin(third, (1, 2))
    assert biased[gc].sum() > plain[gc].sum() + 0.1
    assert (biased[8 * 4 + 1 * 4 + 1] / biased[8 * 4 + 1 * 4 + 0]) == pytest.approx(
        np.e * plain[8 * 4 + 1 * 4 + 1] / plain[8 * 4 + 1 * 4 + 0]
    )


def _codons() -> list[tuple[int, str]]:
    return [(index, "".join(bases)) for index, bases in enumerate(itertools.product("ACGT", repeat=3))]


def test_open_reading_frame_starts_stops_and_does_not_stop_in_between():
    rng = np.random.default_rng(5)
    for _ in range(50):
        protein = translate(sample_open_reading_frame(codon_usage(), rng, 120))
        assert len(protein) == 120
        assert protein[0] == "M"
        assert protein.index("*") == 119


def test_samples_have_the_codon_usage():
    usage = codon_usage(0.5)
    codes = sample_codons(usage, np.random.default_rng(6), (100, 500))
    counts = np.bincount(codon_indices(codes).ravel(), minlength=64)
    assert counts[IS_STOP].sum() == 0
    np.testing.assert_allclose(counts / counts.sum(), usage, atol=0.004)


@pytest.mark.parametrize("length", [4, 5, 6])
def test_probabilities_of_all_windows_sum_to_one(length: int):
    windows = CodingWindows(codon_usage(0.3), length)
    codes = all_sequences(length)
    assert np.exp(windows.log_likelihood(codes)).sum() == pytest.approx(1, abs=1e-12)


def test_likelihood_equals_brute_force_over_codons():
    usage = codon_usage(0.3)
    length = 4
    expected = np.zeros((4,) * length)
    for first, second in itertools.product(range(64), repeat=2):
        bases = (*np.unravel_index(first, (4, 4, 4)), *np.unravel_index(second, (4, 4, 4)))
        for start in range(3):
            expected[tuple(bases[start : start + length])] += usage[first] * usage[second] / 3
    got = np.exp(CodingWindows(usage, length).log_likelihood(all_sequences(length)))
    np.testing.assert_allclose(got, expected.ravel(), atol=1e-14)


def test_windows_have_an_open_frame_and_come_in_all_frames():
    codes = CodingWindows(codon_usage(), 90).sample(np.random.default_rng(7), 600)
    open_in = np.stack([~IS_STOP[codon_indices(codes[:, frame : frame + 87])].any(axis=1) for frame in range(3)])
    assert open_in.any(axis=0).all()
    only = open_in[:, open_in.sum(axis=0) == 1].sum(axis=1)
    assert (only > 60).all()


def test_frame_averaged_words_are_the_words_of_coding_sequence():
    usage = codon_usage(0.4)
    words = frame_averaged_words(usage, 4)
    assert words.sum() == pytest.approx(1)
    windows = np.exp(CodingWindows(usage, 4).log_likelihood(all_sequences(4)))
    np.testing.assert_allclose(words, windows, atol=1e-14)


def test_short_frames_and_usage_with_stops_are_refused():
    with pytest.raises(ValueError, match="without stops"):
        sample_open_reading_frame(np.full(64, 1 / 64), np.random.default_rng(0), 10)
    with pytest.raises(ValueError, match="at least 2"):
        sample_open_reading_frame(codon_usage(), np.random.default_rng(0), 1)
