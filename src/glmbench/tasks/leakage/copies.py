"""Rows that are copies of other rows, by joins on the sequence.

A pair of sequences is a copy of another where both sequences are: of the first of one that of the other, and so of the
second. Its reverse complement is the pair of both reverse complements, in their places.
"""

from __future__ import annotations

import polars as pl

from glmbench.sequences.encoding import reverse_complement
from glmbench.tasks.task import is_paired


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


def shared_sides(a: pl.DataFrame, b: pl.DataFrame | None = None) -> pl.DataFrame:
    """Rows of b (without b: later rows of a) of which at least one sequence is in a pair of a, copies included.

    A sequence counts on either strand and as either side of the pair.

    Args:
        a: examples that are pairs, see `tasks.task`.
        b: other ones.

    Returns:
        Partners: the columns a, b (ids), and first, second: whether that sequence of b has a partner. The partner in
        a is the earliest row.
    """
    offered = (
        pl.concat([_side(a, name).rename({"_row": "_row_a", "id": "a"}) for name in _SIDES])
        .sort("_row_a", maintain_order=True)
        .unique("_key", keep="first", maintain_order=True)
    )
    asking = a if b is None else b
    sides = []
    for name in _SIDES:
        found = _side(asking, name).join(offered, on="_key", how="left", maintain_order="left")
        known = pl.col("a").is_not_null() & (pl.lit(b is not None) | (pl.col("_row_a") < pl.col("_row")))
        sides.append(found.select(pl.when(known).then(pl.col("_row_a", "a"))))
    first, second = (side["_row_a"].is_not_null() for side in sides)
    earlier = first & (~second | (sides[0]["_row_a"] <= sides[1]["_row_a"]).fill_null(False))
    partners = pl.select(a=pl.when(earlier).then(sides[0]["a"]).otherwise(sides[1]["a"]))["a"]
    return pl.DataFrame({"a": partners, "b": asking["id"], "first": first, "second": second}).filter(first | second)


def canonical(sequences: pl.Series) -> pl.Series:
    """Of each sequence and its reverse complement, the one that comes first in the alphabet."""
    return pl.Series(sequences.name, [min(s, reverse_complement(s)) for s in sequences], dtype=pl.String)


def copy_keys(rows: pl.DataFrame) -> pl.Series:
    """What two examples have in common where they are copies: the sequence, or both of a pair with `|` between them."""
    keys = rows["sequence"] + "|" + rows["sequence_2"] if is_paired(rows) else rows["sequence"]
    return keys.alias("key")


def other_strand(key: str) -> str:
    """The key (see `copy_keys`) of the reverse complement."""
    return "|".join(map(reverse_complement, key.split("|")))


def strand_keys(rows: pl.DataFrame) -> pl.Series:
    """What two examples have in common where they are copies or reverse complements: the key of either that is less."""
    return pl.Series("key", [min(key, other_strand(key)) for key in copy_keys(rows)], dtype=pl.String)


_SIDES = ("sequence", "sequence_2")


def _side(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    return rows.select("id", _key=canonical(rows[name])).with_row_index("_row")


def _first_partners(
    a: pl.DataFrame, b: pl.DataFrame | None, *, on_other_strand: bool, with_other_label: bool
) -> pl.DataFrame:
    # Of the rows of a with one sequence and one label the first is enough: it is the earliest partner there is.
    offered = (
        a.select(pl.col("id").alias("a"), pl.col("label").alias("_label_a"), _wanted=copy_keys(a))
        .with_row_index("_row_a")
        .unique(["_wanted", "_label_a"], keep="first")
    )
    other = a if b is None else b
    asking = other.select(pl.col("id").alias("b"), "label", _wanted=copy_keys(other)).with_row_index("_row_b")
    if on_other_strand:
        strand = pl.Series([other_strand(key) for key in asking["_wanted"]], dtype=pl.String)
        asking = asking.with_columns(_wanted=strand).filter(strand != asking["_wanted"])
    pairs = asking.join(offered, on="_wanted")
    if with_other_label:
        pairs = pairs.filter(pl.col("label") != pl.col("_label_a"))
    if b is None:
        pairs = pairs.filter(pl.col("_row_a") < pl.col("_row_b"))
    return pairs.sort("_row_b", "_row_a").unique("_row_b", keep="first", maintain_order=True).select("a", "b")
