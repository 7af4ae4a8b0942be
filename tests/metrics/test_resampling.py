from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from glmbench.errors import DataError
from glmbench.metrics.resampling import interval, over_fits, replicates, resampled_scores
from glmbench.metrics.scores import metric_named


def predicted(rng, labels, strength, frame, groups=None):
    odds = (2 * labels - 1) * strength + rng.normal(size=labels.size)
    return frame(labels, 1 / (1 + np.exp(-odds)), groups)


def test_one_fit_gives_the_bootstrap_of_the_mean(frame):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    fit = predicted(rng, labels, 0.5, frame)
    accuracy = metric_named("accuracy").value(labels, np.column_stack([1 - fit["score_0"], fit["score_0"]]))
    drawn = replicates("accuracy", [fit], n=4000, seed=1)
    assert drawn.mean() == pytest.approx(accuracy, abs=0.002)
    assert drawn.std() == pytest.approx(np.sqrt(accuracy * (1 - accuracy) / 400), rel=0.05)


def test_the_variance_of_the_mean_over_few_fits_is_not_too_small(frame):
    # All rows are one unit, so every resample of units is alike: what varies is which fits are drawn.
    for fits in (2, 3, 5):
        right = np.linspace(0.2, 0.9, fits)
        frames = [frame(np.ones(1000, int), np.arange(1000) < 1000 * share, ["one unit"] * 1000) for share in right]
        drawn = replicates("accuracy", frames, n=20_000, seed=fits)
        assert drawn.mean() == pytest.approx(right.mean(), abs=0.006)
        assert drawn.var() == pytest.approx(right.var(ddof=1) / fits, rel=0.05)


def test_units_are_drawn_whole(frame):
    # Two groups, one all right and one all wrong: a resample holds a group 0, 1 or 2 times, never in part.
    drawn = replicates("accuracy", [frame([1] * 8, [1.0] * 4 + [0.0] * 4, ["a"] * 4 + ["b"] * 4)], n=200, seed=0)
    assert set(drawn) == {0.0, 0.5, 1.0}


def test_all_fits_and_models_see_the_same_units(frame):
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 50)
    one, two = predicted(rng, labels, 1, frame), predicted(rng, labels, 0, frame)
    scores = resampled_scores("auroc", [one, two], n=50, seed=4)
    alone = resampled_scores("auroc", [two.sample(fraction=1, shuffle=True, seed=1)], n=50, seed=4)
    assert np.array_equal(scores.by_units[1], alone.by_units[0])
    assert scores.examples == alone.examples
    other = resampled_scores("auroc", [two], n=50, seed=5)
    assert not np.array_equal(other.by_units[0], alone.by_units[0])


def test_blocks_of_replicates_hold_different_draws(frame, monkeypatch):
    rng = np.random.default_rng(6)
    fit = predicted(rng, rng.integers(0, 2, 40), 1, frame)
    monkeypatch.setattr("glmbench.metrics.resampling._BLOCK", 400)
    drawn = replicates("auroc", [fit], n=25, seed=0)
    assert np.isfinite(drawn).all()
    assert not np.array_equal(drawn[:10], drawn[10:20])


def test_intervals_cover(frame):
    rng = np.random.default_rng(7)
    truth, covered, trials = 0.7, 0, 300
    for trial in range(trials):
        fit = frame(np.ones(150, int), (rng.random(150) < truth).astype(float))
        low, high = interval(replicates("accuracy", [fit], n=300, seed=trial))
        covered += low <= truth <= high
    assert 0.90 <= covered / trials <= 0.98


def test_interval_of_undefined_replicates():
    values = np.linspace(0, 1, 101)
    assert interval(values) == pytest.approx((0.025, 0.975))
    assert interval(values, level=0.5) == pytest.approx((0.25, 0.75))
    few, many = values.copy(), values.copy()
    few[3:8], many[3:10] = np.nan, np.nan
    assert np.isfinite(interval(few)).all()
    assert np.isnan(interval(many)).all()


def test_a_resample_of_one_class_is_undefined_and_the_interval_says_so(frame):
    fit = frame([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9])
    drawn = replicates("auroc", [fit], n=500, seed=0)
    # all four draws from one class: 2 * (1/2)^4
    assert np.isnan(drawn).mean() == pytest.approx(1 / 8, abs=0.05)
    assert np.isnan(interval(drawn)).all()


def test_fits_on_other_examples_are_refused(frame):
    full = frame([0, 1, 1], [0.1, 0.2, 0.3])
    with pytest.raises(DataError, match="no predictions"):
        replicates("auroc", [], seed=0)
    with pytest.raises(DataError, match=r"3 and 2 rows, 1 only in the first, 0 only in the other \(test/2\)"):
        replicates("auroc", [full, full.head(2)], seed=0)
    with pytest.raises(DataError, match="disagree on the label of 1"):
        replicates("auroc", [full, full.with_columns(label=pl.Series([0, 1, 0]))], seed=0)
    with pytest.raises(DataError, match="disagree on the group of 3"):
        replicates("auroc", [full, full.with_columns(group=pl.lit("g"))], seed=0)
    with pytest.raises(DataError, match="ids repeat"):
        replicates("auroc", [pl.concat([full, full])], seed=0)
    with pytest.raises(DataError, match="lack the columns group"):
        replicates("auroc", [full.drop("group")], seed=0)


def test_the_mean_over_fits_of_a_replicate_is_of_drawn_fits(frame):
    rng = np.random.default_rng(9)
    labels = rng.integers(0, 2, 60)
    scores = resampled_scores("accuracy", [predicted(rng, labels, 1, frame) for _ in range(2)], n=40, seed=3)
    drawn = over_fits(scores)  # one of two fits is drawn each time
    assert ((drawn == scores.by_units[0]) | (drawn == scores.by_units[1])).all()


def several(rng, rows):
    labels = rng.integers(0, 2, (rows, 6))
    ids = [f"test/{i}" for i in range(rows)]
    scores = {f"score_{j}": (labels[:, j] + rng.random(rows)) / 2 for j in range(6)}
    return pl.DataFrame({"id": ids, "group": ids, "label": labels.tolist(), **scores})


def test_lists_of_labels_are_compared_by_value():
    fit = several(np.random.default_rng(4), 40)
    scores = resampled_scores("mean_auroc", [fit, fit.sample(fraction=1, shuffle=True, seed=2)], n=30, seed=1)
    assert np.array_equal(scores.by_units[0], scores.by_units[1])
    changed = [list(label) for label in fit["label"]]
    changed[7][3] = 1 - changed[7][3]  # deep in the list: a shortened text of it would look the same
    other = fit.with_columns(label=pl.Series(changed))
    assert resampled_scores("mean_auroc", [other], n=30, seed=1).examples != scores.examples
    with pytest.raises(DataError, match="disagree on the label of 1"):
        replicates("mean_auroc", [fit, other], n=5, seed=0)


def test_the_hash_of_examples_and_the_units_stay_what_they_were(frame):
    fit = frame([0, 1, 1, 0], [0.1, 0.2, 0.3, 0.7], ["b", "a", "é", "b"])
    scores = resampled_scores("accuracy", [fit], n=3, seed=0)
    assert scores.examples == "9c9a96a21e87975f38175d3241ff4211b1775c2397b4334b8a15443c0e494070"
    assert scores.by_units.tolist() == [[0.4, 0.0, 0.0]]
