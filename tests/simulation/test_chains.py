from __future__ import annotations

import numpy as np
import pytest

from glmbench.sequences.markov import log_likelihood, sample_markov
from glmbench.simulation.chains import (
    base_probabilities,
    chain_from_transitions,
    chain_from_words,
    choose,
    cumulative_probabilities,
    dinucleotide_chain,
    matched_chain,
    random_chain,
    stationary_words,
)


def all_sequences(length: int) -> np.ndarray:
    return np.stack(np.unravel_index(np.arange(4**length), (4,) * length), axis=1).astype(np.uint8)


def word_frequencies(codes: np.ndarray, width: int) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(codes.astype(np.int64), width, axis=1)
    words = windows @ 4 ** np.arange(width)[::-1]
    return np.bincount(words.ravel(), minlength=4**width) / words.size


def test_stationary_words_of_a_hand_computed_chain():
    # Purines A, G alternate with chance .2, each time to either pyrimidine; pyrimidines turn to purines with chance .4.
    row_purine, row_pyrimidine = [0.4, 0.1, 0.4, 0.1], [0.2, 0.3, 0.2, 0.3]
    table = np.array([row_purine, row_pyrimidine, row_purine, row_pyrimidine])
    # .2 π_R = .4 π_Y, so π_R = 2/3.
    np.testing.assert_allclose(stationary_words(table), [1 / 3, 1 / 6, 1 / 3, 1 / 6], atol=1e-12)


def test_independent_bases_have_the_gc_content_asked_for():
    chain = dinucleotide_chain(0.62)
    np.testing.assert_allclose(chain.tables[0], [[0.19, 0.31, 0.31, 0.19]], atol=1e-12)


def test_depleted_cpg_is_rare():
    chain = dinucleotide_chain(0.5, cpg=0.25)
    pairs = chain.tables[0].reshape(4, 1) * chain.tables[1]
    single = chain.tables[0].reshape(4)
    assert pairs[1, 2] / (single[1] * single[2]) < 0.4


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_probabilities_of_all_sequences_sum_to_one(order: int):
    chain = random_chain(order, 0.9, seed=order)
    codes = all_sequences(5)
    assert np.exp(log_likelihood(chain, codes)).sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(
        np.log(base_probabilities(chain, codes)).sum(axis=1), log_likelihood(chain, codes), atol=1e-12
    )


def test_chain_is_stationary_from_its_first_base():
    chain = random_chain(2, 0.9, seed=3)
    probability = np.exp(log_likelihood(chain, all_sequences(5)))
    of_words = [probability.reshape(4**start, 64, -1).sum(axis=(0, 2)) for start in range(3)]
    np.testing.assert_allclose(of_words[1], of_words[0], atol=1e-12)
    np.testing.assert_allclose(of_words[2], of_words[0], atol=1e-12)


def test_matched_chain_has_the_same_short_words_and_other_long_ones():
    chain = random_chain(3, 0.8, seed=1)
    matched = matched_chain(chain, 1)
    codes = all_sequences(4)
    p, q = np.exp(log_likelihood(chain, codes)), np.exp(log_likelihood(matched, codes))
    np.testing.assert_allclose(p.reshape(16, 16).sum(axis=1), q.reshape(16, 16).sum(axis=1), atol=1e-12)
    assert np.abs(p - q).sum() > 0.1
    with pytest.raises(ValueError, match="higher order 4"):
        matched_chain(chain, 4)


def test_chain_from_words_keeps_the_words():
    words = np.exp(log_likelihood(random_chain(1, 0.7, seed=5), all_sequences(3)))
    again = np.exp(log_likelihood(chain_from_words(words), all_sequences(3)))
    np.testing.assert_allclose(again, words, atol=1e-12)


def test_samples_have_the_chain_s_words():
    chain = random_chain(1, 0.8, seed=2)
    codes = sample_markov(chain, 2000, 100, np.random.default_rng(0))
    expected = (chain.tables[0].reshape(4, 1) * chain.tables[1]).ravel()
    np.testing.assert_allclose(word_frequencies(codes, 2), expected, atol=0.004)


def test_choose_never_takes_an_impossible_outcome():
    cumulative = cumulative_probabilities(np.array([[0.3, 0.3, 0.4, 0.0], [0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]]))
    extremes = np.array([np.nextafter(1, 0), 0.0, np.nextafter(1, 0)])
    assert choose(cumulative, extremes).tolist() == [2, 3, 0]


@pytest.mark.parametrize("table", [np.full((3, 4), 0.25), np.full((4, 4), 0.3), np.tile([0.5, 0.5, 0, 0], (4, 1))])
def test_bad_transition_tables_are_refused(table: np.ndarray):
    with pytest.raises(ValueError, match="transition table"):
        chain_from_transitions(table)
