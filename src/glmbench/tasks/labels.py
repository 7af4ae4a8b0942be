"""The labels of a table, from text: classes, numbers, several yes/no labels, or a class for every base."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from glmbench.errors import DataError
from glmbench.tasks.card import TaskCard
from glmbench.tasks.refusing import refuse

BY_BASE = r"[0-9.?\-]+"
"""What a label by base is written with: a digit for each base, and `.`, `-` or `?` where a base has no label."""


def read_labels(labels: pl.Series, bases: pl.Series, card: TaskCard, origin: str) -> pl.Series:
    """The column `label` of examples (see `tasks.task`).

    Args:
        labels: text; of several yes/no labels either lists of text, one each, or `0;1;0` or `010`.
        bases: the sequences that the labels are of.
        card: kind and classes.
        origin: the file, for messages.

    Raises:
        DataError: a label is missing or malformed; names the row.
    """
    match card.kind:
        case "regression":
            return _numbers(labels, origin)
        case "multilabel":
            return _several(labels, card, origin)
        case "per-base":
            return _by_base(labels, bases, card.classes, origin)
        case "classification":
            return _classes(labels, card.classes, origin)


def _numbers(labels: pl.Series, origin: str) -> pl.Series:
    values = labels.str.strip_chars().cast(pl.Float64, strict=False)
    bad = values.is_null() | ~values.is_finite().fill_null(False)
    refuse(bad, "label", origin, "is not a finite number; remove the row", labels)
    return values


def _classes(labels: pl.Series, classes: Sequence[str], origin: str) -> pl.Series:
    """Class indices from class names, or from integers 0, 1, … without gaps."""
    stripped = _present(labels, origin)
    if classes and stripped.is_in(list(classes)).all():
        return stripped.replace_strict(list(classes), list(range(len(classes))), return_dtype=pl.Int64)
    values = stripped.cast(pl.Float64, strict=False)
    whole = values.is_finite() & (values == values.floor()) & (values >= 0)
    refuse(~whole.fill_null(False), "label", origin, "is no class: want 0, 1, … or a class name of the card", labels)
    indices = values.cast(pl.Int64)
    if classes:
        wanted = f"is beyond the card's {len(classes)} classes: want 0 to {len(classes) - 1}"
        refuse(indices >= len(classes), "label", origin, wanted, labels)
    else:
        _require_no_gaps(indices, origin)
    return indices


def _several(labels: pl.Series, card: TaskCard, origin: str) -> pl.Series:
    """A 0 or 1 for each name on the card."""
    if not card.classes:
        raise DataError(f"the card of {card.reference} does not name its labels; list their names as `classes`")
    number = len(card.classes)
    given = labels if isinstance(labels.dtype, pl.List) else _fields(_present(labels, origin))
    wanted = (
        f"has not one value for each of the {number} labels on the card: want {';'.join('0' * number)!r} or the like"
    )
    refuse(given.list.len() != number, "label", origin, wanted, None if given is labels else labels)
    flat = given.explode()
    values = flat.str.strip_chars().cast(pl.Float64, strict=False)
    bad = ~values.is_in([0.0, 1.0]).fill_null(False)
    if bad.any():
        row, place = divmod(int(bad.arg_max() or 0), number)
        raise DataError(
            f"{origin}: the label {card.classes[place]!r} of row {row} (line {row + 2}) is "
            f"{flat[row * number + place]!r}; want 0 or 1 ({bad.sum()} such labels)"
        )
    return values.cast(pl.Int64).reshape((-1, number)).arr.to_list()


def _fields(labels: pl.Series) -> pl.Series:
    """What stands between semicolons; where there are none, the single letters."""
    between, single = labels.str.split(";"), labels.str.split("")
    return pl.select(pl.when(labels.str.contains(";", literal=True)).then(between).otherwise(single)).to_series()


def _by_base(labels: pl.Series, bases: pl.Series, classes: Sequence[str], origin: str) -> pl.Series:
    """The class of every base, -1 where it has none."""
    text = _present(labels, origin)
    no_digit = text.str.extract(r"([^0-9.?\-])")
    wanted = "is no class of a base: want a digit for each base, and '.', '-' or '?' where it has no label"
    refuse(no_digit.is_not_null(), "letter", origin, wanted, no_digit)
    lengths, wanted_lengths = text.str.len_bytes(), bases.str.len_bytes()
    if (differ := lengths != wanted_lengths).any():
        row = int(differ.arg_max() or 0)
        what = f"labels {lengths[row]} bases of a sequence of {wanted_lengths[row]}; want one digit for each base"
        refuse(differ, "label", origin, what, text)
    codes = np.frombuffer("".join(text).encode(), dtype=np.uint8).astype(np.int64) - ord("0")
    codes[(codes < 0) | (codes > 9)] = -1
    row_of = np.repeat(np.arange(text.len()), lengths.to_numpy())
    if codes.max() < 0:
        raise DataError(f"{origin}: no base has a label; want a digit for at least one")
    if not classes:
        _require_no_gaps(pl.Series(codes[codes >= 0]), origin)
    elif (beyond := np.flatnonzero(codes >= len(classes))).size:
        row, code = int(row_of[beyond[0]]), int(codes[beyond[0]])
        raise DataError(
            f"{origin}: the label {code} of a base of row {row} (line {row + 2}) is beyond the card's {len(classes)} "
            f"classes: want 0 to {len(classes) - 1}"
        )
    return pl.DataFrame({"row": row_of, "label": codes}).group_by("row", maintain_order=True).agg("label")["label"]


def _present(labels: pl.Series, origin: str) -> pl.Series:
    """The texts without blanks around them, none missing."""
    stripped = labels.str.strip_chars()
    refuse(stripped.is_null() | (stripped.str.len_bytes() == 0), "label", origin, "is missing; remove the row")
    return stripped


def _require_no_gaps(indices: pl.Series, origin: str) -> None:
    if (present := indices.unique().sort().to_list()) != list(range(len(present))):
        raise DataError(
            f"{origin}: labels {present[:10]} have gaps; number the classes from 0, or list `classes` in the card"
        )
