"""`glmbench compare`: who is better, and is it decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from glmbench.cli.options import STORE, AsJson, Budgets, StoreFolder, Tasks

if TYPE_CHECKING:
    from glmbench.evaluation.compare import Comparison, Overall, Standing
    from glmbench.evaluation.summary import WithoutCopies


def command(
    models: Annotated[
        list[str] | None, typer.Argument(help="references or short names of two or more models; none: all in the store")
    ] = None,
    tasks: Tasks = None,
    budgets: Budgets = None,
    store: StoreFolder = STORE,
    as_json: AsJson = False,
) -> None:
    """Compare models pairwise on the same test rows, resampling fits and units; p corrected (Benjamini–Hochberg).

    Needs no model: the predictions are kept. Says which ranks the data leave undecided.
    """
    from glmbench.cli.printing import print_json
    from glmbench.errors import UsageError
    from glmbench.evaluation.compare import compare, overall, select
    from glmbench.evaluation.store import Store
    from glmbench.evaluation.summary import arms

    wanted = {name for task in tasks or () for name in _names(task)}
    found = [
        arm
        for arm in arms(Store(store))
        if (not tasks or arm.key.cell.task in wanted or arm.key.cell.task.partition("@")[0] in wanted)
        and (not budgets or arm.key.cell.budget in budgets)
    ]
    if not found:
        raise UsageError(f"no finished results in {store} for this selection; `glmbench run` makes some")
    chosen = [select(found, model) for model in models] if models else [found]
    standings = compare({arm.key: arm for group in chosen for arm in group}.values())
    means = overall(chosen) if len(chosen) > 1 else []
    if as_json:
        for record in _records(standings, means):
            print_json(record)
    else:
        _print(standings, means, every_pair=bool(models))


def _names(task: str) -> tuple[str, ...]:
    """A task as it was named, and as its card names it where it is a table of one's own."""
    from pathlib import Path

    if not Path(task).exists():
        return (task,)
    from glmbench.storage.fetch import Access
    from glmbench.tasks.registry import open_task

    return (task, open_task(task, Access(offline=True)).card.reference)


def _records(standings: list[Standing], means: list[Overall]) -> list[dict[str, Any]]:
    pairs = [
        {
            "task": c.cell.task.partition("@")[0], "version": int(c.cell.task.partition("@")[2]),
            "budget": c.cell.budget, "protocol": c.cell.protocol, "metric": c.metric,
            "a": c.a.key.model, "b": c.b.key.model, "method_a": c.a.key.method, "method_b": c.b.key.method,
            "estimate": c.difference.estimate, "low": c.difference.low, "high": c.difference.high,
            "p": c.difference.p, "q": c.q,
            "caveat": c.caveat, "fits": list(c.difference.fits), "units": c.difference.units,
        }
        for s in standings for c in s.comparisons
    ]  # fmt: skip
    return pairs + [
        {
            "task": None, "tasks": list(m.tasks), "budget": m.budget, "protocol": m.protocol, "a": m.a, "b": m.b,
            "method_a": m.methods[0], "method_b": m.methods[1],
            "estimate": m.difference.estimate, "low": m.difference.low, "high": m.difference.high,
            "p": m.difference.p, "q": None, "fits": list(m.difference.fits), "units": m.difference.units,
        }
        for m in means
    ]  # fmt: skip


def _remark(compared: Comparison) -> str:
    words = ["" if compared.q < 0.05 else "not decided"]
    words.append(compared.caveat)
    return "; ".join(filter(None, words))


def _rest(rest: WithoutCopies | None) -> str:
    """The score without copied test rows, and how many rows are left."""
    from glmbench.cli.printing import with_interval

    if rest is None or rest.value is None:
        return ""
    return f"{with_interval(rest.value, rest.low, rest.high)}, {rest.rows:,} rows"


def _print(standings: list[Standing], means: list[Overall], *, every_pair: bool) -> None:
    from glmbench.cli.printing import print_table, with_interval
    from glmbench.evaluation.summary import labels

    for standing in standings:
        names = labels(standing.arms)
        print(f"{standing.cell.task}, budget {standing.cell.budget}, {standing.cell.protocol}: {standing.metric}")
        rests = [arm.without_copies for arm in standing.arms]
        beside = ("without copies",) if any(rests) else ()
        print_table(
            ("rank", "model", standing.metric + " [95 %]", *beside, "fits"),
            (
                (
                    f"{low}" if low == high else f"{low}–{high}",
                    names[arm.key],
                    with_interval(arm.mean(standing.metric), *arm.interval(standing.metric)),
                    *(_rest(rest) for _ in beside),
                    len(arm.results),
                )
                for arm, (low, high), rest in zip(standing.arms, standing.ranks, rests, strict=True)
            ),
            right=(*beside, "fits"),
        )
        if every_pair:
            print_table(
                ("a", "b", "a - b [95 %]", "p", "q", ""),
                (
                    (
                        names[c.a.key], names[c.b.key],
                        with_interval(c.difference.estimate, c.difference.low, c.difference.high),
                        f"{c.difference.p:.4f}", f"{c.q:.4f}", _remark(c),
                    )
                    for c in standing.comparisons
                ),
                right=("p", "q"),
            )  # fmt: skip
    for mean in means:
        shown = with_interval(mean.difference.estimate, mean.difference.low, mean.difference.high)
        over = f"mean over {len(mean.tasks)} tasks, budget {mean.budget}"
        sides = " - ".join(f"{name} ({method})" for name, method in zip((mean.a, mean.b), mean.methods, strict=True))
        print(f"{over}: {sides} = {shown}, p = {mean.difference.p:.4f}")
    if any(arm.without_copies for standing in standings for arm in standing.arms):
        print("Without copies: on the test rows that no training or dev split has a copy or near-duplicate of.")
    print("A rank like 2–4 is not decided: no difference within it holds at a corrected p (q) below 0.05.")
