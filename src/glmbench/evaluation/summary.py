"""From single results to what is shown: fits of one arm averaged, with two-level intervals.

An arm is one model meeting one task by one method with one recipe under one budget and protocol; its fits are the draws
of labelled rows or the seeds. A cell is what its arms are compared within: one task, budget and protocol.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import ValidationError

from glmbench.evaluation.job import Job, Result
from glmbench.evaluation.store import Store, StoreError
from glmbench.methods.registry import METHODS, make
from glmbench.metrics.predictions import COPIED
from glmbench.metrics.resampling import ResampledScores, interval, over_fits, replicates, resampled_scores
from glmbench.models.model import ModelCard
from glmbench.storage.hashing import canonical_json
from glmbench.suites.suite import suite_of
from glmbench.tasks.card import TaskCard

REPLICATES = 5000
"""Of the main metric: one set serves an arm's interval and all its comparisons."""
OTHER_REPLICATES = 500
"""Of the other metrics, which only have an interval."""
SEED = 0
"""Of the resamples: one for all, so that arms of a cell are scored on the same ones."""


@dataclass(frozen=True, order=True)
class Cell:
    """Where arms may be compared: the same rows are asked under the same budget."""

    task: str
    data: str
    budget: str
    protocol: str

    @classmethod
    def of(cls, job: Job) -> Cell:
        """The cell a job belongs to."""
        return cls(job.task, job.data or "", job.budget, job.protocol)


@dataclass(frozen=True, order=True)
class ArmKey:
    """What identifies an arm: everything in its jobs but the seed."""

    cell: Cell
    model: str
    fingerprint: str
    method: str
    precision: str
    recipe: str


@dataclass(frozen=True)
class WithoutCopies:
    """The main metric on the test rows that no other split has a copy of, as results keep it (`evaluation.leakage`)."""

    rows: int
    value: float | None
    """Mean over fits; None where a fit left it undefined."""
    low: float | None
    """95 % interval by two-level resampling; None where undefined, or of several fits without marked rows."""
    high: float | None


@dataclass(frozen=True)
class Arm:
    """The fits of one arm, in order of seed."""

    key: ArmKey
    results: tuple[Result, ...]
    store: Store

    @property
    def card(self) -> ModelCard:
        """The model's card, as kept with the first fit."""
        card = self.results[0].model_card
        assert card is not None  # finished results have one
        return card

    @property
    def task(self) -> TaskCard:
        """The task's card, as kept with the first fit."""
        card = self.results[0].task_card
        assert card is not None
        return card

    @property
    def metric(self) -> str:
        """The task's main metric."""
        return self.task.metric

    @cached_property
    def predictions(self) -> list[pl.DataFrame]:
        """Predictions of each fit."""
        return [self.store.predictions(result.job.address) for result in self.results]

    @property
    def created(self) -> str:
        """When its last fit was made, ISO 8601."""
        return max(result.created for result in self.results)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seed of each fit."""
        return tuple(result.job.seed for result in self.results)

    def values(self, metric: str) -> NDArray[np.float64]:
        """The metric of each fit; NaN where a fit left it undefined."""
        return np.array([result.metrics.get(metric, np.nan) for result in self.results])

    def mean(self, metric: str) -> float:
        """Mean over fits."""
        return float(self.values(metric).mean())

    def interval(self, metric: str) -> tuple[float, float]:
        """95 % interval by two-level resampling: fits × the task's units (see `metrics.resampling`)."""
        if len(self.results) == 1 and metric in self.results[0].ci:
            return self.results[0].ci[metric]
        if metric == self.metric:
            return interval(over_fits(self.resampled))
        return interval(replicates(metric, self.predictions, n=OTHER_REPLICATES, seed=SEED))

    @cached_property
    def resampled(self) -> ResampledScores:
        """The main metric of each fit on resampled units."""
        return resampled_scores(self.metric, self.predictions, n=REPLICATES, seed=SEED)

    @cached_property
    def without_copies(self) -> WithoutCopies | None:
        """The score without copied test rows; None where no row has a copy, or fits do not know or agree which."""
        kept = [fit for result in self.results if isinstance(fit := result.details.get("without_copies"), dict)]
        if len(kept) < len(self.results) or len({fit["rows"] for fit in kept}) > 1:
            return None
        values = [fit["value"] for fit in kept]
        value = None if None in values else float(np.mean(values))
        low, high = (kept[0]["low"], kept[0]["high"]) if len(kept) == 1 else self._interval_without_copies()
        return WithoutCopies(kept[0]["rows"], value, low, high)

    def _interval_without_copies(self) -> tuple[float, float] | tuple[None, None]:
        if not all(COPIED in predictions for predictions in self.predictions):  # kept before rows were marked
            return None, None
        rest = [predictions.filter(~pl.col(COPIED)) for predictions in self.predictions]
        if rest[0].is_empty() or any(not rows["id"].equals(rest[0]["id"]) for rows in rest):
            return None, None
        bounds = interval(replicates(self.metric, rest, n=OTHER_REPLICATES, seed=SEED))
        return bounds if np.isfinite(bounds).all() else (None, None)

    def mean_cost(self, name: str) -> float | None:
        """Mean over fits of a field of `Cost`; None where nothing was measured."""
        measured = [getattr(result.cost, name) for result in self.results if result.cost is not None]
        return float(np.mean(measured)) if measured else None


def arms(store: Store) -> list[Arm]:
    """The arms of a store, in order of cell and model. Trial runs (`--limit`) are left out."""
    grouped: dict[ArmKey, list[Result]] = defaultdict(list)
    for result in finished(store):
        if result.job.limit is None:
            grouped[_key(result.job)].append(result)
    return [
        Arm(key, tuple(sorted(results, key=lambda result: result.job.seed)), store)
        for key, results in sorted(grouped.items())
    ]


def newest(found: Iterable[Arm]) -> list[Arm]:
    """Of arms that differ in nothing but data, recipe, precision or fingerprint, the one made last.

    What adds up or averages over tasks takes one arm a task: the latest answer to the same question. An answer by the
    suite's own recipe goes before one with values of `--set`, whenever it was made.
    """
    latest: dict[tuple[str, ...], Arm] = {}
    for arm in found:
        cell = arm.key.cell
        question = (cell.task, cell.budget, cell.protocol, arm.key.model, arm.key.method)
        if question not in latest or _standing(latest[question]) < _standing(arm):
            latest[question] = arm
    return list(latest.values())


def _standing(arm: Arm) -> tuple[bool, str]:
    return by_its_suite(arm), arm.created


def by_its_suite(arm: Arm) -> bool:
    """Whether the recipe of an arm is that of the suite, but for its precision."""
    job = arm.results[0].job
    if job.method not in METHODS:
        return True
    asked = {"method": job.method, "protocol": job.protocol, "model": job.model, "budget": job.budget}
    values = suite_of(job.task).recipe(task=job.task.partition("@")[0], **asked)
    own = make(job.method, values).recipe
    return all(job.recipe.get(key) == value for key, value in own.items() if key != "precision")


def corrected(arm: Arm, found: Iterable[Arm]) -> Arm | None:
    """The same model, method and budget on the next version of the task; the latest where there are several.

    A version grows when data are corrected (`name@2`), so this is the score on data without known leaks. The recipe may
    be another: protocols go with versions.
    """
    name, version = _versioned(arm.key.cell.task)
    later = [
        (_versioned(other.key.cell.task)[1], other)
        for other in found
        if _asked(other) == _asked(arm)
        and _versioned(other.key.cell.task)[0] == name
        and _versioned(other.key.cell.task)[1] > version
    ]
    if not later:
        return None
    following = min(number for number, _ in later)
    return max((other for number, other in later if number == following), key=lambda other: other.created)


def _asked(arm: Arm) -> tuple[str, ...]:
    key = arm.key
    return (key.model, key.fingerprint, key.method, key.precision, key.cell.budget)


def _versioned(task: str) -> tuple[str, int]:
    name, _, version = task.partition("@")
    return name, int(version or 1)


def overcome(attempt: Result, results: Iterable[Result]) -> bool:
    """Whether a skip or failure has been answered since: the same question at a new address, as with a mended model."""
    return any(_question(result.job) == _question(attempt.job) for result in results)


def _question(job: Job) -> tuple[object, ...]:
    return (job.task, job.model, job.method, job.budget, job.seed, job.protocol, job.limit)


def cells(found: Iterable[Arm]) -> dict[Cell, list[Arm]]:
    """Arms by cell."""
    grouped: dict[Cell, list[Arm]] = defaultdict(list)
    for arm in found:
        grouped[arm.key.cell].append(arm)
    return dict(grouped)


def labels(found: Sequence[Arm]) -> dict[ArmKey, str]:
    """A name for every arm, with as much of method, recipe and fingerprint as tells arms of one cell apart."""
    named: dict[ArmKey, str] = {}
    for members in cells(found).values():
        for arm in members:
            twins = [other for other in members if other.card.name == arm.card.name]
            named[arm.key] = arm.card.name + _suffix(arm, twins)
    return named


def _suffix(arm: Arm, twins: list[Arm]) -> str:
    parts = []
    if len({t.key.model for t in twins}) > 1:
        parts.append(arm.key.model)
    if len({t.key.method for t in twins}) > 1:
        parts.append(arm.key.method)
    if len({t.key.fingerprint for t in twins if t.key.model == arm.key.model}) > 1:
        parts.append(arm.key.fingerprint[:7])
    if len({t.key.recipe for t in twins if t.key.method == arm.key.method}) > 1:
        parts.append(f"recipe {canonical_digest(arm.key.recipe)}")
    if len({t.key.precision for t in twins}) > 1:
        parts.append(arm.key.precision)
    return f" ({', '.join(parts)})" if parts else ""


def canonical_digest(recipe: str) -> str:
    """Seven characters that tell recipes apart."""
    from glmbench.storage.hashing import sha256_bytes

    return sha256_bytes(recipe.encode())[:7]


def _key(job: Job) -> ArmKey:
    recipe = canonical_json(job.recipe)
    return ArmKey(Cell.of(job), job.model, job.fingerprint or "", job.method, job.precision, recipe)


def finished(store: Store) -> list[Result]:
    """All finished results, from the index.

    Raises:
        StoreError: one is not readable by this version.
    """
    try:
        return [Result.model_validate_json(text) for text in store.index()["result"]]
    except ValidationError as error:
        raise StoreError(f"{store.folder} holds results of another version of glmbench: {error}") from None
