"""From a results store to what the page shows. Needs neither models nor data: results keep cards and predictions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, cast

import numpy as np

from glmbench.evaluation.aggregate import aggregate
from glmbench.evaluation.compare import Comparison as Compared
from glmbench.evaluation.compare import Standing, compare
from glmbench.evaluation.job import Result
from glmbench.evaluation.plan import REFERENCE
from glmbench.evaluation.store import Store
from glmbench.evaluation.summary import Arm, ArmKey, Cell, arms, finished, labels, overcome
from glmbench.metrics.scores import metric_named
from glmbench.report.citation import GLMBENCH
from glmbench.report.data import (
    Aggregate,
    Comparison,
    Difference,
    Kind,
    Methods,
    ReportData,
    Score,
    Skipped,
    TaskInfo,
)
from glmbench.report.fitting import fitting
from glmbench.report.leaks import beside, leaks, leaks_note
from glmbench.report.procedures import procedures
from glmbench.suites import suite as suites
from glmbench.suites.published import DOUBTFUL, published
from glmbench.suites.suite import DEFAULT, Suite
from glmbench.suites.suite import Aggregate as Declared


def collect(store: Store, *, suites: Sequence[str] = (), title: str = "") -> ReportData:
    """Everything the page shows of a store; with `suites`, only of tasks that one of them lists.

    Raises:
        StoreError: a result cannot be read.
    """
    found = [arm for arm in arms(store) if not suites or _suite_name(arm.key.cell.task) in suites]
    standings = compare(found)
    names = labels(found)
    used = [_suite(name) for name in sorted({_suite_name(arm.key.cell.task) for arm in found} - {DEFAULT})]
    results = finished(store)
    attempts = [
        attempt
        for attempt in store.attempts()
        if attempt.job.limit is None
        and not overcome(attempt, results)
        and (not suites or _suite_name(attempt.job.task) in suites)
    ]
    limited = sum(result.job.limit is not None for result in results)
    return ReportData(
        title=title or "glmbench report",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        suites=tuple(suite.name for suite in used),
        scores=(*_scores(found, standings, names), *_published_scores(found, used)),
        aggregates=tuple(row for suite in used for row in _aggregates(suite, found)),
        tasks=_tasks(found),
        comparisons=tuple(_comparison(c, names, found) for standing in standings for c in standing.comparisons),
        skipped=tuple(_skipped(attempts)),
        environment=_environment(found),
        methods=Methods(version=version("glmbench"), procedures=procedures(found), protocols=_protocols(used)),
        citations=(GLMBENCH, *(suite.citation for suite in used if suite.citation)),
        notes=(
            *(f"{suite.title}: {note}" for suite in used for note in suite.notes),
            *((f"{limited} trial results (--limit) are in the store and not on this page.",) if limited else ()),
        ),
    )


def _protocols(used: list[Suite]) -> dict[str, str]:
    """What each protocol means; where suites mean different things, each by its name."""
    words: dict[str, dict[str, str]] = defaultdict(dict)
    for suite in used:
        for protocol, meaning in suite.protocol_words.items():
            words[protocol][suite.name] = meaning
    return {
        protocol: next(iter(meant.values())) if len(meant) == 1 else "; ".join(f"{k}: {v}" for k, v in meant.items())
        for protocol, meant in words.items()
    }


def _suite(name: str) -> Suite:
    return suites.load(name)


def _suite_name(task: str) -> str:
    return suites.suite_of(task).name


def _kind(arm: Arm) -> Kind:
    return "reference" if arm.key.method == REFERENCE else cast(Kind, arm.card.kind)


def _distinct(arm: Arm, found: Iterable[Arm]) -> str:
    """The model reference, with the fingerprint where a store holds several models under one reference."""
    several = {other.key.fingerprint for other in found if other.key.model == arm.key.model}
    return arm.key.model if len(several) == 1 else f"{arm.key.model}#{arm.key.fingerprint[:7]}"


def _task_name(cell: Cell, found: Iterable[Arm]) -> str:
    """The task, with the start of its data's hash where a store holds results of several data under one name."""
    several = {arm.key.cell.data for arm in found if arm.key.cell.task == cell.task}
    return cell.task if len(several) == 1 else f"{cell.task} ({cell.data[:7]})"


def _scores(found: list[Arm], standings: list[Standing], names: dict[ArmKey, str]) -> list[Score]:
    """A row per arm; a task's references stand on the board of every budget."""
    rows = []
    for standing in standings:
        for arm, ranks in zip(standing.arms, standing.ranks, strict=True):
            rows.append(_score(arm, found, names).model_copy(
                update={
                    "rank_low": ranks[0], "rank_high": ranks[1],
                    "versus_control": _versus_control(arm, standing, names),
                }
            ))  # fmt: skip
        for arm in found:
            if arm.key.method == REFERENCE and _same_question(arm.key.cell, standing.cell):
                rows.append(_score(arm, found, names).model_copy(update={"budget": standing.cell.budget}))
    return rows


def _same_question(a: Cell, b: Cell) -> bool:
    return (a.task, a.data, a.protocol) == (b.task, b.data, b.protocol)


def _score(arm: Arm, found: list[Arm], names: dict[ArmKey, str]) -> Score:
    card, cell = arm.task, arm.key.cell
    low, high = arm.interval(card.metric)
    wall, cpu = arm.mean_cost("wall_s"), arm.mean_cost("cpu_s")
    others: dict[str, tuple[float | None, float | None, float | None]] = {
        name: (arm.mean(name), *arm.interval(name)) for name in card.metrics
    }
    metric = metric_named(card.metric)
    return Score(
        task=_task_name(cell, found),
        task_title=card.title,
        suite=_suite_name(cell.task),
        model=_distinct(arm, found),
        model_name=names[arm.key],
        kind=_kind(arm),
        method=arm.key.method,
        budget=cell.budget,
        protocol=cell.protocol,
        metric=card.metric,
        higher_is_better=metric.direction > 0,
        value=arm.mean(card.metric),
        low=low,
        high=high,
        fits=len(arm.results),
        train_rows=arm.results[0].counts.get("train"),
        test_rows=arm.results[0].counts.get("test"),
        wall_s=None if wall is None else wall * len(arm.results),
        cpu_s=None if cpu is None else cpu * len(arm.results),
        peak_memory_mb=arm.mean_cost("peak_memory_mb"),
        parameters=arm.card.parameters,
        chance=metric.chance(arm.predictions[0]["label"].to_numpy()),
        fitting=fitting(arm),
        all_metrics=others,
        **beside(arm, found),
    )


def _versus_control(arm: Arm, standing: Standing, names: dict[ArmKey, str]) -> Difference | None:
    """The difference to the best control of the cell, for what is not itself a control."""
    control = next((other for other in standing.arms if other.card.kind == "control"), None)
    if control is None or arm.card.kind == "control":
        return None
    for compared in standing.comparisons:
        if {compared.a.key, compared.b.key} == {arm.key, control.key}:
            sign = 1.0 if compared.a.key == arm.key else -1.0
            d = compared.difference
            low, high = (d.low, d.high) if sign > 0 else (-d.high, -d.low)
            return Difference(
                against=names[control.key], delta=sign * d.estimate, low=low, high=high, p=d.p, q=compared.q
            )
    return None


def _comparison(compared: Compared, names: dict[ArmKey, str], found: list[Arm]) -> Comparison:
    d, cell = compared.difference, compared.cell
    return Comparison(
        task=_task_name(cell, found),
        metric=compared.metric,
        a=names[compared.a.key],
        b=names[compared.b.key],
        method=compared.a.key.method if compared.a.key.method == compared.b.key.method else "",
        budget=cell.budget,
        protocol=cell.protocol,
        estimate=d.estimate,
        low=d.low,
        high=d.high,
        p=d.p,
        q=compared.q,
    )


def _published_scores(found: list[Arm], used: list[Suite]) -> list[Score]:
    """Published figures of version 1 of the tasks that were run on the full data, on the boards of those runs."""
    rows = []
    boards = {arm.key.cell: arm.task for arm in found if arm.key.cell.budget == "full"}
    for suite in used:
        table = published(suite)
        for cell, card in boards.items():
            for row in table.iter_rows(named=True):
                if (f"{row['task']}@1", row["metric"]) == (cell.task, card.metric):
                    rows.append(_published(row, suite, cell, _task_name(cell, found), card.title))
    return rows


def _published(row: dict[str, Any], suite: Suite, cell: Cell, task: str, title: str) -> Score:
    return Score(
        task=task,
        task_title=title,
        suite=suite.name,
        model=row["model"],
        model_name=row["model"],
        kind="published",
        method="fine-tuned",
        budget=cell.budget,
        protocol=cell.protocol,
        metric=row["metric"],
        value=row["value"],
        source=f"{row['source']}, {row['table']}",
        caveat=row["caveat"],
        flagged=row["flag"] in DOUBTFUL,
    )


def _aggregates(suite: Suite, found: list[Arm]) -> list[Aggregate]:
    rows = []
    for declared in suite.aggregates:
        measured = aggregate(declared, found)
        for one in measured:
            rows.append(Aggregate(
                name=declared.title + ("" if one.version == "1" else f" (version {one.version})"),
                suite=suite.name, model=one.model, model_name=one.name, kind=cast(Kind, one.kind),
                method=one.method, budget=one.budget, protocol=one.protocol, value=one.value, low=one.low,
                high=one.high, have=one.have, of=one.of, caveat=declared.note,
            ))  # fmt: skip
        # published means are of version 1 on the full data: they stand beside whatever was measured so
        beside = dict.fromkeys(one.protocol for one in measured if (one.version, one.budget) == ("1", "full"))
        for protocol in beside:
            rows += [
                _published_aggregate(row, declared, suite, protocol)
                for row in published(suite).iter_rows(named=True)
                if row["task"] == f"{suite.name}:{declared.name}"
            ]
    return rows


def _published_aggregate(row: dict[str, Any], declared: Declared, suite: Suite, protocol: str) -> Aggregate:
    of = len(declared.tasks)
    return Aggregate(
        name=declared.title,
        suite=suite.name,
        model=row["model"],
        model_name=row["model"],
        kind="published",
        method="fine-tuned",
        protocol=protocol,
        value=row["value"],
        have=of,
        of=of,
        source=f"{row['source']}, {row['table']}",
        caveat=row["caveat"],
        flagged=row["flag"] in DOUBTFUL,
    )


def _tasks(found: list[Arm]) -> tuple[TaskInfo, ...]:
    by_task: dict[str, list[Arm]] = defaultdict(list)
    for arm in found:
        by_task[_task_name(arm.key.cell, found)].append(arm)
    return tuple(_task(name, members) for name, members in by_task.items())


def _task(name: str, members: list[Arm]) -> TaskInfo:
    card = members[0].task
    sizes = {
        f"train ({arm.key.cell.budget})": arm.results[0].counts["train"]
        for arm in members
        if "train" in arm.results[0].counts
    }
    labels_seen = members[0].predictions[0]["label"].to_numpy()
    chance = metric_named(card.metric).chance(labels_seen)
    return TaskInfo(
        name=name,
        title=card.title,
        suite=_suite_name(card.name),
        description=card.description,
        metric=card.metric,
        unit=card.unit,
        classes=card.classes,
        sizes=sizes | {"test": members[0].results[0].counts.get("test", 0)},
        licence=card.licence,
        citation=card.citation,
        urls=card.urls,
        notes=(*((f"Splits: {card.split_rule}",) if card.split_rule else ()), *card.notes),
        leaks=leaks(members),
        leaks_note=leaks_note(members),
        chance=chance if np.isfinite(chance) else None,
    )


def _skipped(attempts: Iterable[Result]) -> Iterable[Skipped]:
    for result in attempts:
        job = result.job
        yield Skipped(
            task=job.task,
            model=job.model,
            method=job.method,
            budget=job.budget,
            status="failed" if result.status == "failed" else "skip",
            reason=result.reason or "",
            trace=result.trace or "",
        )


def _environment(found: list[Arm]) -> dict[str, Any]:
    """The environment of the newest result; how many others there are, if the results come from several."""
    results = [result for arm in found for result in arm.results]
    if not results:
        return {}
    newest = max(results, key=lambda result: result.created)
    others = sum(result.environment != newest.environment for result in results)
    return newest.environment | ({"results from another environment": others} if others else {})
