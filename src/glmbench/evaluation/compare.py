"""Which arm is better, and is it decided: every pair within a cell, corrected over all pairs of all cells compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from glmbench.errors import UsageError
from glmbench.evaluation.plan import REFERENCE
from glmbench.evaluation.summary import SEED, Arm, Cell, cells
from glmbench.methods.registry import stochastic
from glmbench.metrics.comparison import (
    Difference,
    benjamini_hochberg,
    difference,
    paired_over_tasks,
    rank_intervals,
    summarised,
)

ALPHA = 0.05


@dataclass(frozen=True)
class Comparison:
    """Arm a minus arm b on the main metric of a cell."""

    cell: Cell
    metric: str
    a: Arm
    b: Arm
    difference: Difference
    unknown_seeds: bool
    """Whether a side is one fit of a method that depends on its seed: then p is too small, by how much nobody knows."""
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
            (i, j): summarised(difference(ranked[i].resampled, ranked[j].resampled), seed=SEED)
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
        one_seed = any(len(arm.results) == 1 and stochastic(arm.key.method) for arm in (ranked[i], ranked[j]))
        comparisons.append(Comparison(cell, metric, ranked[i], ranked[j], pair, one_seed, q_value))
    ranks = rank_intervals(estimates, corrected, alpha=ALPHA)
    return Standing(cell, metric, tuple(ranked), tuple(ranks), tuple(comparisons))


@dataclass(frozen=True)
class Overall:
    """Model a minus model b, averaged over the tasks that both were run on, at one method, budget and protocol."""

    a: str
    b: str
    budget: str
    protocol: str
    tasks: tuple[str, ...]
    difference: Difference


def overall(chosen: Sequence[Sequence[Arm]]) -> list[Overall]:
    """Differences between models (each given by its arms), averaged over the cells both have; two cells at least."""
    result = []
    for a, b in combinations(chosen, 2):
        by_cell = {arm.key.cell: arm for arm in b}
        shared = [(arm, by_cell[arm.key.cell]) for arm in a if arm.key.cell in by_cell]
        for budget, protocol in sorted({(arm.key.cell.budget, arm.key.cell.protocol) for arm, _ in shared}):
            pairs = [(x, y) for x, y in shared if (x.key.cell.budget, x.key.cell.protocol) == (budget, protocol)]
            if len(pairs) < 2:
                continue
            drawn = [difference(x.resampled, y.resampled) for x, y in pairs]
            tasks = tuple(x.key.cell.task for x, _ in pairs)
            names = (pairs[0][0].card.name, pairs[0][1].card.name)
            result.append(Overall(*names, budget, protocol, tasks, paired_over_tasks(drawn)))
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
