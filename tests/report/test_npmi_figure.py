from __future__ import annotations

import json

import polars as pl
import pytest

from glmbench.errors import DataError
from glmbench.pretraining.motif_ranks import COMPARISONS, MOTIF_SCHEMA, summarise_motifs
from glmbench.report.figures.npmi import motif_figure


def table(aucs: list[list[float | None]]) -> pl.DataFrame:
    rows = [
        (f"m{i}", comparison, 3, auc, 0.5, 0.5)
        for i, row in enumerate(aucs)
        for comparison, auc in zip(COMPARISONS, row, strict=True)
    ]
    return pl.DataFrame(rows, schema=MOTIF_SCHEMA, orient="row")


def test_bars_count_the_motifs_that_every_comparison_has() -> None:
    import altair as alt

    motifs = table([[0.51, 0.6, 0.7, 0.8], [0.53, 0.6, 0.1, 1.0], [0.9, 0.9, None, None]])
    figure = motif_figure(motifs, summarise_motifs(motifs), "chr1.fa")
    json.dumps(figure.spec, allow_nan=False)
    alt.Chart.from_dict(figure.spec, validate=True)
    rows = figure.spec["datasets"]["rows"]
    first = [row for row in rows if row["comparison"] == "all"]
    assert [(row["from"], row["motifs"]) for row in first if "motifs" in row] == [(0.5, 2)]
    assert [row["shown"] for row in first if "mean" in row] == ["0.520"]
    last = [row for row in rows if row["comparison"] == COMPARISONS[-1] and "motifs" in row]
    assert sum(row["motifs"] for row in last) == 2
    assert "over the 2 motifs" in figure.caption


def test_nothing_to_draw_is_said() -> None:
    motifs = table([[0.5, 0.5, None, None]])
    with pytest.raises(DataError, match="no motif has k-mers left in every comparison"):
        motif_figure(motifs, summarise_motifs(motifs), "chr1.fa")
