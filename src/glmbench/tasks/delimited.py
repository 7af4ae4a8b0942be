"""A delimited table of sequences and labels, read as examples and checked row by row.

Rows are counted from 0 after the header, lines from 1 with it; blank lines are passed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl
from polars.exceptions import ComputeError, NoDataError

from glmbench.errors import DataError, Unsupported
from glmbench.sequences.alphabet import AMBIGUITY_CODES, LETTERS
from glmbench.tasks.card import TableFormat, TaskCard
from glmbench.tasks.kmer_joined import decode_kmers
from glmbench.tasks.labels import read_labels
from glmbench.tasks.refusing import refuse
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


def read_examples(rows: pl.DataFrame, *, split: str, card: TaskCard, origin: str) -> Reading:
    """Examples (see `tasks.task`) from columns of text.

    Args:
        rows: `sequence` and, of pairs, `sequence_2`: bases, or k-mers joined by blanks where the card says so; `label`
            as the kind of the card has it (see `tasks.labels`); `group` where rows belong together, else an id is.
        split: first half of the ids.
        card: kind, classes and format.
        origin: the file, for messages.

    Raises:
        DataError: a sequence or a label is missing or malformed; names the row.
        Unsupported: pairs of sequences have labels by base.
    """
    texts = {"sequence": "sequence", "sequence_2": "second sequence"}
    text = {name: _bases(rows[name], words, card, origin) for name, words in texts.items() if name in rows.columns}
    if len(text) > 1 and card.kind == "per-base":
        raise Unsupported(
            f"{origin}: labels by base are of one sequence, not of a pair; join the two, or leave one out"
        )
    bases = {name: column.str.to_uppercase().str.replace_all("U", "T", literal=True) for name, column in text.items()}
    for name, column in bases.items():
        _refuse_letters(column, texts[name], origin)
    label = read_labels(rows["label"], bases["sequence"], card, origin)
    identifier = (f"{split}/" + pl.int_range(rows.height, eager=True).cast(pl.String)).alias("id")
    group = (rows["group"].cast(pl.String) if "group" in rows.columns else identifier).alias("group")
    refuse(group.is_null(), "group", origin, "is missing; fill it in or drop the column")
    sequences = [column.alias(name) for name, column in bases.items()]
    examples = pl.DataFrame([identifier, *sequences, label.alias("label"), group])
    return Reading(examples, letter_counts(pl.concat(text.values()), pl.concat(bases.values())))


def letter_counts(text: pl.Series, bases: pl.Series) -> LetterCounts:
    """Count what was altered between the sequences of a file and the bases that were read from them."""
    return LetterCounts(
        rows=bases.len(),
        lower_case=int(text.str.contains("[a-z]").sum()),
        uracil=int(text.str.contains("[Uu]").sum()),
        ambiguous=int(bases.str.contains("[^ACGT]").sum()),
    )


def _bases(sequences: pl.Series, words: str, card: TaskCard, origin: str) -> pl.Series:
    stripped = sequences.str.strip_chars()
    refuse(stripped.is_null() | (stripped.str.len_bytes() == 0), words, origin, "is missing; remove the row")
    if card.format.kmer_joined is None:
        return stripped.alias("sequence")
    return pl.Series("sequence", decode_kmers(stripped.to_list(), card.format.kmer_joined, origin), dtype=pl.String)


def _refuse_letters(bases: pl.Series, words: str, origin: str) -> None:
    bad = bases.str.contains(_NOT_DNA)
    if not bad.any():
        return
    row = int(bad.arg_max() or 0)
    letter = str(bases[row : row + 1].str.extract(f"({_NOT_DNA})")[0])
    if letter == " ":
        hint = "; if these are k-mers joined by blanks, say so in the card: kmer_joined = 6"
    else:
        hint = ", want A, C, G, T, N or an IUPAC code; remove the row or correct it"
    raise DataError(f"{origin}: the {words} of row {row} (line {row + 2}) has the letter {letter!r}{hint}")
