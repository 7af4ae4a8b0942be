"""`glmbench run`: do what is missing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from glmbench.cli.options import (
    STORE,
    AsJson,
    Budgets,
    Limit,
    Methods,
    Mirror,
    Models,
    NoControls,
    Offline,
    Precision,
    Protocol,
    Seeds,
    Settings,
    StoreFolder,
    Suites,
    Tasks,
    TrustRemoteCode,
)  # fmt: skip

if TYPE_CHECKING:
    from pathlib import Path

    from glmbench.evaluation.job import Result
    from glmbench.evaluation.run import Outcome


Keep = Annotated[
    Literal["small", "all", "none"],
    typer.Option(
        help="Fitted predictors to keep, for `glmbench predict -m fitted:STORE/ADDRESS`: linear models and adapters, "
        "whole networks too, or none."
    ),
]


def command(
    models: Models = None,
    tasks: Tasks = None,
    suites: Suites = None,
    methods: Methods = None,
    budgets: Budgets = None,
    protocol: Protocol = None,
    seeds: Seeds = None,
    limit: Limit = None,
    precision: Precision = None,
    settings: Settings = None,
    no_controls: NoControls = False,
    keep: Keep = "small",
    store: StoreFolder = STORE,
    mirror: Mirror = None,
    offline: Offline = False,
    trust_remote_code: TrustRemoteCode = False,
    as_json: AsJson = False,
) -> None:
    """Run models on tasks beside controls. Finished jobs are not done again; the same command resumes after any end.

    Exit code 1 where a job failed; skips (absent files, impossible combinations) are told and are no failure. Under
    torchrun every training is shared by all devices, at the recipe's batch.
    """
    from glmbench.cli.options import objects, request
    from glmbench.cli.printing import print_json
    from glmbench.evaluation.plan import plan
    from glmbench.evaluation.run import assist, run
    from glmbench.evaluation.store import Store

    opened = objects(mirror, offline, trust_remote_code)
    made = plan(
        request(models, tasks, suites, methods, budgets, protocol, seeds, limit, precision, no_controls, settings),
        opened,
    )
    outcomes = []
    with _processes() as first:
        if not first:
            assist(made, opened)
            return
        for outcome in run(made, Store(store), opened, keep):
            outcomes.append(outcome)
            if as_json:
                print_json(line(outcome.result))
    if not as_json:
        tasks = list(dict.fromkeys(job.task for job in made.jobs))
        place = {job.address: (tasks.index(job.task), at) for at, job in enumerate(made.jobs)}
        _print(sorted(outcomes, key=lambda outcome: place[outcome.result.job.address]), store)
    if any(outcome.result.status == "failed" for outcome in outcomes):
        raise typer.Exit(1)


@contextmanager
def _processes() -> Iterator[bool]:
    """Join the processes that torchrun started, if it did; whether this is the first."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield True
        return
    from glmbench.training import distributed

    with distributed.process_group():
        yield distributed.first()


def line(result: Result) -> dict[str, Any]:
    """A result as one flat JSON object."""
    job = result.job
    task, _, version = job.task.partition("@")
    return {
        "task": task,
        "version": int(version),
        "model": job.model,
        "method": job.method,
        "budget": job.budget,
        "seed": job.seed,
        "protocol": job.protocol,
        "metrics": result.metrics,
        "ci": result.ci,
        "cost": result.cost.model_dump() if result.cost else None,
        "status": result.status,
        "reason": result.reason,
        "address": job.address,
    }


def _print(outcomes: list[Outcome], store: Path) -> None:
    """A line per arm: mean over its fits with their spread; then what was skipped or failed, and what to do next."""
    from collections import defaultdict

    from glmbench.cli.printing import print_table

    fits: dict[tuple[str, ...], list[Result]] = defaultdict(list)
    for outcome in outcomes:
        job = outcome.result.job
        if outcome.result.status == "ok":
            fits[(job.task, job.model, job.method, job.budget)].append(outcome.result)
    rows = [(*key, *_scores(results)) for key, results in fits.items()]
    if rows:
        columns = ("task", "model", "method", "budget", "fits", "metric", "mean", "sd over fits", "seconds")
        print_table(columns, rows, right=("fits", "mean", "sd over fits", "seconds"))
    for status, word in (("skip", "skipped"), ("failed", "FAILED")):
        reasons: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for outcome in outcomes:
            if outcome.result.status == status:
                job = outcome.result.job
                reasons[(job.task, outcome.result.reason or "")][job.model] += 1
        for (task, reason), models in reasons.items():
            jobs = sum(models.values())
            print(f"{word}: {task} × {', '.join(models)} ({jobs} job{'s' if jobs > 1 else ''}): {reason}")
    unkept: dict[str, int] = defaultdict(int)
    for outcome in outcomes:
        if outcome.not_kept is not None:
            unkept[outcome.not_kept] += 1
    for reason, number in unkept.items():
        print(f"fitted predictors not kept ({number} job{'s' if number > 1 else ''}): {reason}")
    made = sum(not outcome.found for outcome in outcomes)
    all_of_them = f"{len(outcomes)} job{'s' if len(outcomes) != 1 else ''}"
    print(f"{all_of_them}, {len(outcomes) - made} found finished; results in {store}")
    print(f"next: glmbench report --store {store}")


def _scores(results: list[Result]) -> tuple[object, ...]:
    from statistics import fmean, stdev

    card = results[0].task_card
    assert card is not None  # finished results have one
    metric = card.metric
    values = [result.metrics.get(metric, float("nan")) for result in results]
    spread = f"{stdev(values):.3f}" if len(values) > 1 else None
    seconds = sum(result.cost.wall_s for result in results if result.cost)
    return len(values), metric, f"{fmean(values):.3f}", spread, f"{seconds:.1f}"
