"""The forest plot: one row a model, its value as a point, its interval as a line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from glmbench.report.boards import Board, label_of, series_labels
from glmbench.report.data import KINDS, Aggregate
from glmbench.report.figures.figure import Figure, budget_words, described, finish, named, tooltip
from glmbench.report.marks import FAINT, INK, KIND_COLOURS, KIND_SHAPES, PAPER


def _kind_scales(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Encodings of colour, fill and shape by kind, with the kinds that occur."""
    import altair as alt

    present = {row["kind"] for row in rows}
    kinds = [kind for kind in KINDS if kind in present]
    legend = alt.Legend(title=None, orient="bottom")
    fills = [PAPER if kind == "control" else KIND_COLOURS[kind] for kind in kinds]
    return {
        "color": alt.Color(
            "kind:N", scale=alt.Scale(domain=kinds, range=[KIND_COLOURS[k] for k in kinds]), legend=legend
        ),
        "fill": alt.Fill("kind:N", scale=alt.Scale(domain=kinds, range=fills), legend=legend),
        "shape": alt.Shape(
            "kind:N", scale=alt.Scale(domain=kinds, range=[KIND_SHAPES[k] for k in kinds]), legend=legend
        ),
    }


def forest(
    name: str, title: str, subtitle: str, metric: str, rows: list[dict[str, Any]], chance: float | None
) -> Figure:
    """Draw one row a model: its value as a point, its interval as a line.

    `rows` are as from `described`, best first. A row of kind `reference` and the chance level become vertical lines.
    """
    import altair as alt

    marks = [row for row in rows if row["kind"] != "reference"]
    lines = [{"value": r["value"], "text": r["label"]} for r in rows if r["kind"] == "reference"]
    lines += [] if chance is None else [{"value": chance, "text": "chance"}]
    x = alt.X(
        "value:Q", title=metric, scale=alt.Scale(zero=False, nice=True), axis=alt.Axis(tickCount=6, labelOverlap=True)
    )
    y = alt.Y(
        "label:N", sort=[row["label"] for row in marks], title=None, axis=alt.Axis(grid=True, ticks=False, domain=False)
    )
    kinds = _kind_scales(marks)
    base = alt.Chart(named("marks"))
    whiskers = base.mark_rule(strokeWidth=2).encode(
        y=y, x=alt.X("low:Q", title=metric), x2="high:Q", color=kinds["color"]
    )
    points = base.mark_point(size=75, strokeWidth=1.8, opacity=1).encode(y=y, x=x, tooltip=tooltip(), **kinds)
    numbers = base.mark_text(align="left", baseline="middle", fontSize=11, color=INK).encode(
        y=y, x=alt.value(368), text="shown:N"
    )
    rules = alt.Chart(named("lines")).mark_rule(strokeDash=[4, 3], color=FAINT).encode(x=x)
    names = alt.Chart(named("lines")).mark_text(dy=-5, fontSize=10, color=FAINT, baseline="bottom").encode(
        x=x, y=alt.value(0), text="text:N"
    )  # fmt: skip
    caption = f"{title}, {subtitle}. Points are means over fits, lines 95 % intervals{_signs(marks)}."
    layers = [rules, names, whiskers, points, numbers] if lines else [whiskers, points, numbers]
    heading = alt.Title(title, subtitle=subtitle, offset=20 if lines else 10)
    chart = alt.layer(*layers, width=360, height=alt.Step(22), title=heading)
    return finish(name, caption, chart, marks=marks, lines=lines)


def _signs(marks: Sequence[dict[str, Any]]) -> str:
    present = {row["kind"] for row in marks}
    control = "; hollow squares are controls" if "control" in present else ""
    published = "; diamonds are published figures, not measured here, without an interval"
    return control + (published if "published" in present else "")


def board_forest(board: Board, name: str) -> Figure:
    """The forest plot of one board."""
    rows = [described(r.label, r.score.kind, r.score.value or 0.0, r.score.low, r.score.high) for r in board.scored]
    chance = next((r.score.chance for r in board.rows if r.score.chance is not None), None)
    return forest(name, board.key.task, board_subtitle(board), board.key.metric, rows, chance)


def board_subtitle(board: Board) -> str:
    """Budget and protocol of a board, in words."""
    return f"{budget_words(board.key.budget)}, protocol {board.key.protocol}"


def aggregate_forest(name: str, aggregates: Sequence[Aggregate]) -> Figure | None:
    """The forest plot of one aggregate; None where no model is complete."""
    labels = series_labels(aggregates)
    complete = [a for a in aggregates if a.value is not None]
    if not complete:
        return None
    sign = -1 if complete[0].higher_is_better else 1
    complete.sort(key=lambda a: sign * (a.value or 0.0))
    rows = [described(label_of(a, labels), a.kind, a.value or 0.0, a.low, a.high) for a in complete]
    first = complete[0]
    subtitle = f"{first.suite}, {budget_words(first.budget)}, protocol {first.protocol}"
    return forest(name, first.name, subtitle, first.name, rows, None)
