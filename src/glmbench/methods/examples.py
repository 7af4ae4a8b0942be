"""From examples of a task to what a model is asked, and to what a fit is to learn."""

from __future__ import annotations

import polars as pl

from glmbench.errors import DataError
from glmbench.models.fitted.building import Pairing
from glmbench.models.fitted.target import Target
from glmbench.models.model import Input
from glmbench.tasks.task import Task, class_count, is_paired


def inputs_of(rows: pl.DataFrame, pairing: Pairing = "pair") -> list[Input]:
    """The sequences of examples; of a task of pairs, two each, or both as one."""
    if not is_paired(rows):
        return rows["sequence"].to_list()
    if pairing == "concatenate":
        return (rows["sequence"] + rows["sequence_2"]).to_list()
    return list(zip(rows["sequence"].to_list(), rows["sequence_2"].to_list(), strict=True))


def sequence_columns(rows: pl.DataFrame) -> list[str]:
    """Names of the columns of examples that hold bases: two of pairs."""
    return ["sequence", "sequence_2"] if is_paired(rows) else ["sequence"]


def single_sequences(rows: pl.DataFrame) -> list[str]:
    """All sequences of examples: of pairs all first ones, then all second ones."""
    return [text for name in sequence_columns(rows) for text in rows[name].to_list()]


def target_of(task: Task, rows: pl.DataFrame) -> Target:
    """What a fit is to learn from training rows.

    Classes are as the card names them, and never fewer than the labels of the training rows, dev and test show. A class
    that only dev or test has, or that no row has (a gap in the numbers), keeps an output of its own.

    Raises:
        DataError: a label is negative, or rows have different numbers of labels.
    """
    kind = task.card.kind
    if kind == "regression":
        labels = rows["label"].cast(pl.Float64).to_numpy()
        return Target("values", outputs=1, mean=float(labels.mean()), scale=float(labels.std()) or 1.0)
    seen = [rows["label"], *(task.load(split)["label"] for split in ("dev", "test") if split in task.splits())]
    if kind == "multilabel":
        counts = {count for labels in seen for count in labels.list.len().unique().to_list()}
        if len(counts) != 1:
            raise DataError(f"{task.card.reference}: rows have {sorted(counts)} labels; wanted as many in every row")
        return Target("labels", outputs=counts.pop())
    values = [labels.explode() if kind == "per-base" else labels for labels in seen]
    found = pl.concat([labels.cast(pl.Int64) for labels in values]).drop_nulls().to_numpy()
    lowest = -1 if kind == "per-base" else 0
    if (least := int(found.min(initial=0))) < lowest:
        raise DataError(f"{task.card.reference}: a label is {least}; wanted classes numbered from 0")
    return Target("bases" if kind == "per-base" else "classes", outputs=class_count(task.card, found))
