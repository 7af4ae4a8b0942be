"""Which columns of a table hold a sequence, the second one of a pair, and the label.

Pairs of sequences are told in all the ways that copies of the GUE+ files are written: two named columns, three columns
by count (sequence, sequence, label), or one column with `|` between the two.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType

import polars as pl

from glmbench.errors import DataError
from glmbench.sequences.alphabet import AMBIGUITY_CODES, LETTERS
from glmbench.tasks.card import TableFormat
from glmbench.tasks.refusing import refuse

PARTNERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "sequence": ("sequence_2", "sequence2"),
        "sequence_1": ("sequence_2",),
        "sequence1": ("sequence2",),
        "seq": ("seq_2", "seq2"),
        "seq_1": ("seq_2",),
        "seq1": ("seq2",),
        "enhancer": ("promoter",),
    }
)
"""Names of the column of a second sequence, by that of the first."""

_BASES = rf"^[{LETTERS}{AMBIGUITY_CODES} ]+$"


def partner(first: str, names: Collection[str]) -> str | None:
    """The column that holds the second sequence where `first` holds the first; None where there is none.

    A `sequence_2` belongs to `sequence` only where there is no `sequence_1`.
    """
    for second in PARTNERS.get(first, ()):
        numbered = second.removesuffix("2") + "1"
        if second in names and (numbered == first or numbered not in names):
            return second
    return None


def paired_columns(names: Collection[str]) -> tuple[str, str] | None:
    """The two columns of a pair among the names of a table; None where there are none."""
    for first in PARTNERS:
        if first in names and (second := partner(first, names)) is not None:
            return first, second
    return None


def sequences_and_label(rows: pl.DataFrame, table: TableFormat, path: Path) -> pl.DataFrame:
    """Columns `sequence`, `sequence_2` (of pairs only) and `label` of a table, as text.

    By name where the header has the names, else by count, as the readers of the GUE files take them: two columns are
    sequence and label, three are a pair and its label. Where the format names several columns of labels, `label` is a
    list of their texts.

    Raises:
        DataError: the columns cannot be told, or only some rows are pairs.
    """
    names = rows.columns
    sequences = _named_sequences(table, names)
    labels = table.labels or (table.label,)
    if not sequences or not {*sequences, *labels} <= set(names):
        sequences, labels = _by_count(rows, table, path), (names[-1],)
    label = pl.concat_list(labels) if table.labels else pl.col(labels[0])
    chosen = [pl.col(name).alias(as_) for name, as_ in zip(sequences, ("sequence", "sequence_2"), strict=False)]
    return split_joined(rows.select(*chosen, label.alias("label")), str(path))


def split_joined(rows: pl.DataFrame, origin: str) -> pl.DataFrame:
    """The rows with `sequence` cut into `sequence` and `sequence_2` where it is two sequences with `|` between them.

    Raises:
        DataError: only some rows are pairs, or a row is more than two sequences; names the row.
    """
    signs = rows["sequence"].str.count_matches("|", literal=True)
    if "sequence_2" in rows.columns or not signs.sum():
        return rows
    refuse(signs == 0, "sequence", origin, "has no '|', though others are pairs; want all rows to be pairs or none")
    refuse(signs > 1, "sequence", origin, "has more than one '|'; want a pair: two sequences with one '|' between them")
    halves = rows["sequence"].str.split_exact("|", 1).struct.rename_fields(["sequence", "sequence_2"]).struct.unnest()
    others = [name for name in rows.columns if name != "sequence"]
    return pl.concat([halves, rows.select(others)], how="horizontal")


def _named_sequences(table: TableFormat, names: Collection[str]) -> tuple[str, ...]:
    if table.sequence_2 is not None:
        return table.sequence, table.sequence_2
    if table.sequence not in names:
        return paired_columns(names) or ()
    second = partner(table.sequence, names)
    return (table.sequence,) if second is None else (table.sequence, second)


def _by_count(rows: pl.DataFrame, table: TableFormat, path: Path) -> tuple[str, ...]:
    """All columns but the last, which holds the label, where that can be."""
    names = rows.columns
    if not table.labels and table.sequence_2 is None:
        _require_header(names, table, path)
        if len(names) == 2 or (len(names) == 3 and _hold_bases(rows, names[:2])):
            return tuple(names[:-1])
    wanted = (table.sequence, *((table.sequence_2,) if table.sequence_2 else ()), *(table.labels or (table.label,)))
    missing = next(name for name in wanted if name not in names)
    raise DataError(
        f"{path} has no column {missing!r}; got {', '.join(map(repr, names[:8]))}, want "
        f"{' and '.join(map(repr, wanted))} with {table.separator!r} between columns"
    )


def _hold_bases(rows: pl.DataFrame, names: list[str]) -> bool:
    """Whether the first row has bases in these columns."""
    return all(bool(rows[name][:1].str.to_uppercase().str.contains(_BASES).fill_null(False).all()) for name in names)


def _require_header(names: list[str], table: TableFormat, path: Path) -> None:
    first = names[0].upper().replace(" ", "")
    if len(first) > 12 and not set(first) - {*LETTERS, "|"}:
        wanted = table.separator.join((table.sequence, table.label))
        raise DataError(
            f"{path} has no header: its first line is {names[0][:20]!r}...; put a line {wanted!r} before it"
        )
