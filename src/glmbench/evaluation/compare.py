"""Which arm is better, and is it decided: every pair within a cell, corrected over all pairs of all cells compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product

import numpy as np

from glmbench.errors import UsageError
from glmbench.evaluation.plan import REFERENCE
from glmbench.evaluation.summary import SEED, Arm, Cell, cells, newest
from glmbench.methods.registry import trains
from glmbench.metrics.comparison import (
    Difference,
    ResampledDifference,
    benjamini_hochberg,
    difference,
    paired_over_tasks,
    rank_intervals,
    summarised,
)
from glmbench.metrics.resampling import ResampledScores

ALPHA = 0.05


@dataclass(frozen=True)
class Comparison:
    """Arm a minus arm b on the main metric of a cell."""

    cell: Cell
    metric: str
    a: Arm
    b: Arm
    difference: Difference
    caveat: str
    """What p does not know: the spread over seeds, or over draws of labelled rows, where a side has one fit only."""
    q: float
    """p after Benjamini–Hochberg over every pair of every cell of the same call."""


@dataclass(frozen=True)
class Standing:
    """A cell with its arms ranked, best mean first; `ranks` are the ranks each may have."""

    cell: Cell
    metric: str
    arms: tuple[Arm, ...]
    ranks: tuple[tuple[int, int], ...]
    comparisons: tuple[Comparison, ...]


def compare(found: Iterable[Arm]) -> list[Standing]:
    """Compare all arms of each cell pairwise. References (Bayes-optimal scores) are no competitors and stay out."""
    raw: list[tuple[Cell, str, list[Arm], dict[tuple[int, int], Difference]]] = []
    for cell, members in cells(arm for arm in found if arm.key.method != REFERENCE).items():
        metric = members[0].metric
        ranked = sorted(members, key=lambda arm: -np.nan_to_num(arm.mean(metric), nan=-np.inf))
        pairs = {
            (i, j): summarised(_difference(ranked[i], ranked[j]), seed=SEED)
            for i, j in combinations(range(len(ranked)), 2)
        }
        raw.append((cell, metric, ranked, pairs))
    q = iter(benjamini_hochberg(np.array([d.p for *_, pairs in raw for d in pairs.values()])).tolist())
    return [_standing(*one, q) for one in raw]


def _standing(
    cell: Cell, metric: str, ranked: list[Arm], pairs: dict[tuple[int, int], Difference], q: Iterable[float]
) -> Standing:
    estimates, corrected = np.zeros((len(ranked),) * 2), np.ones((len(ranked),) * 2)
    comparisons = []
    for ((i, j), pair), q_value in zip(pairs.items(), q, strict=False):
        estimates[i, j], estimates[j, i] = pair.estimate, -pair.estimate
        corrected[i, j] = corrected[j, i] = q_value
        caveat = _caveat(cell, ranked[i], ranked[j])
        comparisons.append(Comparison(cell, metric, ranked[i], ranked[j], pair, caveat, q_value))
    ranks = rank_intervals(estimates, corrected, alpha=ALPHA)
    return Standing(cell, metric, tuple(ranked), tuple(ranks), tuple(comparisons))


def _difference(a: Arm, b: Arm) -> ResampledDifference:
    """The difference of two arms; fits are paired by seed, so where one side lacks some, on those that both have."""
    both = set(a.seeds) & set(b.seeds)
    if len(a.seeds) != len(b.seeds) or a.seeds == b.seeds or len(both) < 2:
        return difference(a.resampled, b.resampled)
    return difference(*(_of_seeds(arm, both) for arm in (a, b)))


def _of_seeds(arm: Arm, seeds: set[int]) -> ResampledScores:
    rows = [place for place, seed in enumerate(arm.seeds) if seed in seeds]
    return replace(arm.resampled, once=arm.resampled.once[rows], by_units=arm.resampled.by_units[rows])


def _caveat(cell: Cell, a: Arm, b: Arm) -> str:
    """What a p value from single fits does not know."""
    single = [arm for arm in (a, b) if len(arm.results) == 1]
    if any(trains(arm.key.method) for arm in single):
        return "one seed: p does not know the spread over seeds"
    if single and cell.budget != "full":
        return "one draw of the labelled rows: p speaks of that draw only"
    return ""


@dataclass(frozen=True)
class Overall:
    """Model a minus model b, averaged over the tasks that both were run on, at one budget, protocol and methods."""

    a: str
    b: str
    methods: tuple[str, str]
    budget: str
    protocol: str
    tasks: tuple[str, ...]
    difference: Difference


def overall(chosen: Sequence[Sequence[Arm]]) -> list[Overall]:
    """Differences between models (each given by its arms), averaged over the tasks both have; two tasks at least.

    Every pair of methods stands by itself. Where a store holds several answers of one model, the newest counts.
    """
    result = []
    for a, b in combinations([newest(group) for group in chosen], 2):
        by_question: dict[tuple[str, ...], list[tuple[Arm, Arm]]] = defaultdict(list)
        for x, y in product(a, b):
            if x.key.cell == y.key.cell:
                question = (x.key.cell.budget, x.key.cell.protocol, x.key.method, y.key.method)
                by_question[question].append((x, y))
        for (budget, protocol, *methods), pairs in sorted(by_question.items()):
            if len(pairs) >= 2:
                tasks = tuple(x.key.cell.task for x, _ in pairs)
                mean = paired_over_tasks([_difference(x, y) for x, y in pairs])
                names = (pairs[0][0].card.name, pairs[0][1].card.name)
                result.append(Overall(*names, (methods[0], methods[1]), budget, protocol, tasks, mean))
    return result


def select(found: Sequence[Arm], wanted: str) -> list[Arm]:
    """The arms of a model named by its reference, its short name, or the start of its fingerprint.

    Raises:
        UsageError: the store has none; lists the models it has.
    """
    chosen = [a for a in found if wanted in (a.key.model, a.card.name) or a.key.fingerprint.startswith(wanted)]
    if not chosen:
        known = ", ".join(sorted({arm.key.model for arm in found})) or "no results at all"
        raise UsageError(f"no results of model {wanted!r} in this store; it has: {known}")
    return chosen
