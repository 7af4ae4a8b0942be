"""The noun Budget: how much labelled data a method may see, and which rows those are.

Order of preference for N per class: the source's own set `train-N`; a draw from `train`; a draw from the smallest
larger set of the source. A source set with exactly N rows per class is one draw. One with a multiple of N is cut,
in file order, into disjoint draws: draw i takes rows i·N to (i+1)·N-1 of each class (GeneMask's Splice-40 ships ten).
Where an example is not of one class (values, several labels, labels by base) N is a number of rows, drawn uniformly.

The choice goes by what the card lists, never by which files are here: the same budget means the same rows on every
machine. Where the file it needs is absent, the budget is missing, and the message names the sets of the source.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import polars as pl

from glmbench.errors import MissingData, Unsupported, UsageError
from glmbench.tasks.task import Task

_WHOLE = re.compile("[0-9]+")
_FRACTION = re.compile(r"[0-9]*\.?[0-9]+(e-?[0-9]+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Budget:
    """N labelled examples per class, a fraction of the training split, or all of it."""

    per_class: int | None = None
    fraction: float | None = None

    def __str__(self) -> str:
        if self.per_class is not None:
            return str(self.per_class)
        return "full" if self.fraction is None else repr(self.fraction)

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read `10` (per class), `0.01` (fraction of the training split), or `full`.

        Raises:
            UsageError: the text is none of these.
        """
        if text == "full":
            return cls()
        if _WHOLE.fullmatch(text) and int(text) > 0:
            return cls(per_class=int(text))
        if _FRACTION.fullmatch(text) and 0 < float(text) < 1:
            return cls(fraction=float(text))
        raise UsageError(
            f"budget {text!r}: want a whole number of examples per class, a fraction between 0 and 1, or 'full'"
        )


FULL = Budget()


def _shot_sets(task: Task) -> dict[int, str]:
    """The source's own sets, `train-N` by N."""
    return {int(n): split for split in task.splits() if _WHOLE.fullmatch(n := split.removeprefix("train-"))}


def _source(task: Task, budget: Budget) -> str:
    """The split that the rows of a budget come from."""
    shots = _shot_sets(task)
    if budget.per_class in shots:
        return shots[budget.per_class]
    if "train" in task.splits():
        return "train"
    larger = [n for n in shots if budget.per_class is not None and n > budget.per_class]
    if larger:
        return shots[min(larger)]
    offered = ", ".join(map(str, sorted(shots))) or "none"
    raise Unsupported(
        f"{task.card.reference} has no training rows for budget {budget}; its source ships sets of {offered} per class"
    )


def _load_source(task: Task, budget: Budget) -> pl.DataFrame:
    """All rows that a budget is drawn from."""
    source = _source(task, budget)
    try:
        return task.load(source)
    except MissingData as missing:
        others = ", ".join(str(n) for n, split in sorted(_shot_sets(task).items()) if split != source)
        if not others:
            raise
        raise MissingData(
            f"{missing}. Budget {budget} takes its rows from {source} and no other file, so that it means the same "
            f"rows everywhere; budgets with a set of their own: {others}"
        ) from missing


def draws(task: Task, budget: Budget) -> int | None:
    """How many different training sets a budget has on this task: a number where the source fixes it, else None (any).

    Raises:
        Unsupported: the task has no such budget.
        MissingData: the rows are needed to tell and are absent.
    """
    if budget == FULL:
        _source(task, budget)
        return 1
    if budget.per_class is None or _shot_sets(task).get(budget.per_class) is None:
        _source(task, budget)
        return None
    rows = _load_source(task, budget)
    if task.card.kind != "classification":
        return 1 if rows.height <= budget.per_class else None
    return max(1, _smallest_class(rows) // budget.per_class)


def training_rows(task: Task, budget: Budget, draw: int) -> pl.DataFrame:
    """The examples a method may see in one draw of a budget; the same rows for the same arguments, for ever.

    Raises:
        Unsupported: the task has no such budget, or a class has too few rows.
        MissingData: the rows are absent.
    """
    rows = _load_source(task, budget)
    if budget == FULL:
        return rows
    if task.card.kind != "classification":
        return _uniform_draw(rows, budget, draw)
    if budget.per_class is not None and budget.per_class in _shot_sets(task):
        return _file_order_draw(rows, budget.per_class, draw)
    shuffled = rows.with_row_index("_row").with_columns(_rank=pl.Series(_shuffled_rank(rows.height, draw)))
    within = shuffled.with_columns(_place=pl.col("_rank").rank("ordinal").over("label"), _size=pl.len().over("label"))
    if budget.per_class is not None:
        _require(rows, budget.per_class, task)
        chosen = within.filter(pl.col("_place") <= budget.per_class)
    else:
        assert budget.fraction is not None
        chosen = within.filter(pl.col("_place") <= (pl.col("_size") * budget.fraction).round().clip(lower_bound=1))
    return chosen.sort("_row").select(rows.columns)


def _smallest_class(rows: pl.DataFrame) -> int:
    return min(rows["label"].value_counts()["count"].to_list(), default=0)


def _require(rows: pl.DataFrame, per_class: int, task: Task) -> None:
    fewest = _smallest_class(rows)
    if fewest < per_class:
        raise Unsupported(
            f"{task.card.reference}: a class has {fewest} training rows, budget {per_class} per class wants more"
        )


def _shuffled_rank(rows: int, draw: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """A permutation of 0..rows-1 that depends on the draw only."""
    return np.random.default_rng([20231001, draw]).permutation(rows)


def _file_order_draw(rows: pl.DataFrame, per_class: int, draw: int) -> pl.DataFrame:
    """Rows draw·N to (draw+1)·N-1 of each class, in file order; the last draw of a ragged set wraps round."""
    placed = rows.with_columns(_place=pl.int_range(pl.len()).over("label"), _size=pl.len().over("label"))
    number = pl.max_horizontal(pl.col("_size") // per_class, pl.lit(1))
    return placed.filter((pl.col("_place") // per_class) == draw % number).select(rows.columns)


def _uniform_draw(rows: pl.DataFrame, budget: Budget, draw: int) -> pl.DataFrame:
    """A uniform draw; a whole number is a number of examples, where an example is not of one class."""
    wanted = budget.per_class if budget.per_class is not None else round(rows.height * (budget.fraction or 1.0))
    if wanted > rows.height:
        raise Unsupported(f"budget {budget} wants {wanted} rows, the training split has {rows.height}")
    chosen = np.sort(np.argsort(_shuffled_rank(rows.height, draw))[: max(1, wanted)])
    return rows.select(pl.all().gather(chosen))
