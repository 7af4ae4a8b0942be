"""Rows that are copies of other rows, by joins on the sequence."""

from __future__ import annotations

import polars as pl

from glmbench.sequences.encoding import reverse_complement


def exact_duplicates(a: pl.DataFrame, b: pl.DataFrame | None = None) -> pl.DataFrame:
    """Rows of b (without b: later rows of a) whose sequence is also a sequence of a.

    Args:
        a: examples, see `tasks.task`.
        b: other examples.

    Returns:
        Partners: the columns a, b (ids).
    """
    return _first_partners(a, b, on_other_strand=False, with_other_label=False)


def reverse_complement_duplicates(a: pl.DataFrame, b: pl.DataFrame | None = None) -> pl.DataFrame:
    """Rows of b (without b: later rows of a) whose reverse complement is a sequence of a.

    A sequence that is its own reverse complement has exact copies only, and is not counted here. A row that has an
    exact and a reverse-complement copy is counted by both rules.

    Returns:
        Partners: the columns a, b (ids).
    """
    return _first_partners(a, b, on_other_strand=True, with_other_label=False)


def label_conflicts(a: pl.DataFrame, b: pl.DataFrame | None = None) -> pl.DataFrame:
    """Rows of b (without b: later rows of a) whose sequence is in a under another label.

    Returns:
        Partners: the columns a, b (ids).
    """
    return _first_partners(a, b, on_other_strand=False, with_other_label=True)


def canonical(sequences: pl.Series) -> pl.Series:
    """Of each sequence and its reverse complement, the one that comes first in the alphabet."""
    return pl.Series(sequences.name, [min(s, reverse_complement(s)) for s in sequences], dtype=pl.String)


def _first_partners(
    a: pl.DataFrame, b: pl.DataFrame | None, *, on_other_strand: bool, with_other_label: bool
) -> pl.DataFrame:
    # Of the rows of a with one sequence and one label the first is enough: it is the earliest partner there is.
    offered = (
        a.with_row_index("_row_a")
        .unique(["sequence", "label"], keep="first")
        .select(
            "_row_a", pl.col("id").alias("a"), pl.col("label").alias("_label_a"), pl.col("sequence").alias("_wanted")
        )
    )
    asking = (a if b is None else b).with_row_index("_row_b").rename({"id": "b"})
    if on_other_strand:
        strand = pl.Series([reverse_complement(s) for s in asking["sequence"]], dtype=pl.String)
        asking = asking.with_columns(_wanted=strand).filter(pl.col("_wanted") != pl.col("sequence"))
    else:
        asking = asking.with_columns(_wanted=pl.col("sequence"))
    pairs = asking.join(offered, on="_wanted")
    if with_other_label:
        pairs = pairs.filter(pl.col("label") != pl.col("_label_a"))
    if b is None:
        pairs = pairs.filter(pl.col("_row_a") < pl.col("_row_b"))
    return pairs.sort("_row_b", "_row_a").unique("_row_b", keep="first", maintain_order=True).select("a", "b")
