"""`glmbench plan`: what a run would do and cost."""

from __future__ import annotations

from typing import Annotated

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
    store: StoreFolder = STORE,
    mirror: Mirror = None,
    offline: Offline = False,
    trust_remote_code: TrustRemoteCode = False,
    probe: Annotated[bool, typer.Option(help="Time each model on a few rows to estimate seconds.")] = True,
    as_json: AsJson = False,
) -> None:
    """Show the jobs of a run: which are done, which can only be skipped, and what the rest will take. Runs nothing."""
    from dataclasses import asdict

    from glmbench.cli.options import objects, request
    from glmbench.cli.printing import print_json, print_table, seconds
    from glmbench.evaluation.estimate import estimate
    from glmbench.evaluation.plan import plan
    from glmbench.evaluation.store import Store

    opened = objects(mirror, offline, trust_remote_code)
    made = plan(
        request(models, tasks, suites, methods, budgets, protocol, seeds, limit, precision, no_controls, settings),
        opened,
    )
    lines = estimate(made, Store(store), opened, probe=probe)
    if as_json:
        for line in lines:
            print_json(asdict(line))
        return
    print_table(
        ("task", "model", "method", "budget", "jobs", "done", "train", "Mb", "tokens", "time", "skipped because"),
        (
            (
                line.task, line.model, line.method, line.budget, line.jobs, line.done, line.train_rows,
                None if line.bases is None else f"{line.bases / 1e6:.2f}",
                None if line.tokens is None else f"{line.tokens:,}",
                None if line.reason else seconds(line.seconds), line.reason,
            )
            for line in lines
        ),
        right=("jobs", "done", "train", "Mb", "tokens", "time"),
    )  # fmt: skip
    left = sum(line.jobs - line.done for line in lines if line.reason is None)
    total = sum(line.seconds or 0.0 for line in lines)
    disk = sum(line.disk_mb or 0.0 for line in lines)
    skipped = sum(line.jobs for line in lines if line.reason is not None)
    print(f"{left} jobs to do, {sum(line.done for line in lines)} done, {skipped} to be skipped; ", end="")
    print(f"about {seconds(total) if probe else '?'} and {disk:.1f} MB on this machine")
