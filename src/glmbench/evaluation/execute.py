"""One job, from its address to its result. What goes wrong becomes a skip or a failure with its reason."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from glmbench.environment import environment
from glmbench.errors import DataError, GlmbenchError
from glmbench.evaluation.job import Cost, Job, Result
from glmbench.evaluation.leakage import beside_copies
from glmbench.evaluation.objects import Objects
from glmbench.evaluation.plan import REFERENCE, Trouble
from glmbench.evaluation.predictions import defined, predictions_of
from glmbench.methods import registry as methods
from glmbench.methods.examples import inputs_of, single_sequences
from glmbench.methods.method import Fit
from glmbench.metrics.scores import evaluate
from glmbench.models.embedding_cache import CachedEmbeddings
from glmbench.models.fitted.saving import Fitted, is_small, save
from glmbench.models.model import Embeds, Model, ModelCard
from glmbench.models.reporting import NotesInput
from glmbench.storage.cache import TRAININGS
from glmbench.tasks.budget import Budget
from glmbench.tasks.task import ReportsLetters, Task, is_paired

SPLIT = "test"
"""The split that scores are reported on."""
REPLICATES = 1000


@dataclass(frozen=True)
class Execution:
    """A job that was done.

    Attributes:
        result: what it came to.
        predictions: of a finished one.
        keep: of a finished fit, writes its predictor into an empty folder.
        keeps_little: whether that is small: a linear model, or adapters and a head.
        checkpoints: folders that are of no more use when the result is kept.
    """

    result: Result
    predictions: pl.DataFrame | None = None
    keep: Callable[[Path], None] | None = None
    keeps_little: bool = False
    checkpoints: tuple[Path, ...] = ()


def execute(job: Job, objects: Objects) -> Execution:
    """Do a job. Nothing is written here.

    Whatever the model, the task or the method raises is caught and kept, but for what must stop the whole run
    (KeyboardInterrupt, SystemExit).
    """
    try:
        return _finished(job, objects)
    except Exception as error:
        if shared() and not isinstance(error, GlmbenchError):
            raise  # the processes that train along do not know of it, and must end too
        return Execution(unfinished(job, Trouble.of(error)))


def shared() -> bool:
    """Whether other processes train along."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return False
    from glmbench.training import distributed

    return distributed.processes() > 1


def unfinished(job: Job, trouble: Trouble) -> Result:
    """The result of a job that cannot be done."""
    return Result(
        job=job,
        status=trouble.status,
        reason=trouble.reason,
        trace=trouble.trace,
        environment=environment(),
        created=_now(),
    )


def take_part(job: Job, objects: Objects) -> None:
    """Do what a process that trains together with others does of a job: its share of the fit, and nothing else.

    What our own errors say (data, recipe, a loss that diverged) goes wrong in the first process too, which keeps it.
    Anything else is of this process alone and ends it, and with it, by torchrun, all others: they would wait for it.
    """
    with suppress(GlmbenchError):
        task, model = _opened(job, objects)
        _fit(job, objects, task, model)


def _opened(job: Job, objects: Objects) -> tuple[Task, Model]:
    """The task and the model of a job, as they were when it was planned."""
    task = objects.task(job.task, job.limit)
    if task.data_hash() != job.data:
        raise DataError(f"{job.task}: the data changed since the plan was made; run the same command again")
    model = objects.model(job.model)
    if model.card.fingerprint != job.fingerprint:
        raise DataError(f"{job.model}: the model changed since the plan was made; run the same command again")
    return task, model


def _fit(job: Job, objects: Objects, task: Task, model: Model) -> tuple[Fit, Model]:
    """The fit of a job, and the model as the method saw it."""
    method = methods.make(job.method, job.recipe, objects.access.cache / TRAININGS)
    asked = objects.embedder(job.model) if method.needs is Embeds else model
    return method.fit(asked, task, budget=Budget.parse(job.budget), seed=job.seed), asked


def _finished(job: Job, objects: Objects) -> Execution:
    if job.method == REFERENCE:
        return Execution(*_reference(job, objects.task(job.task, job.limit)))
    task, model = _opened(job, objects)
    _reset_peak_memory()
    started, started_cpu = time.perf_counter(), time.process_time()
    fit, asked = _fit(job, objects, task, model)
    fitted = time.perf_counter()
    test = task.load(SPLIT)
    inputs = inputs_of(test, job.recipe.get("pairs", "pair"))
    predictions = predictions_of(fit.predictor, test, inputs)
    ended = time.perf_counter()
    cost = Cost(
        wall_s=round(ended - started, 4),
        cpu_s=round(time.process_time() - started_cpu, 4),
        fit_s=round(fitted - started, 4),
        predict_s=round(ended - fitted, 4),
        peak_memory_mb=round(_peak_memory_mb(), 1),
    )
    details = dict(fit.details)
    reader = fit.predictor if methods.trains(job.method) else model
    read = inputs if methods.trains(job.method) else single_sequences(test)
    if isinstance(reader, NotesInput) and (notes := reader.notes(read)):
        details |= {"input": notes}
    if fit.first_attempt is not None:
        first = predictions_of(fit.first_attempt, test, inputs)
        details |= {"before_retry": defined(evaluate(first, task.card.metrics))}
    if isinstance(asked, CachedEmbeddings):  # seconds are of these; what was found on disk cost its seconds earlier
        details |= {"embedded": asked.computed}
    if isinstance(task, ReportsLetters):
        details |= {"letters": asdict(task.letters(SPLIT))}
    if job.limit is None:
        told, predictions = beside_copies(task, predictions, objects.access.cache, replicates=REPLICATES)
        details |= told
    counts = {"train": int(details.pop("train_rows", 0)), SPLIT: test.height}
    result = _scored(job, task, model.card, predictions, counts=counts, details=details, cost=cost)
    about = Fitted(job.method, job.task, job.budget, job.seed, task.card.classes, is_paired(test))
    keep = partial(save, fit.predictor, about)
    return Execution(result, predictions, keep, is_small(fit.predictor), fit.checkpoints)


def _reference(job: Job, task: Task) -> tuple[Result, pl.DataFrame]:
    name = job.model.partition(":")[2]
    predictions = task.references(SPLIT)[name]
    card = ModelCard(reference=job.model, name=name, kind="control", fingerprint=job.data or "")
    return _scored(job, task, card, predictions, counts={SPLIT: predictions.height}, details={}, cost=None), predictions


def _scored(
    job: Job,
    task: Task,
    card: ModelCard,
    predictions: pl.DataFrame,
    *,
    counts: dict[str, int],
    details: dict[str, Any],
    cost: Cost | None,
) -> Result:
    from glmbench.metrics.resampling import interval, replicates

    names = task.card.metrics
    metrics = defined(evaluate(predictions, names))
    ci = {name: interval(replicates(name, [predictions], n=REPLICATES, seed=0)) for name in names if name in metrics}
    return Result(
        job=job,
        status="ok",
        task_card=task.card.model_copy(update={"files": ()}),
        model_card=card,
        metrics=metrics,
        ci={name: bounds for name, bounds in ci.items() if np.isfinite(bounds).all()},
        counts=counts,
        details=details,
        cost=cost,
        environment=environment(),
        created=_now(),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _reset_peak_memory() -> None:
    """Start a new high-water mark, where the kernel lets us (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_memory_mb() -> float:
    """Resident high-water mark since the last reset, in MB; since the start of the process where it cannot be reset."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
