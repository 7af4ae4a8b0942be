"""What a score costs: the metric against seconds a fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from glmbench.report.boards import UNRANKED, Board, main_boards
from glmbench.report.figures.figure import (
    GAPS,
    PANELS,
    Figure,
    described,
    finish,
    kind_shapes,
    named,
    series_scales,
    tooltip,
)
from glmbench.report.marks import Look


def _rows(boards: Sequence[Board]) -> list[dict[str, Any]]:
    rows = []
    for board in main_boards(boards)[:PANELS]:
        for row in board.scored:
            if row.score.wall_s and row.score.kind not in UNRANKED:
                seconds = row.score.wall_s / (row.score.fits or 1)
                mark = described(row.label, row.score.kind, row.score.value or 0.0, row.score.low, row.score.high)
                rows.append(mark | {"x": seconds, "panel": board.key.task, "seconds": f"{seconds:.3g} s"})
    return rows


def cost(boards: Sequence[Board], styles: Sequence[Look]) -> Figure | None:
    """The main metric against wall-clock seconds a fit, one panel a task, at each task's main budget."""
    import altair as alt

    rows = _rows(boards)
    panels = list(dict.fromkeys(row["panel"] for row in rows))
    if not panels:
        return None
    colour = series_scales({row["label"] for row in rows}, styles)["color"]
    colour.legend = alt.Legend(title=None, orient="right", symbolType="circle")
    axis = alt.Axis(tickCount=4, format="~g", grid=False)
    x = alt.X("x:Q", title="seconds per fit (wall clock)", scale=alt.Scale(type="log", nice=True), axis=axis)
    y = alt.Y("value:Q", title="main metric", scale=alt.Scale(zero=False))
    low = alt.Y("low:Q", title="main metric")
    tips = [*tooltip(), alt.Tooltip("seconds:N", title="a fit")]
    dots = alt.Chart().mark_point(size=70, filled=True, opacity=1)
    layers = [
        alt.Chart().mark_rule().encode(x=x, y=low, y2="high:Q", color=colour),
        dots.encode(x=x, y=y, color=colour, shape=kind_shapes(), tooltip=tips),
    ]
    caption = (
        "Main metric against wall-clock seconds per fit (log scale), at the budget most models were run at. "
        "Up and left is better."
    )
    if len(panels) == 1:
        chart = alt.layer(*layers, data=named("rows"), width=380, height=260, title=panels[0])
        return finish("cost", caption, chart, rows=rows)
    panel = alt.layer(*layers, width=265, height=180)
    grid = panel.facet(
        alt.Facet("panel:N", sort=panels, title=None), columns=3, data=named("rows"), bounds="flush", spacing=GAPS
    )
    return finish("cost", caption, grid.resolve_scale(y="independent", x="independent"), rows=rows)
