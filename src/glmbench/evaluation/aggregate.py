"""Numbers over several tasks, as a suite declares them: computed from finished results, never from incomplete ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glmbench.evaluation.plan import REFERENCE
from glmbench.evaluation.summary import SEED, Arm, newest
from glmbench.metrics.resampling import interval, over_fits
from glmbench.suites.suite import Aggregate


@dataclass(frozen=True)
class Aggregated:
    """An aggregate of one model. `value` is None while tasks are missing: a mean over fewer is another number."""

    aggregate: Aggregate
    model: str
    name: str
    kind: str
    method: str
    budget: str
    protocol: str
    version: str
    """Of all its tasks."""
    value: float | None
    low: float | None
    high: float | None
    have: int
    of: int


def aggregate(declared: Aggregate, found: Iterable[Arm]) -> list[Aggregated]:
    """The aggregate of every model, method, budget and protocol that has at least one of its tasks.

    Its tasks are all of one version, and where a store holds several answers the newest counts. Intervals are of
    replicates of each task, independent of each other's, averaged.
    """
    grouped: dict[tuple[str, ...], dict[str, Arm]] = defaultdict(dict)
    for arm in newest(found):
        name, _, version = arm.key.cell.task.partition("@")
        if name in declared.tasks and arm.key.method != REFERENCE:
            cell = arm.key.cell
            key = (arm.key.model, arm.key.method, cell.budget, cell.protocol, version)
            grouped[key][name] = arm
    return [_aggregated(declared, key, members) for key, members in sorted(grouped.items())]


def _aggregated(declared: Aggregate, key: tuple[str, ...], members: dict[str, Arm]) -> Aggregated:
    model, method, budget, protocol, version = key
    card = next(iter(members.values())).card
    value = low = high = None
    if len(members) == len(declared.tasks):
        weights = task_weights(declared)
        value = sum(weights[task] * arm.mean(arm.metric) for task, arm in members.items())
        low, high = interval(_drawn(members, weights))
    kind = str(card.kind)
    return Aggregated(
        declared,
        model,
        card.name,
        kind,
        method,
        budget,
        protocol,
        version,
        value,
        low,
        high,
        len(members),
        len(declared.tasks),
    )


def _drawn(members: dict[str, Arm], weights: dict[str, float]) -> NDArray[np.float64]:
    """Replicates of the aggregate. Those of each task are put in an order of their own: tasks are independent."""
    rng = np.random.default_rng([SEED, 2])
    drawn: NDArray[np.float64] = np.sum(
        [weights[task] * rng.permutation(over_fits(arm.resampled)) for task, arm in members.items()], axis=0
    )
    return drawn


def task_weights(declared: Aggregate) -> dict[str, float]:
    """Weight of every task: equal in a plain mean; equal shares of equal groups in a mean of groups."""
    if declared.kind == "mean":
        return dict.fromkeys(declared.tasks, 1 / len(declared.tasks))
    return {task: 1 / len(declared.groups) / len(group) for group in declared.groups.values() for task in group}
