"""What a score owes to test rows that other splits give away: which rows these are, and the score without them.

A test row is given away where another split, training or dev, has a copy of it: the same sequence, its reverse
complement, or a near-duplicate, by the rules of `tasks.leakage`. Rows that a budget leaves out count like all others.
A dev split that lies in test as a whole, as that of GeneMask's Splice-40 does, is a part of test and gives nothing
away: no method chooses by such rows. As in corrected versions of a task, a split that nobody has verified and
that cannot be had takes no part; the hash of the data tells the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from glmbench.errors import MissingData
from glmbench.metrics.predictions import COPIED
from glmbench.storage.atomic import write_text
from glmbench.tasks.leakage import exact_duplicates, near_duplicates, reverse_complement_duplicates
from glmbench.tasks.task import Task

TEST = "test"
RULES_VERSION = 1
"""Grows when the rules find other rows than before: files of earlier versions are then made anew."""
MOST_COMPARED = 1_000_000_000_000_000
"""Bases of test times bases of the other splits up to which near-duplicates are looked for. Some ten thousand rows of
10 kb against a thousand are as many; a search takes about a minute then, and 1 to 2 GB."""


class Copies(BaseModel):
    """Ids of the test rows of a task that have a partner in one of `splits`; a row may have several kinds of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rules: int
    splits: tuple[str, ...]
    """What test was compared with."""
    of: int
    """Rows of the test split."""
    exact: tuple[str, ...]
    reverse_complement: tuple[str, ...]
    near: tuple[str, ...] | None
    """None where they were not looked for, as the splits are too large."""

    @property
    def rows(self) -> frozenset[str]:
        """Ids of the test rows that have a partner of any kind."""
        return frozenset((*self.exact, *self.reverse_complement, *(self.near or ())))

    def counts(self) -> dict[str, Any]:
        """Rows by kind, of how many, and the splits that were looked at."""
        return {
            "exact": len(self.exact),
            "reverse_complement": len(self.reverse_complement),
            "near": None if self.near is None else len(self.near),
            "of": self.of,
            "splits": list(self.splits),
        }


def beside_copies(
    task: Task, predictions: pl.DataFrame, cache: Path, *, replicates: int
) -> tuple[dict[str, Any], pl.DataFrame]:
    """What a result keeps of it: `leakage` (counts) and, where a row has a copy, `without_copies`.

    The predictions come back with a column `COPIED` then, so that whoever has several fits can do the same with all.

    `without_copies` holds `rows` (examples) and the main metric on them: `value`, with `low` and `high` of its 95 %
    interval, each None where undefined. Where the other splits cannot be had or read, or anything else goes wrong,
    `leakage` has nothing but the `reason`: a score does not fail for that. Empty for a simulated task, whose rows are
    drawn independently, and for a task without a training split.

    Args:
        task: the whole task, not a view of some of its rows.
        predictions: of its test split.
        cache: the cache folder; what is found is kept there, by the hash of the task's data.
        replicates: resamples for the interval.
    """
    if task.card.parameters or not any(split.startswith("train") for split in task.splits()):
        return {}, predictions
    try:
        copies = kept_copies(task, cache)
        if not copies.rows:
            return {"leakage": copies.counts()}, predictions
        example = pl.col("id").str.replace(r":\d+$", "") if task.card.kind == "per-base" else pl.col("id")
        marked = predictions.with_columns(example.is_in(list(copies.rows)).alias(COPIED))
        rows = {"rows": copies.of - len(copies.rows)}
        score = _score(marked.filter(~pl.col(COPIED)), task.card.metric, replicates)
        return {"leakage": copies.counts(), "without_copies": rows | score}, marked
    except Exception as error:  # the fit is done, and may have cost days
        return {"leakage": {"reason": f"not looked for: {str(error) or type(error).__name__}"}}, predictions


def kept_copies(task: Task, cache: Path) -> Copies:
    """The copies of a task, from the cache folder where they were found before.

    A file there that is broken or of other rules is replaced. Processes that race each write the same.

    Raises:
        MissingData, DataError, Unsupported: as `Task.load`, of any split.
    """
    path = cache / "leakage" / f"{task.data_hash()}.json"
    with suppress(OSError, ValidationError):
        found = Copies.model_validate_json(path.read_bytes())
        if found.rules == RULES_VERSION:
            return found
    copies = find_copies(task)
    with suppress(OSError):  # a cache that cannot be written to costs time, no result
        write_text(path, copies.model_dump_json())
    return copies


def find_copies(task: Task) -> Copies:
    """Compare the test split of a task with all others.

    Raises:
        MissingData: a split that the card has a checksum of is absent, or all training splits are.
        DataError, Unsupported: as `Task.load`, of any split.
    """
    test = task.load(TEST)
    sequences = [name for name in ("sequence", "sequence_2") if name in test.columns]
    others = {
        split: rows
        for split, rows in _others(task).items()
        if split.startswith("train") or rows.join(test, on=sequences, how="anti").height
    }
    # A copy is one under any label, of whatever kind labels are.
    bare = [rows.select("id", *sequences, label=pl.lit(0)) for rows in (test, *others.values())]
    test = bare[0]
    pool = pl.concat([test.clear(), *bare[1:]]).unique(sequences, keep="first", maintain_order=True)
    searched = _bases(test, sequences) * _bases(pool, sequences) <= MOST_COMPARED
    return Copies(
        rules=RULES_VERSION,
        splits=tuple(others),
        of=test.height,
        exact=tuple(exact_duplicates(pool, test)["b"]),
        reverse_complement=tuple(reverse_complement_duplicates(pool, test)["b"]),
        near=tuple(near_duplicates(pool, test)["b"]) if searched else None,
    )


def _others(task: Task) -> dict[str, pl.DataFrame]:
    """The splits that test is compared with, those that can be had."""
    verified = {file.split for file in task.card.files if file.verifiable}
    splits: dict[str, pl.DataFrame] = {}
    missing: MissingData | None = None
    for split in task.splits():
        if split == TEST:
            continue
        try:
            splits[split] = task.load(split)
        except MissingData as error:
            if split in verified:
                raise
            missing = error
    if missing is not None and not any(split.startswith("train") for split in splits):
        raise missing
    return splits


def _bases(rows: pl.DataFrame, sequences: Sequence[str]) -> int:
    return sum(int(rows[name].str.len_bytes().sum()) for name in sequences)


def _score(kept: pl.DataFrame, metric: str, n: int) -> dict[str, Any]:
    from glmbench.metrics.resampling import interval, replicates
    from glmbench.metrics.scores import evaluate

    if kept.is_empty():
        return {"value": None, "low": None, "high": None}
    value = evaluate(kept, (metric,))[metric]
    bounds = interval(replicates(metric, [kept], n=n, seed=0))
    low, high = bounds if np.isfinite(bounds).all() else (None, None)
    return {"value": value if np.isfinite(value) else None, "low": low, "high": high}
