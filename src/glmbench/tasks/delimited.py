"""A delimited table of sequences and labels, read as examples and checked row by row.

Rows are counted from 0 after the header, lines from 1 with it; blank lines are passed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from polars.exceptions import ComputeError, NoDataError

from glmbench.errors import DataError, Unsupported
from glmbench.sequences.alphabet import AMBIGUITY_CODES, LETTERS
from glmbench.tasks.card import TableFormat, TaskCard
from glmbench.tasks.kmer_joined import decode_kmers
from glmbench.tasks.task import LetterCounts

_NOT_DNA = rf"[^{LETTERS}{AMBIGUITY_CODES}]"


@dataclass(frozen=True)
class Reading:
    """The examples of one file, and what was altered or noticed while reading them."""

    examples: pl.DataFrame
    letters: LetterCounts


def read_rows(path: Path, table: TableFormat) -> pl.DataFrame:
    """All columns of a delimited file as text, blank lines dropped.

    Quoted and unquoted fields, either line end, a byte-order mark and gzip are all read the same way.

    Raises:
        DataError: the file is empty, has no rows, or is not such a table.
    """
    try:
        rows = pl.read_csv(path, separator=table.separator, quote_char=table.quote or None, infer_schema=False)
    except NoDataError as error:
        raise DataError(f"{path} is empty; want a header line and one row per sequence. Get the file again") from error
    except ComputeError as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{path} is not a table with {table.separator!r} between its columns: {reason}. Want the same number of "
            "fields in every row, UTF-8 text, and quotes in pairs"
        ) from error
    rows = rows.filter(~pl.all_horizontal(pl.all().is_null()))
    if rows.height == 0:
        raise DataError(f"{path} has a header and no rows; want one row per sequence. Get the file again")
    return rows


def sequence_and_label(rows: pl.DataFrame, table: TableFormat, path: Path) -> pl.DataFrame:
    """Columns `sequence` and `label` of a table: by name where the header has both names, else by count.

    Two columns are sequence and label, as the readers of the GUE files take them.

    Raises:
        Unsupported: three unnamed columns, which hold a pair of sequences.
        DataError: the columns cannot be told.
    """
    names = rows.columns
    if table.sequence in names and table.label in names:
        chosen = (table.sequence, table.label)
    elif len(names) == 2:
        _require_header(names, table, path)
        chosen = (names[0], names[1])
    elif len(names) == 3:
        raise Unsupported(
            f"{path} has columns {', '.join(names)}: a pair of sequences and a label, which no task takes yet"
        )
    else:
        missing = table.sequence if table.sequence not in names else table.label
        raise DataError(
            f"{path} has no column {missing!r}; got {', '.join(map(repr, names[:8]))}, want {table.sequence!r} and "
            f"{table.label!r} with {table.separator!r} between columns"
        )
    return rows.select(pl.col(chosen[0]).alias("sequence"), pl.col(chosen[1]).alias("label"))


def _require_header(names: Sequence[str], table: TableFormat, path: Path) -> None:
    first = names[0].upper().replace(" ", "")
    if len(first) > 12 and not set(first) - set(LETTERS):
        wanted = table.separator.join((table.sequence, table.label))
        raise DataError(
            f"{path} has no header: its first line is {names[0][:20]!r}...; put a line {wanted!r} before it"
        )


def read_examples(
    sequences: pl.Series, labels: pl.Series, *, split: str, card: TaskCard, origin: str, groups: pl.Series | None = None
) -> Reading:
    """Examples (see `tasks.task`) from two columns of text.

    Args:
        sequences: bases, or k-mers joined by blanks where the card says so.
        labels: class indices from 0, class names of the card, or numbers for a regression.
        split: first half of the ids.
        card: kind, classes and format.
        origin: the file, for messages.
        groups: the group of each row; its id where there are none.

    Raises:
        DataError: a sequence or a label is missing or malformed; names the row.
        Unsupported: a sequence is two sequences with `|` between them.
    """
    text = _bases(sequences, card.format.kmer_joined, origin)
    bases = text.str.to_uppercase().str.replace_all("U", "T", literal=True)
    _refuse_letters(bases, origin)
    label = _numbers(labels, origin) if card.kind == "regression" else _classes(labels, card.classes, origin)
    ids = pl.int_range(bases.len(), eager=True).cast(pl.String)
    identifier = (f"{split}/" + ids).alias("id")
    group = (identifier if groups is None else groups.cast(pl.String)).alias("group")
    _refuse(group.is_null(), "group", origin, "is missing; fill it in or drop the column")
    examples = pl.DataFrame([identifier, bases.alias("sequence"), label.alias("label"), group])
    return Reading(examples, letter_counts(text, bases))


def letter_counts(text: pl.Series, bases: pl.Series) -> LetterCounts:
    """Count what was altered between the sequences of a file and the bases that were read from them."""
    return LetterCounts(
        rows=bases.len(),
        lower_case=int(text.str.contains("[a-z]").sum()),
        uracil=int(text.str.contains("[Uu]").sum()),
        ambiguous=int(bases.str.contains("[^ACGT]").sum()),
    )


def _bases(sequences: pl.Series, k: int | None, origin: str) -> pl.Series:
    stripped = sequences.str.strip_chars()
    _refuse(stripped.is_null() | (stripped.str.len_bytes() == 0), "sequence", origin, "is missing; remove the row")
    if k is None:
        return stripped
    return pl.Series("sequence", decode_kmers(stripped.to_list(), k, origin), dtype=pl.String)


def _refuse_letters(bases: pl.Series, origin: str) -> None:
    bad = bases.str.contains(_NOT_DNA)
    if not bad.any():
        return
    row = int(bad.arg_max() or 0)
    letter = str(bases[row : row + 1].str.extract(f"({_NOT_DNA})")[0])
    if letter == "|":
        raise Unsupported(f"{origin}: row {row} is a pair of sequences joined by '|', which no task takes yet")
    if letter == " ":
        hint = "; if these are k-mers joined by blanks, say so in the card: kmer_joined = 6"
    else:
        hint = ", want A, C, G, T, N or an IUPAC code; remove the row or correct it"
    raise DataError(f"{origin}: the sequence of row {row} (line {row + 2}) has the letter {letter!r}{hint}")


def _numbers(labels: pl.Series, origin: str) -> pl.Series:
    values = labels.str.strip_chars().cast(pl.Float64, strict=False)
    bad = values.is_null() | ~values.is_finite().fill_null(False)
    _refuse(bad, "label", origin, "is not a finite number; remove the row", labels)
    return values


def _classes(labels: pl.Series, classes: Sequence[str], origin: str) -> pl.Series:
    """Class indices from class names, or from integers 0, 1, … without gaps."""
    stripped = labels.str.strip_chars()
    _refuse(stripped.is_null() | (stripped.str.len_bytes() == 0), "label", origin, "is missing; remove the row")
    if classes and stripped.is_in(list(classes)).all():
        return stripped.replace_strict(list(classes), list(range(len(classes))), return_dtype=pl.Int64)
    values = stripped.cast(pl.Float64, strict=False)
    whole = values.is_finite() & (values == values.floor()) & (values >= 0)
    _refuse(~whole.fill_null(False), "label", origin, "is no class: want 0, 1, … or a class name of the card", labels)
    indices = values.cast(pl.Int64)
    if classes:
        wanted = f"is beyond the card's {len(classes)} classes: want 0 to {len(classes) - 1}"
        _refuse(indices >= len(classes), "label", origin, wanted, labels)
    elif (present := indices.unique().sort().to_list()) != list(range(len(present))):
        raise DataError(
            f"{origin}: labels {present[:10]} have gaps; number the classes from 0, or list `classes` in the card"
        )
    return indices


def _refuse(bad: pl.Series, column: str, origin: str, what: str, values: pl.Series | None = None) -> None:
    if bad.any():
        row = int(bad.arg_max() or 0)
        shown = f" {values[row]!r}" if values is not None else ""
        raise DataError(f"{origin}: the {column}{shown} of row {row} (line {row + 2}) {what} ({bad.sum()} such rows)")
