"""Few-shot curves: the metric against the number of labelled examples per class."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from glmbench.report.boards import Board, Row, budget_key, natural_key
from glmbench.report.figures.figure import (
    GAPS,
    PANELS,
    Figure,
    described,
    finish,
    kind_shapes,
    named,
    series_scales,
    slug,
    tooltip,
)
from glmbench.report.marks import KIND_COLOURS, Look


def _per_class(board: Board, row: Row, classes: int) -> float | None:
    """Labelled examples per class: N itself, or training rows shared out (of the board, for a published row)."""
    where, number = budget_key(row.score.budget)
    if where == 1:
        return number
    rows = row.score.train_rows or max((other.score.train_rows or 0 for other in board.rows), default=0)
    return rows / max(classes, 1) if rows else None


def curve_rows(boards: Sequence[Board], classes: dict[str, int]) -> list[dict[str, Any]]:
    """The points of few-shot curves: one row a score, for every task that was run at two budgets or more."""
    panels: dict[tuple[str, ...], list[Board]] = defaultdict(list)
    for board in boards:
        panels[board.key[:4]].append(board)
    uses = Counter(key[1] for key in panels)
    rows: list[dict[str, Any]] = []
    for (suite, task, metric, protocol), found in panels.items():
        panel = task if uses[task] == 1 else f"{task} ({', '.join(filter(None, (suite, metric, protocol)))})"
        points = [
            described(row.label, row.score.kind, row.score.value or 0.0, row.score.low, row.score.high)
            | {"x": _per_class(board, row, classes.get(task, 1)), "budget": board.key.budget}
            | {"panel": panel, "task": task, "metric": metric}
            for board in found
            for row in board.scored
        ]
        measured = {p["x"] for p in points if p["kind"] not in ("reference", "published")} - {None}
        if len(measured) > 1:
            rows += [point for point in points if point["x"] is not None or point["kind"] == "reference"]
    return rows


def _layers(rows: Sequence[dict[str, Any]], styles: Sequence[Look], metrics: str, pick: Any) -> list[Any]:
    """Bands, lines and points of what was measured, diamonds of what was published, a line for the bound."""
    import altair as alt

    scales = series_scales({row["label"] for row in rows}, styles)
    shown = alt.condition(pick, alt.value(1.0), alt.value(0.12))
    veil = alt.condition(pick, alt.value(0.14), alt.value(0.02))
    log = alt.Scale(type="log")
    x = alt.X(
        "x:Q", title="labelled examples per class", scale=log, axis=alt.Axis(grid=False, tickCount=4, format="~s")
    )
    y = alt.Y("value:Q", title=metrics, scale=alt.Scale(zero=False))
    tips = [*tooltip(), alt.Tooltip("budget:N")]

    def only(*kinds: str) -> Any:
        return alt.Chart().transform_filter(alt.FieldOneOfPredicate(field="kind", oneOf=list(kinds)))

    measured = only("model", "stand-in", "control")
    band = alt.Y("low:Q", title=metrics)
    layers = [
        measured.mark_area().encode(x=x, y=band, y2="high:Q", color=scales["color"], opacity=veil),
        measured.mark_line(strokeWidth=2).encode(x=x, y=y, opacity=shown, **scales),
        measured.mark_point(size=42, filled=True).encode(
            x=x, y=y, color=scales["color"], opacity=shown, tooltip=tips, shape=kind_shapes()
        ),
    ]
    present = {row["kind"] for row in rows}
    if "published" in present:
        diamond = only("published").mark_point(size=60, shape="diamond", color=KIND_COLOURS["published"])
        layers.append(diamond.encode(x=x, y=y, tooltip=tips))
    if "reference" in present:
        bound = only("reference").mark_rule(strokeDash=[6, 3], color=KIND_COLOURS["reference"])
        layers.insert(0, bound.encode(y=y, tooltip=tips))
    return layers


def _caption(metrics: str, rows: Sequence[dict[str, Any]]) -> str:
    present = {row["kind"] for row in rows}
    signs = {
        "control": ", dashed lines controls",
        "published": ", diamonds published figures",
        "reference": ", the level dashed line the best possible score",
    }
    also = "".join(text for kind, text in signs.items() if kind in present)
    return (
        f"{metrics} against labelled examples per class (log scale; full data at its own number). "
        f"Bands are 95 % intervals{also}. Click a name to single it out."
    )


def task_curves(name: str, task: str, rows: Sequence[dict[str, Any]], styles: Sequence[Look]) -> list[Figure]:
    """One figure for each curve of a task (a task in two suites or protocols has two); none where it has one budget."""
    import altair as alt

    figures = []
    for panel in dict.fromkeys(row["panel"] for row in rows if row["task"] == task):
        own = [row for row in rows if row["panel"] == panel]
        pick = alt.selection_point(fields=["label"], bind="legend")
        title = alt.Title(panel, subtitle="few-shot curve")
        layers = _layers(own, styles, own[0]["metric"], pick)
        chart = alt.layer(*layers, data=named("rows"), width=380, height=260, title=title).add_params(pick)
        figures.append(finish(f"{name}-{slug(panel)}", _caption(own[0]["metric"], own), chart, rows=own))
    return figures


def all_curves(rows: Sequence[dict[str, Any]], styles: Sequence[Look]) -> Figure | None:
    """Small multiples, one panel a task; None where there are fewer than two."""
    import altair as alt

    every = sorted({row["panel"] for row in rows}, key=natural_key)
    panels = every[:PANELS]
    if len(panels) < 2:
        return None
    shown = [row for row in rows if row["panel"] in panels]
    metrics = ", ".join(sorted({row["metric"] for row in shown}))
    pick = alt.selection_point(fields=["label"], bind="legend")
    panel = alt.layer(*_layers(shown, styles, metrics, pick), width=265, height=180)
    grid = panel.facet(
        alt.Facet("panel:N", sort=panels, title=None), columns=3, data=named("rows"), bounds="flush", spacing=GAPS
    )
    cut = (
        f" The first {PANELS} of {len(every)}; the others stand in the tasks' own sections."
        if len(every) > PANELS
        else ""
    )
    chart = grid.resolve_scale(y="independent").add_params(pick)
    return finish("few-shot-curves", _caption(metrics, shown) + cut, chart, rows=shown)
