"""Published figures: tables of papers, row by row, with their source and what to know before comparing with them."""

from __future__ import annotations

from importlib import resources

import polars as pl

from glmbench.suites.suite import Suite

SCHEMA = pl.Schema({
    "suite": pl.String, "task": pl.String, "model": pl.String, "metric": pl.String, "value": pl.Float64,
    "source": pl.String, "table": pl.String, "flag": pl.String, "caveat": pl.String,
})  # fmt: skip

DOUBTFUL = {
    "uncertain-metric": "its table mixes metrics without saying which row is which",
    "second-hand": "read from notes on the source, not from the source",
    "another-protocol": "fine-tuned otherwise than the suite's recipes and its other rows",
}
"""Flags of figures that are no basis for a comparison; `recomputed` is the only other flag."""


def published(suite: Suite) -> pl.DataFrame:
    """Rows of the suite's file, values as fractions; no rows where no table could be had.

    `task` is a task without version or the name of an aggregate.
    """
    if suite.published is None:
        return pl.DataFrame(schema=SCHEMA)
    text = (resources.files("glmbench.suites") / "published" / suite.published).read_bytes()
    return pl.read_csv(text, schema=SCHEMA).with_columns(pl.col(pl.String).fill_null(""))
