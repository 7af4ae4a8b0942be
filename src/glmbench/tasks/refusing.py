"""Refuse rows of a file: an error that names the first of them."""

from __future__ import annotations

import polars as pl

from glmbench.errors import DataError


def refuse(bad: pl.Series, column: str, origin: str, what: str, values: pl.Series | None = None) -> None:
    """Do nothing where no row is bad.

    Args:
        bad: for each row whether it is refused; null is not.
        column: what holds the fault, in words.
        origin: the file.
        what: what is wrong and what to do, after "the label of row 3".
        values: what the rows hold, to show the first bad one.

    Raises:
        DataError: a row is bad; names the first, counted from 0, its line, and how many there are.
    """
    if bad.any():
        row = int(bad.arg_max() or 0)
        shown = f" {_short(values[row])!r}" if values is not None else ""
        raise DataError(f"{origin}: the {column}{shown} of row {row} (line {row + 2}) {what} ({bad.sum()} such rows)")


def _short(value: object) -> object:
    return value[:37] + "..." if isinstance(value, str) and len(value) > 40 else value
