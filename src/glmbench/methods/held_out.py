"""Labelled rows that decide when to stop or what to choose, and that are neither trained on nor in test."""

from __future__ import annotations

import numpy as np
import polars as pl

from glmbench.tasks.task import Task

FEWEST_DEV_ROWS = 20


def usable_dev_rows(task: Task, train_rows: pl.DataFrame) -> pl.DataFrame | None:
    """The task's dev split without the sequences that are also in test or train; None where fewer than 20 are left.

    A dev split may be a part of test (GeneMask's Splice-40: all 2,700 rows): choosing by it would be choosing by test.

    Raises:
        MissingData: the task lists a dev split whose file is absent.
    """
    if "dev" not in task.splits():
        return None
    dev = task.load("dev").join(train_rows.select("sequence"), on="sequence", how="anti")
    if "test" in task.splits():
        dev = dev.join(task.load("test").select("sequence"), on="sequence", how="anti")
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
