"""Labelled rows that decide when to stop or whose weights are kept, and that are neither trained on nor in test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from glmbench.methods.examples import sequence_columns, single_sequences
from glmbench.tasks.budget import FULL, Budget
from glmbench.tasks.task import Task

FEWEST_DEV_ROWS = 20


@dataclass(frozen=True)
class Split:
    """Rows to train on, rows that decide when to stop, and where the latter are from."""

    train: pl.DataFrame
    stop_on: pl.DataFrame | None
    source: str

    def details(self) -> dict[str, Any]:
        """Plain values for a result."""
        return {
            "train_rows": self.train.height + (self._held_out() if self.stop_on is not None else 0),
            "trained_on": self.train.height,
            "bases": sum(map(len, single_sequences(self.train))),
            "stopped_on": self.source,
            "stopped_on_rows": 0 if self.stop_on is None else self.stop_on.height,
        }

    def _held_out(self) -> int:
        assert self.stop_on is not None
        return 0 if self.source == "dev split" else self.stop_on.height


def split_rows(
    task: Task, rows: pl.DataFrame, budget: Budget, seed: int, *, held_out: float, held_out_from: int
) -> Split:
    """The dev split at the full budget, else a share of the training rows, else, where these are few, nothing.

    Test rows are never among them.

    Raises:
        MissingData: the task lists a dev split whose file is absent.
    """
    dev = usable_dev_rows(task, rows) if budget == FULL else None
    if dev is not None:
        return Split(rows, dev, "dev split")
    if rows.height < held_out_from:
        return Split(rows, None, "nothing: a fixed number of steps")
    out = held_out_rows(rows, held_out, seed, stratify=task.card.kind == "classification")
    if not out.any():  # every class is one group
        return Split(rows, None, "nothing: the groups cannot be parted")
    return Split(rows.filter(~out), rows.filter(out), "held-out training rows")


def usable_dev_rows(task: Task, train_rows: pl.DataFrame) -> pl.DataFrame | None:
    """The task's dev split without the sequences that are also in test or train; None where fewer than 20 are left.

    A dev split may be a part of test (GeneMask's Splice-40: all 2,700 rows): choosing by it would be choosing by test.

    Raises:
        MissingData: the task lists a dev split whose file is absent.
    """
    if "dev" not in task.splits():
        return None
    dev = task.load("dev")
    what = sequence_columns(dev)
    dev = dev.join(train_rows.select(what), on=what, how="anti")
    if "test" in task.splits():
        dev = dev.join(task.load("test").select(what), on=what, how="anti")
    return dev if dev.height >= FEWEST_DEV_ROWS else None


def held_out_rows(rows: pl.DataFrame, share: float, seed: int, *, stratify: bool) -> pl.Series:
    """A random choice of about `share` of the rows, as booleans: whole groups, at least one of each class that has two.

    Args:
        rows: examples; rows of one `group` stay together.
        share: of the rows of each class (a group counts for the class of its first row), or of all rows.
        seed: decides the choice.
        stratify: take the share of each class.
    """
    stratum = pl.col("label").first() if stratify else pl.lit(0)
    groups = rows.group_by("group", maintain_order=True).agg(size=pl.len(), stratum=stratum)
    shuffled = groups[np.random.default_rng([seed, 71]).permutation(groups.height).tolist()]
    before = pl.col("size").cum_sum().over("stratum") - pl.col("size")
    not_last = pl.int_range(pl.len()).over("stratum") < pl.len().over("stratum") - 1  # one group stays in train
    chosen = shuffled.filter(not_last & (before < share * pl.col("size").sum().over("stratum")))
    return rows["group"].is_in(chosen["group"].implode())
