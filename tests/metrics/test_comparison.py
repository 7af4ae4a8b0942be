from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from glmbench.errors import DataError
from glmbench.metrics.comparison import (
    benjamini_hochberg,
    difference,
    paired_difference,
    paired_over_tasks,
    rank_intervals,
    summarised,
)
from glmbench.metrics.resampling import resampled_scores


def model(rng, labels, frame, *, fits, strength=0.8, between=0.0, own=0.5, noise=0.5):
    """Fits of one model: `between` moves whole fits, `own` is shared by them, `noise` is new in each."""
    shared = rng.normal(size=labels.size) * own
    odds = [
        (2 * labels - 1) * (strength + between * rng.normal()) + shared + noise * rng.normal(size=labels.size)
        for _ in range(fits)
    ]
    return [frame(labels, 1 / (1 + np.exp(-one))) for one in odds]


@pytest.mark.parametrize(
    ("metric", "fits", "between"),
    [("accuracy", (1, 1), 0.0), ("auroc", (1, 1), 0.0), ("accuracy", (3, 3), 0.3), ("accuracy", (4, 3), 0.3)],
)
def test_two_models_of_one_strength_are_called_different_no_more_often_than_stated(frame, metric, fits, between):
    rng = np.random.default_rng(11)
    called, trials = 0, 300
    for trial in range(trials):
        labels = rng.integers(0, 2, 120)
        sides = [model(rng, labels, frame, fits=number, between=between) for number in fits]
        called += paired_difference(metric, *sides, n=300, seed=trial).p < 0.05
    # binomial(300, .05): mean 15, standard deviation 3.8
    assert called <= 26
    if fits == (1, 1):
        assert called >= 5


def test_seeds_that_vary_are_not_taken_for_a_difference(frame):
    # Three fits of each side whose own means differ widely: a test over units alone would be certain of it.
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 2000)
    a = [f for s in (0.2, 1.0, 2.5) for f in model(rng, labels, frame, fits=1, strength=s)]
    b = [f for s in (0.1, 0.6, 0.7) for f in model(rng, labels, frame, fits=1, strength=s)]
    assert paired_difference("auroc", a, b, n=2000, seed=0).p > 0.05
    assert paired_difference("auroc", a[2:], b[2:], n=2000, seed=0).p < 0.01


def test_a_real_difference_is_found_and_signed(frame):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 500)
    strong, weak = (model(rng, labels, frame, fits=3, strength=s, between=0.05) for s in (1.2, 0.4))
    found = paired_difference("mcc", strong, weak, n=2000, seed=0)
    assert found.estimate > 0
    assert 0 < found.low < found.estimate < found.high
    assert found.p < 0.01
    assert (found.fits, found.units) == ((3, 3), 500)
    back = paired_difference("mcc", weak, strong, n=2000, seed=0)
    assert back.estimate == pytest.approx(-found.estimate)
    assert back.p < 0.01


def test_pairing_narrows_the_interval(frame):
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 300)
    [fit] = model(rng, labels, frame, fits=1)
    near = fit.with_columns(score_0=(fit["score_0"] + rng.normal(size=300) * 0.01).clip(0, 1))
    paired = paired_difference("accuracy", [fit], [near], n=1000, seed=0)
    assert paired.high - paired.low < 0.05  # a single accuracy of 300 rows has an interval of about 0.1


def test_a_model_against_itself(frame):
    rng = np.random.default_rng(4)
    fits = model(rng, rng.integers(0, 2, 50), frame, fits=2)
    same = paired_difference("accuracy", fits, fits, n=200, seed=0)
    assert (same.estimate, same.low, same.high, same.p) == (0, 0, 0, 1)


def test_the_smallest_p_is_two_in_n_plus_one(frame):
    labels = np.arange(100) % 2
    right, wrong = frame(labels, labels.astype(float)), frame(labels, 1.0 - labels)
    assert paired_difference("accuracy", [right], [wrong], n=999, seed=0).p == pytest.approx(2 / 1000)


def test_what_cannot_be_paired_is_refused(frame):
    fit = frame([0, 1, 1, 0], [0.1, 0.2, 0.3, 0.7])
    with pytest.raises(DataError, match=r"4 examples .* and accuracy of 3 examples"):
        paired_difference("accuracy", [fit], [fit.head(3)], n=10, seed=0)
    scores = [resampled_scores("accuracy", [fit], n=10, seed=seed) for seed in (0, 1)]
    with pytest.raises(DataError, match="seed 0, 10 replicates"):
        difference(*scores)
    with pytest.raises(DataError, match="no predictions"):
        paired_difference("accuracy", [fit], [], n=10, seed=0)


def test_an_undefined_difference_has_no_p(frame):
    fit = frame([0, 0, 0], [0.1, 0.2, 0.3])
    found = paired_difference("auroc", [fit], [fit], n=50, seed=0)
    assert np.isnan([found.estimate, found.low, found.high, found.p]).all()


def test_over_tasks_the_variance_of_a_mean_of_independent_tasks(frame):
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 2, 200)
    a, b = (model(rng, labels, frame, fits=1, strength=s)[0] for s in (0.9, 0.7))
    one = difference(*(resampled_scores("accuracy", [side], n=4000, seed=0) for side in (a, b)))
    four = paired_over_tasks([one] * 4)  # the same seed in each: the same replicates, taken as independent
    single = summarised(one, seed=0)
    assert four.estimate == pytest.approx(single.estimate)
    assert (four.high - four.low) == pytest.approx((single.high - single.low) / 2, rel=0.06)
    assert (four.fits, four.units) == ((1, 1), 800)
    with pytest.raises(DataError, match=r"got \[3, 4000\]"):
        paired_over_tasks([one, dataclasses.replace(one, by_units=one.by_units[:3])])
    with pytest.raises(DataError, match="no task"):
        paired_over_tasks([])


def test_over_tasks_few_fits_gain_degrees_of_freedom(frame):
    rng = np.random.default_rng(6)
    labels = rng.integers(0, 2, 100)
    sides = [model(rng, labels, frame, fits=3, between=0.5) for _ in range(2)]
    one = difference(*(resampled_scores("accuracy", side, n=8000, seed=0) for side in sides))
    only_fits = dataclasses.replace(one, by_units=np.full(8000, one.estimate))
    [(variance, df)] = one.fit_variances
    assert df == 2
    for tasks in (1, 5):
        found = paired_over_tasks([only_fits] * tasks)
        expected = scipy.stats.t.ppf(0.975, 2 * tasks) * np.sqrt(variance / tasks)
        assert (found.high - found.low) / 2 == pytest.approx(expected, rel=0.08)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_benjamini_hochberg_equals_scipy(p):
    assert benjamini_hochberg(np.array(p)) == pytest.approx(scipy.stats.false_discovery_control(p))


def test_benjamini_hochberg_leaves_out_what_was_not_tested():
    q = benjamini_hochberg(np.array([[0.01, np.nan], [0.04, 0.03]]))
    # three tests: .01 * 3/1 = .03; .03 * 3/2 = .045, but no more than .04 * 3/3 = .04
    assert q == pytest.approx(np.array([[0.03, np.nan], [0.04, 0.04]]), nan_ok=True)


def ladder(decided):
    """Four models, 0 the best; `decided` lists the pairs that are."""
    estimates = np.arange(4)[None, :] - np.arange(4)[:, None].astype(float)
    q = np.full((4, 4), 0.5)
    for i, j in decided:
        q[i, j] = q[j, i] = 0.01
    return estimates, q


def test_ranks_by_hand():
    estimates, q = ladder([(0, 2), (0, 3), (1, 2), (1, 3), (2, 3)])
    assert rank_intervals(estimates, q) == [(1, 2), (1, 2), (3, 3), (4, 4)]
    # 1 is above 3 only, so nothing is cut between 0 and 3 but the ranks still narrow
    estimates, q = ladder([(0, 3), (1, 3)])
    assert rank_intervals(estimates, q) == [(1, 3), (1, 3), (1, 4), (3, 4)]


def test_models_in_any_order_and_untested_pairs():
    estimates, q = ladder([(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)])
    turned = [2, 0, 3, 1]
    assert rank_intervals(estimates[np.ix_(turned, turned)], q[np.ix_(turned, turned)]) == [
        (3, 3), (1, 1), (4, 4), (2, 2),
    ]  # fmt: skip
    estimates[0, 1] = estimates[1, 0] = np.nan
    assert rank_intervals(estimates, q)[:2] == [(1, 2), (1, 2)]
