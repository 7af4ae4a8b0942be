from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmbench.simulation.chains import dinucleotide_chain, random_chain
from glmbench.simulation.layouts import LayoutMixture
from glmbench.simulation.motifs import PositionWeightMatrix
from glmbench.simulation.promoters import (
    SIGMA70,
    MotifSyntax,
    scrambled_syntaxes,
    syntax_on_background,
)

ONE = PositionWeightMatrix("one", np.array([[0.7, 0.1, 0.1, 0.1], [0.0, 0.5, 0.5, 0.0]]))
TWO = PositionWeightMatrix("two", np.array([[0.05, 0.05, 0.1, 0.8]]))
SYNTAX = MotifSyntax((ONE, TWO), ({1: 0.75, 2: 0.25},))


def all_sequences(length: int) -> np.ndarray:
    return np.stack(np.unravel_index(np.arange(4**length), (4,) * length), axis=1).astype(np.uint8)


def likelihood_by_hand(codes: np.ndarray, transitions: np.ndarray, first: np.ndarray) -> float:
    """Sum over placements of SYNTAX on an order-1 background, one base at a time, with nothing of the package."""
    total = 0.0
    length = len(codes)
    for gap, weight in ((1, 0.75), (2, 0.25)):
        starts = length - (2 + gap + 1) + 1
        for start in range(starts):
            motif_rows = {start: ONE.probabilities[0], start + 1: ONE.probabilities[1]}
            motif_rows[start + 2 + gap] = TWO.probabilities[0]
            p = weight / starts
            for position, base in enumerate(codes):
                background = first if position == 0 else transitions[codes[position - 1]]
                p *= motif_rows.get(position, background)[base]
            total += p
    return total


def test_likelihood_equals_brute_force():
    chain = dinucleotide_chain(0.4, cpg=0.3)
    mixture = syntax_on_background(SYNTAX, chain, 7)
    codes = np.random.default_rng(0).integers(0, 4, (40, 7)).astype(np.uint8)
    expected = [likelihood_by_hand(row, chain.tables[1], chain.tables[0][0]) for row in codes]
    np.testing.assert_allclose(np.exp(mixture.log_likelihood(codes)), expected, rtol=1e-10)


@settings(max_examples=20, deadline=None)
@given(order=st.integers(0, 3), seed=st.integers(0, 2**32), gap=st.integers(0, 3))
def test_probabilities_of_all_sequences_sum_to_one(order: int, seed: int, gap: int):
    columns = np.random.default_rng(seed).dirichlet(np.ones(4), 2)
    syntax = MotifSyntax((PositionWeightMatrix("random", columns), TWO), ({gap: 0.4, gap + 1: 0.6},))
    mixture = syntax_on_background(syntax, random_chain(order, 0.8, seed), 7)
    assert np.exp(mixture.log_likelihood(all_sequences(7))).sum() == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("order", [0, 2])
def test_samples_follow_the_likelihood(order: int):
    mixture = syntax_on_background(SYNTAX, random_chain(order, 0.8, seed=4), 5)
    n = 100_000
    codes = mixture.sample(np.random.default_rng(2), n)
    counts = np.bincount(codes @ 4 ** np.arange(5)[::-1], minlength=4**5)
    expected = n * np.exp(mixture.log_likelihood(all_sequences(5)))
    seen = expected > 5
    chi_square = ((counts[seen] - expected[seen]) ** 2 / expected[seen]).sum()
    assert chi_square < seen.sum() + 5 * np.sqrt(2 * seen.sum())


def test_motifs_are_where_the_layout_says():
    mixture = syntax_on_background(SIGMA70.sharpened(50), dinucleotide_chain(0.5), 60)
    codes, chosen = mixture.sample_with_layouts(np.random.default_rng(3), 200)
    for row, index in zip(codes, chosen, strict=True):
        start = mixture.layouts[index][0][1]
        gap = mixture.layouts[index][2][1]
        assert row[start : start + 6].tolist() == [3, 3, 2, 0, 1, 0]
        assert row[start + 6 + gap : start + 12 + gap].tolist() == [3, 0, 3, 0, 0, 3]
        assert 15 <= gap <= 19
    assert set(np.unique(chosen)) <= set(range(len(mixture.layouts)))
    assert len(np.unique(chosen)) > 50


def test_scrambled_syntaxes_hold_the_same_motifs_in_other_arrangements():
    decoys = scrambled_syntaxes(SIGMA70, (8, 26))
    assert [[motif.name for motif in syntax.motifs] for syntax in decoys] == [
        ["minus_10", "minus_35"],
        ["minus_35", "minus_10"],
    ]
    assert [set(syntax.spacers[0]) for syntax in decoys] == [{15, 16, 17, 18, 19}, {8, 26}]
    with pytest.raises(ValueError, match="other than"):
        scrambled_syntaxes(SIGMA70, (17,))


def test_mismatched_layouts_are_refused():
    emitters = {"background": dinucleotide_chain(0.5), "two": TWO}
    with pytest.raises(ValueError, match="one length"):
        LayoutMixture(emitters, ((("background", 3),), (("background", 4),)), np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match="one weight"):
        LayoutMixture(emitters, ((("background", 3),),), np.array([0.5]))
    with pytest.raises(ValueError, match="1 positions"):
        LayoutMixture(emitters, ((("two", 3),),), np.array([1.0]))
    with pytest.raises(ValueError, match="the sequence has 20"):
        syntax_on_background(SIGMA70, dinucleotide_chain(0.5), 20)
    with pytest.raises(ValueError, match="1 spacers"):
        MotifSyntax((ONE, TWO), ())
