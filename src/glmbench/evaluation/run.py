"""Do what is missing of a plan. Safe to kill at any moment and to start any number of times over one store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from glmbench.evaluation.execute import execute, shared, take_part, unfinished
from glmbench.evaluation.job import Job, Result
from glmbench.evaluation.objects import Objects
from glmbench.evaluation.plan import REFERENCE, Plan
from glmbench.evaluation.store import Store
from glmbench.methods.registry import trains
from glmbench.methods.training import discard
from glmbench.progress import progress

POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Outcome:
    """A result, and whether this call made it or found it."""

    result: Result
    found: bool
    not_kept: str | None = None
    """Why the fitted predictor is not beside the result, where it should be."""


Keep = Literal["small", "all", "none"]
"""Which fitted predictors stay beside their results: linear models and adapters, whole networks too, or none."""


def run(plan: Plan, store: Store, objects: Objects, keep: Keep = "small") -> Iterator[Outcome]:
    """Yield the result of every job of a plan, doing those that the store does not hold.

    A job that another process is at is left to it and looked for at the end; should that process die, the job is done
    here. Skips and failures are attempted again each time.

    Under torchrun (`training.distributed.process_group`) this is for the first process; the others `assist`. Each
    training is then shared by all of them, at the recipe's batch.

    Raises:
        StoreError: nothing can be written; what is finished stays.
    """
    try:
        yield from _run(plan, store, objects, keep)
    finally:
        _announce(_NO_MORE)


def assist(plan: Plan, objects: Objects) -> None:
    """Take part in the trainings of a plan that the first process does, until it has no more."""
    while (place := _announced()) != _NO_MORE:
        job = plan.jobs[place]
        objects.forget_models(keep=job.model)
        take_part(job, objects)


_NO_MORE = -1


def _announce(place: int) -> None:
    """Tell the processes that assist which job comes now; nobody is told where there are none."""
    if shared():
        _announced(place)


def _announced(place: int = _NO_MORE) -> int:
    """The place in the plan that the first process says; waits as long as it takes."""
    from glmbench.training import distributed

    return distributed.announced(place)


def _run(plan: Plan, store: Store, objects: Objects, keep: Keep) -> Iterator[Outcome]:
    store.sweep()
    waiting: list[Job] = []
    with progress("running", total=len(plan.jobs)) as bar:
        for job in plan.jobs:
            bar.describe(f"{job.task} × {job.model} ({job.method}, {job.budget})")
            outcome = _one(job, plan, store, objects, keep)
            if outcome is None:
                waiting.append(job)
                continue
            bar.advance()
            yield outcome
        while waiting:
            bar.describe(f"waiting for another process: {len(waiting)} jobs")
            still: list[Job] = []
            for job in waiting:
                outcome = _one(job, plan, store, objects, keep)
                if outcome is None:
                    still.append(job)
                else:
                    bar.advance()
                    yield outcome
            waiting = still
            if waiting:
                time.sleep(POLL_SECONDS)


def _one(job: Job, plan: Plan, store: Store, objects: Objects, keep: Keep) -> Outcome | None:
    """The outcome of one job, or None while another process is at it."""
    address = job.address
    if address in store:
        late = keep == "all" and job.method != REFERENCE and not store.has_fitted(address)
        advice = "it was finished before; remove its folder, or take another store, to have it fitted again"
        return Outcome(store.get(address), found=True, not_kept=advice if late else None)
    if address in plan.troubles:
        result = unfinished(job, plan.troubles[address])
        store.put_attempt(result)
        return Outcome(result, found=False)
    with store.claim(address) as mine:
        if not mine:
            return None
        if address in store:  # finished by another process between the look and the claim
            return Outcome(store.get(address), found=True)
        objects.forget_models(keep=job.model)
        if trains(job.method):
            _announce(plan.jobs.index(job))
        done = execute(job, objects)
        if done.predictions is None:
            store.put_attempt(done.result)
        else:
            kept = keep == "all" or (keep == "small" and done.keeps_little)
            store.put(done.result, done.predictions)
            for folder in done.checkpoints:
                discard(folder)
            if kept and done.keep is not None:
                return Outcome(done.result, found=False, not_kept=_kept(store, address, done.keep))
        return Outcome(done.result, found=False)


def _kept(store: Store, address: str, write: Callable[[Path], None]) -> str | None:
    """Keep a fitted predictor; why it could not be, where it could not: the result stands all the same."""
    try:
        store.put_fitted(address, write)
    except Exception as error:  # of any library that serialises
        return str(error)
    return None
