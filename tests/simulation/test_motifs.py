from __future__ import annotations

import math

import numpy as np
import pytest

from glmbench.sequences.alphabet import encode
from glmbench.simulation.motifs import PositionWeightMatrix, matrix_from_consensus
from glmbench.simulation.promoters import MINUS_10, MINUS_35

TOY = PositionWeightMatrix("toy", np.array([[0.5, 0.5, 0.0, 0.0], [0.1, 0.2, 0.3, 0.4]]))


def test_log_odds_by_hand():
    background = np.array([0.4, 0.1, 0.1, 0.4])
    scores = TOY.log_odds(encode("CTAG")[None], background)
    # CT: (.5 / .1)(.4 / .4); TA: impossible; AG: (.5 / .4)(.3 / .1)
    np.testing.assert_allclose(scores, [[math.log(5), -math.inf, math.log(3.75)]])


def test_scan_is_the_log_probability_of_each_window():
    np.testing.assert_allclose(TOY.scan(encode("AAC")[None]), [[math.log(0.05), math.log(0.1)]])
    assert TOY.scan(encode("A")[None]).shape == (1, 0)


def test_information_content_by_hand():
    # First column: two bases at .5 against uniform, 1 bit; second: 2 bits less its entropy.
    entropy = -sum(p * math.log2(p) for p in (0.1, 0.2, 0.3, 0.4))
    assert TOY.information_content() == pytest.approx(1 + 2 - entropy)
    first = 0.5 * math.log2(0.5 / 0.4) + 0.5 * math.log2(0.5 / 0.1)
    second = sum(p * math.log2(p / q) for p, q in zip((0.1, 0.2, 0.3, 0.4), (0.4, 0.1, 0.1, 0.4), strict=True))
    assert TOY.information_content(np.array([0.4, 0.1, 0.1, 0.4])) == pytest.approx(first + second)


def test_information_content_against_its_own_composition_is_zero():
    column = np.array([0.1, 0.2, 0.3, 0.4])
    assert PositionWeightMatrix("flat", np.tile(column, (3, 1))).information_content(column) == pytest.approx(0)


def test_consensus_of_the_bacterial_boxes():
    assert (MINUS_35.consensus, MINUS_10.consensus) == ("TTGACA", "TATAAT")


def test_matrix_from_consensus_shares_percentages():
    matrix = matrix_from_consensus("m", "AYN", (70, 80, 100))
    expected = [[0.7, 0.1, 0.1, 0.1], [0.1, 0.4, 0.1, 0.4], [0.25, 0.25, 0.25, 0.25]]
    np.testing.assert_allclose(matrix.probabilities, expected)


def test_samples_have_the_matrix_s_frequencies():
    codes = TOY.sample(np.random.default_rng(1), 20_000)
    frequencies = np.stack([np.bincount(column, minlength=4) for column in codes.T]) / len(codes)
    np.testing.assert_allclose(frequencies, TOY.probabilities, atol=0.015)
    assert frequencies[0, 2] == frequencies[0, 3] == 0


def test_sharpened_twice_as_sharp():
    sharpened = PositionWeightMatrix("m", np.array([[0.4, 0.2, 0.2, 0.2]])).sharpened(2)
    np.testing.assert_allclose(sharpened.probabilities, np.array([[0.16, 0.04, 0.04, 0.04]]) / 0.28)


@pytest.mark.parametrize("rows", [[[0.5, 0.5, 0.5, 0.0]], [[1.5, -0.5, 0.0, 0.0]], [0.25, 0.25, 0.25, 0.25]])
def test_what_is_no_matrix_is_refused(rows: list):
    with pytest.raises(ValueError, match="sum to 1"):
        PositionWeightMatrix("bad", np.array(rows))


def test_matrix_cannot_be_changed_in_place():
    with pytest.raises(ValueError, match="read-only"):
        TOY.probabilities[0, 0] = 1
