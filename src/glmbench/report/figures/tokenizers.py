"""Tokenizers side by side: compression, cost, and what one inserted base changes, one row a tokenizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from glmbench.report.figures.figure import Figure, finish, named

if TYPE_CHECKING:
    import polars as pl

PANELS = {
    "bases_per_token": ("Bases per token", ".2f"),
    "insertion_jaccard": ("Token sets shared after +1 bp (Jaccard)", ".3f"),
    "insertion_distance": ("Token edits after +1 bp", ".3f"),
    "relative_flops": ("Relative FLOPs", ".2f"),
}
"""Columns of `tokenizers.compare` that are drawn: title and number format."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7b3294", "#8c510a")
SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right", "triangle-left")


def tokenizer_figure(table: pl.DataFrame, width: int) -> Figure:
    """One panel a measure, one row a tokenizer, one mark a group of genomes.

    Args:
        table: as from `tokenizers.compare.compare_tokenizers`.
        width: bases of its windows, for the caption.
    """
    import altair as alt

    panels = [_panel(column, table, first=place % 2 == 0) for place, column in enumerate(PANELS)]
    rows = [alt.hconcat(*panels[place : place + 2], spacing=24) for place in range(0, len(panels), 2)]
    chart = alt.vconcat(*rows, data=named("rows"), spacing=28)
    caption = (
        f"Tokenizers on random windows of {width} bases. After one base is put before a window: distinct tokens that "
        "both strings have, over those in either (1: all), and tokens to insert, delete or replace, over tokens (0: "
        "none). FLOPs of DNABERT-2's encoder per window, as a multiple of the tokenizer that has 1."
    )
    return finish("tokenizers", caption, chart, rows=_rows(table))


def _rows(table: pl.DataFrame) -> list[dict[str, Any]]:
    return table.select("group", "tokenizer", *PANELS).to_dicts()


def _panel(column: str, table: pl.DataFrame, *, first: bool) -> Any:
    """One measure; the names of the rows stand before the first panel of a line only."""
    import altair as alt

    title, form = PANELS[column]
    tokenizers = table.get_column("tokenizer").unique(maintain_order=True).to_list()
    groups = table.get_column("group").unique(maintain_order=True).to_list()
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(groups))]
    shapes = [SHAPES[i % len(SHAPES)] for i in range(len(groups))]
    legend = alt.Legend(title=None, orient="right", symbolStrokeWidth=2) if len(groups) > 1 else None
    axis = alt.Axis(grid=True, ticks=False, domain=False, labels=first, labelPadding=10)
    x = alt.X(f"{column}:Q", title=None, scale=alt.Scale(zero=True, nice=True), axis=alt.Axis(tickCount=5, grid=False))
    return (
        alt.Chart(title=alt.Title(title, fontSize=12))
        .mark_point(size=44, strokeWidth=1.8, opacity=1)
        .encode(
            x=x,
            y=alt.Y("tokenizer:N", sort=tokenizers, title=None, axis=axis),
            # Groups often agree: side by side, none hides another.
            yOffset=alt.YOffset("group:N", sort=groups),
            color=alt.Color("group:N", sort=groups, scale=alt.Scale(domain=groups, range=colours), legend=legend),
            shape=alt.Shape("group:N", sort=groups, scale=alt.Scale(domain=groups, range=shapes), legend=legend),
            tooltip=[alt.Tooltip("tokenizer:N"), alt.Tooltip("group:N"), alt.Tooltip(f"{column}:Q", format=form)],
        )
        .properties(width=230, height=len(tokenizers) * (14 + 8 * len(groups)))
    )
