"""Who is better, and is it decided: paired differences, tests, correction for many tests, and ranks.

Both sides are scored on the same resampled units. Fits of equal number are paired by index (draw i of one model with
draw i of the other: the same labelled rows); otherwise each side's fits vary on their own.

A replicate of the difference is a resample of units, with the fits as they are, plus what other fits would bring: the
standard error over fits times a draw from Student's t, with fits - 1 degrees of freedom (over several sides or tasks
those of Welch and Satterthwaite, Biometrics Bulletin 2, 110, 1946). The t is there because from few fits the standard
error is itself uncertain; a test that takes it for known, as a bootstrap of fits does, rejects too often (with three
fits about one time in five at a level of 0.05). What shows only in one fit on one unit is part of that standard error
and moves the resamples of units as well; it is read off the replicates of single fits and taken out of the latter, so
that it counts once (components of variance of a two-way layout).

A side with one fit cannot say how fits vary: the difference then speaks of that fit, not of the model's other seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from glmbench.errors import DataError
from glmbench.metrics.resampling import ResampledScores, interval, resampled_scores

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """A difference a - b of two models: estimate, 95 % interval, two-sided p value, and what it rests on.

    NaN bounds and p where more than one replicate in twenty is undefined.
    """

    estimate: float
    low: float
    high: float
    p: float
    fits: tuple[int, int]
    """Fits of a and of b; over several tasks the fewest."""
    units: int
    """Resample units; over several tasks their sum."""


@dataclass(frozen=True)
class ResampledDifference:
    """A difference a - b before what comes of units and what comes of fits are put together."""

    estimate: float
    by_units: Values
    """Replicates (n,) of the estimate over resampled units, with the fits as they are."""
    fit_variances: tuple[tuple[float, int], ...]
    """Variance of the estimate that comes from fits, and its degrees of freedom: per side, one entry where paired."""
    fits: tuple[int, int]
    units: int


def paired_difference(
    metric: str, a: Sequence[pl.DataFrame], b: Sequence[pl.DataFrame], *, n: int = 5000, seed: int
) -> Difference:
    """Difference a - b of two models on one task.

    Args:
        metric: Name of a metric.
        a: Predictions (columns id, group, label, score_0, …) of each fit of the first model.
        b: The same of the second, on the same examples; fits are paired by index where there are as many.
        n: Number of replicates; the smallest p value is 2 / (n + 1).
        seed: Decides which fits and units are drawn.

    Raises:
        UsageError: there is no such metric.
        DataError: a side has no fit, examples differ, or predictions cannot be scored.
    """
    return summarised(difference(*(resampled_scores(metric, side, n=n, seed=seed) for side in (a, b))), seed=seed)


def difference(a: ResampledScores, b: ResampledScores) -> ResampledDifference:
    """Difference a - b from the scores of both sides on the same resamples of the same examples.

    Raises:
        DataError: the sides differ in metric, examples, seed or number of replicates.
    """
    wanted = [(side.metric, side.examples, side.rows, side.seed, side.by_units.shape[1]) for side in (a, b)]
    if wanted[0] != wanted[1]:
        told = " and ".join(
            f"{metric} of {rows} examples (hash {examples[:8]}, seed {seed}, {n} replicates)"
            for metric, examples, rows, seed, n in wanted
        )
        raise DataError(f"cannot pair {told}: a comparison wants the same metric, examples and resamples on both sides")
    sides = [(a.by_units, a.once), (-b.by_units, -b.once)]
    if len(a.once) == len(b.once):
        sides = [(a.by_units - b.by_units, a.once - b.once)]
    estimate = float(sum(once.mean() for _, once in sides))
    variances = tuple((float(once.var(ddof=1)) / once.size, once.size - 1) for _, once in sides if once.size > 1)
    by_units = _without_own_parts(estimate, [values for values, _ in sides])
    return ResampledDifference(estimate, by_units, variances, (len(a.once), len(b.once)), a.units)


def paired_over_tasks(differences: Sequence[ResampledDifference], *, seed: int = 0) -> Difference:
    """Mean over tasks of a difference; the tasks are taken as they are, not as a sample of tasks.

    Tasks are resampled independently: replicates of a task are put in a random order of their own first, so that tasks
    that were resampled with one seed do not move together.

    Raises:
        DataError: there is no task, or tasks have different numbers of replicates.
    """
    sizes = {one.by_units.size for one in differences}
    if len(sizes) != 1:
        raise DataError(
            f"a mean over tasks wants the same number of replicates in each, got {sorted(sizes) or 'no task'}"
        )
    rng = np.random.default_rng([seed, 3])
    mean = np.mean([rng.permutation(one.by_units) for one in differences], axis=0)
    fits = (min(one.fits[0] for one in differences), min(one.fits[1] for one in differences))
    estimate = float(np.mean([one.estimate for one in differences]))
    count = len(differences)
    variances = tuple((variance / count**2, df) for one in differences for variance, df in one.fit_variances)
    units = sum(one.units for one in differences)
    return summarised(ResampledDifference(estimate, mean, variances, fits, units), seed=seed)


def summarised(resampled: ResampledDifference, *, seed: int) -> Difference:
    """Interval and p value of a difference: p is twice the share of replicates on the far side of zero.

    So p < 0.05 and an interval that leaves out zero are the same statement, to within one replicate, which is added so
    that p is never zero (Davison & Hinkley, Bootstrap Methods and their Application, 1997, section 4.2).
    """
    replicates = resampled.by_units + _other_fits(resampled, seed=seed)
    low, high = interval(replicates)
    p = float("nan")
    if np.isfinite(low) and np.isfinite(resampled.estimate):
        defined = replicates[np.isfinite(replicates)]
        tail = min(np.count_nonzero(defined <= 0), np.count_nonzero(defined >= 0))
        p = min(1.0, 2 * (1 + int(tail)) / (1 + defined.size))
    return Difference(resampled.estimate, low, high, p, resampled.fits, resampled.units)


def _other_fits(resampled: ResampledDifference, *, seed: int) -> Values:
    """Deviations (n,) that other fits would bring: standard error over fits times Student's t."""
    n = resampled.by_units.size
    total = sum(variance for variance, _ in resampled.fit_variances)
    squares = sum(variance**2 / df for variance, df in resampled.fit_variances)
    if not squares > 0:
        return np.zeros(n)
    draws: Values = np.random.default_rng([seed, 2]).standard_t(total**2 / squares, size=n)
    draws *= np.sqrt(total)
    return draws


def _without_own_parts(estimate: float, sides: Sequence[Values]) -> Values:
    """Sum over sides (n,) of means over fits (F, n) on resampled units, less what single fits do not share."""
    by_units: Values = np.sum([values.mean(axis=0) for values in sides], axis=0)
    total = _variance(by_units)
    own = sum(_variance_of_own_part(values) / len(values) for values in sides if len(values) > 1)
    shrink = np.sqrt(max(0.0, 1 - own / total)) if total > 0 else 0.0
    return estimate + (by_units - estimate) * shrink


def _variance(values: Values) -> float:
    """Variance over the replicates (…, n) that are defined in all rows, summed over rows; 0 without two of them."""
    rows = np.atleast_2d(values)
    defined = rows[:, np.isfinite(rows).all(axis=0)]
    return float(defined.var(axis=1, ddof=1).sum()) if defined.shape[1] > 1 else 0.0


def _variance_of_own_part(values: Values) -> float:
    """Variance, under resampled units, of what one of the fits (F, n) does not share with the others."""
    return _variance(values - values.mean(axis=0)) / (len(values) - 1)


def benjamini_hochberg(p: Values) -> Values:
    """Q values: the smallest false discovery rate at which each test is called (Benjamini & Hochberg, 1995).

    NaN (not tested) stays NaN and does not count as a test. Any shape; all entries are one family.
    """
    flat = np.asarray(p, dtype=float).ravel()
    tested = np.flatnonzero(np.isfinite(flat))
    order = tested[np.argsort(flat[tested])]
    scaled = flat[order] * order.size / np.arange(1, order.size + 1)
    q = np.full(flat.size, np.nan)
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return q.reshape(np.shape(p))


def rank_intervals(estimates: Values, q: Values, *, alpha: float = 0.05) -> list[tuple[int, int]]:
    """The ranks each of m models may have, 1 the best: from 1 + number that are better to m - number that are worse.

    Args:
        estimates: Differences (m, m): entry [i, j] is i - j of a metric where more is better.
        q: Corrected p values (m, m) of the same; NaN is not decided. The diagonal is not read.
        alpha: Level below which a difference is decided.
    """
    better = _decidedly_better(estimates, q, alpha)
    m = len(better)
    return [(1 + int(better[:, i].sum()), m - int(better[i].sum())) for i in range(m)]


def _decidedly_better(estimates: Values, q: Values, alpha: float) -> NDArray[np.bool_]:
    """Whether row model is better than column model, and that is decided: (m, m)."""
    better: NDArray[np.bool_] = (np.nan_to_num(estimates) > 0) & (np.nan_to_num(q, nan=1.0) < alpha)
    np.fill_diagonal(better, False)
    return better
