"""Every model on every task in one picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from glmbench.report.boards import Board, Row, best_control, main_boards, natural_key
from glmbench.report.data import KINDS
from glmbench.report.figures.figure import Figure, described, finish, named, tooltip

DIVERGING = ["#b4500a", "#eda866", "#f3f2ef", "#7cb8dd", "#0b5f96"]
"""Below, at and above the best control; safe for colour-blind readers."""


def _cell(board: Board, row: Row, control: Row | None) -> dict[str, Any]:
    score = row.score
    value = score.value or 0.0
    delta = None if control is None else (value - (control.score.value or 0.0)) * (1 if score.higher_is_better else -1)
    versus = score.versus_control
    clear = versus is not None and versus.q is not None and versus.q < 0.05
    label = f"{row.label} †" if score.kind == "published" else row.label
    mark = described(label, score.kind, value, score.low, score.high)
    return mark | {
        "task": f"{board.key.task} ({board.key.metric})",
        "delta": delta,
        "text": f"{value:.2f}{'*' if clear else ''}",
    }


def heatmap(boards: Sequence[Board]) -> Figure | None:
    """Every model on every task at its main budget; colour is the difference from the best control of the board.

    None where there are fewer than two tasks.
    """
    import altair as alt

    rows = [_cell(board, row, best_control(board)) for board in main_boards(boards) for row in board.scored]
    tasks = sorted({row["task"] for row in rows}, key=natural_key)
    if len(tasks) < 2:
        return None
    reach = max((abs(row["delta"]) for row in rows if row["delta"] is not None), default=0.0) or 0.1
    x = alt.X(
        "label:N",
        sort=_columns(rows),
        title=None,
        axis=alt.Axis(orient="top", labelAngle=-40, ticks=False, domain=False),
    )
    y = alt.Y("task:N", sort=tasks, title=None, axis=alt.Axis(ticks=False, domain=False))
    scale = alt.Scale(range=DIVERGING, domain=[-reach, -reach / 2, 0, reach / 2, reach], interpolate="lab")
    legend = alt.Legend(title="minus best control", orient="right", gradientLength=140, format="+.2f")
    base = alt.Chart(named("rows")).encode(x=x, y=y, tooltip=[*tooltip(), alt.Tooltip("task:N")])
    cells = base.mark_rect(cornerRadius=3).encode(color=alt.Color("delta:Q", scale=scale, legend=legend))
    ink = alt.condition(f"abs(datum.delta) > {0.72 * reach!r}", alt.value("#fffffe"), alt.value("#22262d"))
    text = base.mark_text(fontSize=10.5).encode(text="text:N", color=ink)
    caption = (
        "Every model on every task, at the budget most models were run at. Colour: difference from the best control of "
        "the same board, blue above, orange below; a star: q < 0.05 in the paired comparison with it."
        f"{' † published, not measured here.' if any(row['kind'] == 'published' for row in rows) else ''}"
    )
    chart = alt.layer(cells, text, width=alt.Step(48), height=alt.Step(24))
    return finish("heatmap", caption, chart, rows=rows)


def _columns(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Order columns by kind, then by mean value, best first."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        values[row["label"], row["kind"]].append(row["value"])
    ordered = sorted(values, key=lambda k: (KINDS.index(k[1]), -sum(values[k]) / len(values[k])))
    return [label for label, _ in ordered]
