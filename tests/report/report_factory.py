"""A realistic report without a run: scores rise with the budget, intervals shrink with it, ranks follow them."""

from __future__ import annotations

import math

from glmbench.report.data import (
    Aggregate,
    Comparison,
    Difference,
    Fitting,
    Kind,
    Leak,
    Methods,
    ReportData,
    Score,
    Skipped,
    TaskInfo,
)

MODELS: dict[str, tuple[Kind, str, float]] = {
    "hf:models/alpha-117m": ("model", "probe", 0.10),
    "hf:models/beta-30m": ("model", "probe", 0.075),
    "hf:models/tiny-stand-in": ("stand-in", "probe", 0.02),
    "kmer:5": ("control", "probe", 0.055),
    "kmer:pos3": ("control", "probe", 0.04),
    "onehot-cnn": ("control", "scratch", 0.07),
    "random:models/alpha-117m": ("control", "probe", 0.005),
}
HOSTILE = "<script>alert(1)</script>"


def _value(task: int, gain: float, budget: str, model: int) -> float:
    n = 8000.0 if budget == "full" else float(budget)
    jitter = 0.012 * math.sin(7 * task + 3 * model + n)
    return 0.5 + (0.01 + 0.8 * gain) * math.log10(n) + jitter


def _board(task: str, number: int, budget: str, suite: str, models: dict[str, tuple[Kind, str, float]]) -> list[Score]:
    half = 0.045 / math.sqrt(math.log10(8000 if budget == "full" else float(budget)))
    values = {m: _value(number, gain, budget, i) for i, (m, (_, _, gain)) in enumerate(models.items())}
    best = (
        max(v for m, v in values.items() if models[m][0] == "control")
        if any(kind == "control" for kind, _, _ in models.values())
        else 0.5
    )
    scores = []
    for place, (model, (kind, method, _)) in enumerate(models.items()):
        value = values[model]
        others = [v for m, v in values.items() if m != model]
        scores.append(
            Score(
                task=task,
                task_title=f"Task number {number}",
                suite=suite,
                model=model,
                model_name=model.removeprefix("hf:models/").removeprefix("models/"),
                kind=kind,
                method=method,
                budget=budget,
                metric="accuracy",
                value=value,
                low=value - half,
                high=value + half,
                fits=1 if budget == "full" else 10,
                train_rows=16000 if budget == "full" else 2 * int(budget),
                test_rows=5920,
                rank_low=1 + sum(v - half > value + half for v in others),
                rank_high=1 + sum(v + half > value - half for v in others),
                versus_control=None
                if kind == "control"
                else Difference(
                    against="onehot-cnn",
                    delta=value - best,
                    low=value - best - half,
                    high=value - best + half,
                    p=0.01,
                    q=0.0004 if abs(value - best) > half else 0.2,
                ),
                wall_s=(0.4 + place) * (30 if budget == "full" else 10),
                cpu_s=(0.4 + place) * 40,
                peak_memory_mb=300 + 130 * place,
                parameters=117_000_000 if "117m" in model else None,
                chance=0.5,
                copied_rows=43,
                without_copies=value - 0.004,
                without_copies_low=value - 0.004 - half,
                without_copies_high=value - 0.004 + half,
                corrected=value - 0.006 if place % 2 else None,
                corrected_task=task.replace("@1", "@2").replace("@2", "@3") if place % 2 else "",
                species_seen="" if kind == "control" else ("seen", "not seen", "unknown")[place % 3],
                fitting=Fitting(
                    truncated_share=0.034,
                    collapsed=1,
                    judged=3,
                    retried=1,
                    without_retried=value + 0.01,
                    first_attempts=value - 0.2,
                )
                if method == "scratch"
                else None,
                all_metrics={"accuracy": (value, value - half, value + half), "mcc": (2 * value - 1, None, None)},
            )
        )
    return scores


def make_report(
    tasks: int = 3,
    budgets: tuple[str, ...] = ("10", "50", "100", "500", "full"),
    models: dict[str, tuple[Kind, str, float]] | None = None,
    title: str = "Few-shot promoters: two models against four controls",
    published: tuple[str, ...] = ("DNABERT-2",),
) -> ReportData:
    """A report of `tasks` tasks at `budgets`, with published rows, a bound on the first task, skips and a failure."""
    models = MODELS if models is None else models
    names = [f"genemask/task-{i}@1" if i % 2 else f"gue/tf/{i}@2" for i in range(tasks)]
    suites = ["genemask" if i % 2 else "gue" for i in range(tasks)]
    scores = [
        s for i, name in enumerate(names) for budget in budgets for s in _board(name, i, budget, suites[i], models)
    ]
    for i, name in enumerate(names):
        common = {"task": name, "suite": suites[i], "metric": "accuracy"}
        scores += [
            Score(
                **common,
                model=who,
                model_name=who,
                kind="published",
                value=0.86 - 0.02 * place,
                method="fine-tuning",
                source="Zhou et al. 2024, table 6",
                caveat="other splits, no interval was published",
                flagged=i == 0,
            )
            for place, who in enumerate(published if "full" in budgets else ())
        ]
    if names:
        scores += [
            Score(
                task=names[0],
                suite=suites[0],
                metric="accuracy",
                model="bayes",
                model_name="best possible",
                kind="reference",
                budget=budget,
                value=0.95,
            )
            for budget in budgets
        ]
    aggregates = [
        Aggregate(
            name="mean over all tasks",
            suite="gue",
            model=m,
            model_name=m.removeprefix("hf:models/"),
            kind=kind,
            method=method,
            value=None if place == 2 else 0.6 + gain,
            low=None if place == 2 else 0.57 + gain,
            high=None if place == 2 else 0.63 + gain,
            have=tasks - (place == 2),
            of=tasks,
        )
        for place, (m, (kind, method, gain)) in enumerate(models.items())
    ]
    return ReportData(
        title=title,
        created="2025-03-01T12:00:00Z",
        suites=tuple(dict.fromkeys(suites)),
        scores=tuple(scores),
        aggregates=tuple(aggregates) if tasks else (),
        tasks=tuple(
            TaskInfo(
                name=name,
                title=f"Task number {i}",
                suite=suites[i],
                metric="accuracy",
                classes=("negative", "promoter"),
                description="Does a 70-bp sequence come from a core promoter?",
                sizes={"train": 16000, "dev": 2000, "test": 5920},
                citation=f"@article{{source{suites[i]},\n  title = {{A source}},\n}}",
                urls=("https://example.org/data",),
                leaks=(Leak(kind="exact", a="train", b="test", count=43, of=5920),),
                chance=0.5,
                notes=("dev lies inside test in the source; it is not used",),
            )
            for i, name in enumerate(names)
        ),
        comparisons=tuple(
            Comparison(
                task=name,
                metric="accuracy",
                a="alpha-117m",
                b="kmer:5",
                estimate=0.04,
                low=0.01,
                high=0.07,
                p=0.004,
                q=0.012,
            )
            for name in names
        ),
        skipped=(
            Skipped(
                task="gue/EMP/H3@1",
                model="kmer:5",
                method="probe",
                budget="full",
                reason="the files are not in the cache; get them with: glmbench get gue/EMP/H3",
            ),
            Skipped(
                task="gue/EMP/H3@1",
                model="onehot-cnn",
                method="scratch",
                budget="full",
                reason="the files are not in the cache; get them with: glmbench get gue/EMP/H3",
            ),
            Skipped(
                task="gue/tf/0@2",
                model="hf:models/broken",
                method="probe",
                budget="10",
                status="failed",
                reason="the model returned NaN for 3 of 5,920 rows",
                trace="Traceback …\nValueError: NaN",
            ),
        )
        if tasks
        else (),
        environment={"glmbench": "0.1.0", "cpu": {"model": "a CPU", "cores": 2}, "commit": "abc123"} if tasks else {},
        methods=Methods(
            version="0.1.0",
            procedures={
                "probe": "Frozen features, standardised, L2-penalised logistic regression, C by inner cross-validation",
                "scratch": "A convolutional network on one-hot bases, trained from scratch with early stopping",
            },
            protocols={"corrected": "tasks deduplicated and grouped, known errors of the published code not repeated"},
            command="glmbench run -s genemask -s gue --store results && glmbench report --store results",
        ),
        citations=("@article{zhou2024,\n  title = {DNABERT-2},\n}", "@article{zhou2024,\n  title = {DNABERT-2},\n}"),
    )
