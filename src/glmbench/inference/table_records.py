"""Tables with a column of sequences as records: CSV, TSV and parquet, read row by row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from glmbench.errors import DataError, UsageError
from glmbench.inference.records import Record, Records, whole
from glmbench.inference.text_records import checked, open_stream
from glmbench.tasks.columns import paired_columns, partner
from glmbench.tasks.own_table import SEQUENCE_NAMES

NAME_NAMES = ("name", "id", "seq_id", "sequence_id", "record", "identifier")
_ROWS = 4_096
"""Rows of a parquet file that are read together."""


def table_records(path: Path, column: str | None = None) -> Records:
    """The sequences of a table; its column `name` or `id` names them, else `row0`, `row1`, ….

    Raises:
        UsageError: there is no column of that name.
        DataError: no column is known to hold sequences; while reading: a row that is no row of the table, an empty
            sequence, letters that are no DNA.
    """
    header = next(_rows(path), None)
    if header is None:
        raise DataError(f"{path} is empty; want a header and one row per sequence")
    sequence, name = _columns(header, path, column)
    second = _partner(header, sequence)
    return Records(str(path), lambda: _read(path, sequence, name, second))


def _columns(header: list[Any], path: Path, column: str | None) -> tuple[int, int | None]:
    names = [str(name).strip() for name in header]
    lower = [name.lower() for name in names]
    got = ", ".join(repr(name[:20]) for name in names[:8])
    if column is not None and column not in names:
        raise UsageError(f"--column {column}: {path} has no such column; it has {got}")
    wanted = [column.lower()] if column is not None else [name for name in SEQUENCE_NAMES if name in lower]
    if not wanted and (pair := paired_columns(lower)) is not None:
        wanted = [pair[0]]
    if not wanted:
        raise DataError(
            f"{path}: no column for the sequence; got {got}, want a header with one of "
            f"{', '.join(SEQUENCE_NAMES)}, or say with --column which it is"
        )
    sequence = names.index(column) if column is not None else lower.index(wanted[0])
    named = next((lower.index(name) for name in NAME_NAMES if name in lower and lower.index(name) != sequence), None)
    return sequence, named


def _partner(header: list[Any], sequence: int) -> int | None:
    """The column of the second sequences of pairs."""
    lower = [str(name).strip().lower() for name in header]
    second = partner(lower[sequence], lower)
    return None if second is None else lower.index(second)


def _read(path: Path, sequence: int, name: int | None, second: int | None) -> Iterator[Record]:
    rows = _rows(path)
    width = len(next(rows))
    for number, row in enumerate(rows):
        if len(row) != width:
            raise DataError(f"{path}: row {number} has {len(row)} fields, its header {width}")
        called = f"row{number}" if name is None else str(row[name])
        record = whole(called, _letters(row[sequence], f"{path}: row {number} ({called})"))
        if second is not None:
            record = replace(record, partner=_letters(row[second], f"{path}: row {number} ({called})"))
        yield record


def _letters(field: Any, where: str) -> str:
    letters = ("" if field is None else str(field)).strip()
    if not letters:
        raise DataError(f"{where} has no bases; want a sequence in every row")
    return checked(letters.encode("ascii", errors="replace"), where)


def _rows(path: Path) -> Iterator[list[Any]]:
    """The header, then the rows."""
    return _parquet_rows(path) if path.name.lower().endswith(".parquet") else _text_rows(path)


def _text_rows(path: Path) -> Iterator[list[Any]]:
    csv.field_size_limit(1 << 30)  # a field may be a chromosome
    with open_stream(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        try:
            lines = (line for line in text if line.strip())
            header = next(lines, None)
            if header is None:
                return
            separator = max("\t,;", key=header.count)
            yield next(csv.reader([header], delimiter=separator))
            yield from csv.reader(lines, delimiter=separator)
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path} is no table of UTF-8 text: {error}") from error
        finally:
            text.detach()


def _parquet_rows(path: Path) -> Iterator[list[Any]]:
    try:
        table = pl.scan_parquet(path)
        yield list(table.collect_schema())
        start = 0
        while len(block := table.slice(start, _ROWS).collect()):
            yield from (list(row) for row in block.iter_rows())
            start += len(block)
    except PolarsError as error:
        raise DataError(f"{path} is not a parquet file that can be read: {error}") from error
