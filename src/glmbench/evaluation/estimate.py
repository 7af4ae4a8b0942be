"""What a plan will cost, from a short probe: every (model, task, method) is tried on a few rows and extrapolated.

Time is taken to grow in a straight line with rows, which k-mer probes on tens of thousands of rows exceed. Read the
figures as orders of magnitude.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from glmbench.evaluation.execute import SPLIT, execute
from glmbench.evaluation.job import Job
from glmbench.evaluation.objects import Objects
from glmbench.evaluation.plan import REFERENCE, Plan
from glmbench.evaluation.store import Store
from glmbench.models.model import Embeds
from glmbench.models.reporting import NotesInput
from glmbench.tasks.budget import Budget, training_rows
from glmbench.tasks.task import Task

PROBE_ROWS = 200
BYTES_PER_SCORE = 5
"""What a prediction takes in parquet, per row and score; measured on finished stores."""


@dataclass(frozen=True)
class Estimate:
    """One line of a plan: the jobs of a model on a task by a method and budget, and what is left of them."""

    task: str
    model: str
    method: str
    budget: str
    jobs: int
    done: int
    train_rows: int | None
    bases: int | None
    """Bases read by the jobs that are left: training and test rows."""
    tokens: int | None
    """The same in the model's tokens, where it counts them."""
    seconds: float | None
    disk_mb: float | None
    reason: str | None
    """Why the jobs can only be skipped."""


def estimate(plan: Plan, store: Store, objects: Objects, *, probe: bool = True) -> list[Estimate]:
    """One line per (task, model, method, budget), in the plan's order. Nothing is written to the store."""
    grouped: dict[tuple[str, str, str, str], list[Job]] = {}
    for job in plan.jobs:
        grouped.setdefault((job.task, job.model, job.method, job.budget), []).append(job)
    return [_line(jobs, plan, store, objects, probe) for jobs in grouped.values()]


def _line(jobs: Sequence[Job], plan: Plan, store: Store, objects: Objects, probe: bool) -> Estimate:
    first = jobs[0]
    left = [job for job in jobs if job.address not in store]
    trouble = plan.troubles.get(first.address)
    reason = None if trouble is None else trouble.reason
    rows = bases = tokens = None
    seconds = disk = None
    if reason is None and first.method != REFERENCE:
        task = objects.task(first.task, first.limit)
        train, test = training_rows(task, Budget.parse(first.budget), first.seed), task.load(SPLIT)
        rows = train.height
        sequences = pl.concat([train["sequence"], test["sequence"]])
        bases = int(sequences.str.len_bytes().sum()) * len(left)
        tokens = _tokens(first, objects, sequences, bases)
        disk = len(left) * test.height * BYTES_PER_SCORE * max(2, len(task.card.classes)) / 1e6
        if not left:
            seconds = 0.0
        elif probe:
            one = _seconds(first, task, rows, test.height, objects)
            seconds = None if one is None else one * len(left)
    return Estimate(
        first.task, first.model, first.method, first.budget,
        len(jobs), len(jobs) - len(left), rows, bases, tokens, seconds, disk, reason,
    )  # fmt: skip


def _tokens(job: Job, objects: Objects, sequences: pl.Series, bases: int) -> int | None:
    """Tokens of the bases, from a sample; None for models without a tokenizer."""
    model = objects.model(job.model)
    if not isinstance(model, NotesInput):
        return None
    sample = sequences.sample(min(PROBE_ROWS, len(sequences)), seed=0).to_list()
    per_base = model.notes(sample).get("tokens", 0) / max(1, sum(map(len, sample)))
    return round(per_base * bases) or None


def _seconds(job: Job, task: Task, train_rows: int, test_rows: int, objects: Objects) -> float | None:
    """Seconds of one job, from the same job on a few rows; None where that did not go.

    A probe is timed at two sizes, since most of a small one is the same for any number of rows; a network, whose steps
    all cost the same, at one.
    """
    per_class = Budget.parse(job.budget).per_class or 0
    limit = max(PROBE_ROWS, 4 * per_class * max(2, len(task.card.classes)))  # enough for every class to have its rows
    timed = objects.without_cache(job.model)
    embeds = isinstance(timed.model(job.model), Embeds)
    if embeds:
        _trial(job, limit // 4, timed)  # once unseen: libraries are imported, kernels compiled
    large = _trial(job, limit, timed)
    small = _trial(job, limit // 4, timed) if embeds else None
    if large is None:
        return None
    fit = _line_through(large, small, train_rows)
    predict = large.predict_s * test_rows / max(1, large.test)
    return fit + predict + large.rest_s


@dataclass(frozen=True)
class _Trial:
    """Seconds and rows of a small job."""

    fit_s: float
    predict_s: float
    rest_s: float
    """Scoring and resampling."""
    train: int
    test: int


def _trial(job: Job, limit: int, objects: Objects) -> _Trial | None:
    started = time.perf_counter()
    result = execute(job.model_copy(update={"limit": limit}), objects).result
    taken = time.perf_counter() - started
    if result.cost is None:
        return None
    rest = max(0.0, taken - result.cost.wall_s)
    return _Trial(result.cost.fit_s, result.cost.predict_s, rest, result.counts["train"], result.counts[SPLIT])


def _line_through(large: _Trial, small: _Trial | None, rows: int) -> float:
    """Seconds of a fit on `rows` rows: on the line through both trials, or in proportion to one alone."""
    if small is None or small.train >= large.train:
        return large.fit_s * rows / max(1, large.train)
    slope = max(0.0, large.fit_s - small.fit_s) / (large.train - small.train)
    return large.fit_s + slope * (rows - large.train)
