"""How high the k-mers of binding motifs rank: the spread of their AUCs, one panel a comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from glmbench.errors import DataError
from glmbench.report.figures.figure import Figure, finish, named
from glmbench.report.marks import FAINT, INK, KIND_COLOURS

if TYPE_CHECKING:
    import polars as pl

BINS = 20


def motif_figure(table: pl.DataFrame, summary: pl.DataFrame, ranking: str) -> Figure:
    """A histogram over motifs for each comparison, the mean with its interval above it.

    Args:
        table: as from `pretraining.motif_ranks.rank_motifs`.
        summary: as from `summarise_motifs`, of the same table.
        ranking: what ranks the k-mers, for the caption.

    Raises:
        DataError: no motif has k-mers in every comparison.
    """
    import altair as alt

    if not summary["motifs"][0]:
        raise DataError("no motif has k-mers left in every comparison, so there is nothing to draw; get longer motifs")
    comparisons = summary["comparison"].to_list()
    axis = alt.Axis(grid=False, values=[0, 0.2, 0.4, 0.6, 0.8, 1])
    x = alt.X("from:Q", bin="binned", title="AUC of a motif's k-mers", scale=alt.Scale(domain=[0, 1]), axis=axis)
    bars = (
        alt.Chart()
        .transform_filter("isValid(datum.motifs)")
        .mark_bar(color=KIND_COLOURS["model"], opacity=0.75)
        .encode(
            x=x,
            x2="to:Q",
            y=alt.Y("motifs:Q", title="motifs", axis=alt.Axis(tickCount=3)),
            tooltip=[alt.Tooltip("from:Q", format=".2f"), alt.Tooltip("to:Q", format=".2f"), "motifs:Q"],
        )
    )
    marks = alt.Chart().transform_filter("isValid(datum.mean)")
    chance = marks.mark_rule(strokeDash=[4, 3], color=FAINT).encode(x="chance:Q")
    interval = marks.mark_rule(strokeWidth=2.5, color=INK).encode(x="low:Q", x2="high:Q", y=alt.value(2))
    mean = marks.mark_point(filled=True, size=24, color=INK, opacity=1).encode(x="mean:Q", y=alt.value(2))
    words = marks.mark_text(align="left", dx=8, color=INK, baseline="middle").encode(
        x="high:Q", y=alt.value(2), text="shown:N"
    )
    panel = alt.layer(bars, chance, interval, mean, words, width=250, height=120)
    chart = panel.facet(alt.Facet("comparison:N", sort=comparisons, title=None), columns=2, data=named("rows"))
    used = summary["motifs"][0]
    caption = (
        f"{ranking}: probability that a k-mer of a binding motif ranks better than another k-mer, over the {used} "
        "motifs that have one in every comparison. 0.5 (dashed): no better. Points are means with 95 % intervals over "
        "resampled motifs. GC-matched: only against k-mers of the same number of G and C. No repeats: without k-mers "
        "of short periods and, where the genome shows them in lower case, of its repeats."
    )
    return finish("npmi-motifs", caption, chart, rows=_rows(table, summary))


def _rows(table: pl.DataFrame, summary: pl.DataFrame) -> list[dict[str, Any]]:
    """A row a bar, and one a comparison for the mean; a facet's layers share one data set."""
    comparisons = summary["comparison"].to_list()
    aucs = table["auc"].to_numpy().reshape(-1, len(comparisons))
    aucs = aucs[np.isfinite(aucs).all(axis=1)]
    edges = np.linspace(0, 1, BINS + 1)
    rows: list[dict[str, Any]] = []
    for place, row in enumerate(summary.iter_rows(named=True)):
        counts = np.histogram(aucs[:, place], edges)[0]
        rows += [
            {"comparison": row["comparison"], "from": float(low), "to": float(high), "motifs": int(count)}
            for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
            if count
        ]
        rows.append(
            {
                "comparison": row["comparison"], "mean": row["mean_auc"], "low": row["low"], "high": row["high"],
                "shown": f"{row['mean_auc']:.3f}", "chance": 0.5,
            }
        )  # fmt: skip
    return rows
