"""The noun Task: what is asked. It knows data and nothing of models.

Examples are a plain polars frame, one row per labelled sequence:

| column       | type             | meaning                                                            |
|--------------|------------------|--------------------------------------------------------------------|
| `id`         | String, unique   | `<split>/<row in the source file, from 0>`                         |
| `sequence`   | String           | upper-case bases, U read as T (N and IUPAC codes are kept)         |
| `sequence_2` | String           | the second sequence of a pair; only tasks of pairs have the column |
| `label`      | by the kind      | see below                                                          |
| `group`      | String           | what must not be split or resampled apart; the id where alone      |

| kind           | `label`     | meaning                                                              |
|----------------|-------------|----------------------------------------------------------------------|
| classification | Int64       | class index from 0                                                   |
| regression     | Float64     | the measured value                                                   |
| multilabel     | List(Int64) | 0 or 1 for each label that the card's `classes` name                 |
| per-base       | List(Int64) | class index of every base of the sequence; -1 where there is none    |

Predictions are a plain polars frame over the examples of one split: `id`, `group`, `label`, and `score_0`, `score_1`, …
(one column per class: log-odds or probabilities that order the classes; one column `score_0` for a regression; of
several labels, `score_j` is the probability of label j). Those of a per-base task are of a classification with one row
for each labelled base (see `metrics.predictions.per_base_frame`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from glmbench.tasks.card import TaskCard

EXAMPLE_COLUMNS = ("id", "sequence", "label", "group")
"""The columns that examples of every task have."""


class Task(Protocol):
    """What is asked of a model. Implementations: `tasks.table`, `tasks.derived`, `tasks.simulated`."""

    @property
    def card(self) -> TaskCard:
        """The card of this version."""

    def splits(self) -> tuple[str, ...]:
        """Names of the splits: `train`, `dev`, `test`, and the source's own shot sets (`train-10`: 10 per class)."""

    def load(self, split: str, *, context: int | None = None) -> pl.DataFrame:
        """Examples of one split; with `context`, sequences are cut to their central `context` bp.

        Raises:
            MissingData: the file is absent and could not be fetched; says how to get it.
            DataError: the file is there but not what the card says.
        """

    def data_hash(self) -> str:
        """Hexadecimal SHA-256 over everything that decides what `load` returns.

        Raises:
            MissingData: as `load`.
        """

    def references(self, split: str) -> dict[str, pl.DataFrame]:
        """Predictions of what is not a model, by name: `bayes-optimal` of a simulated task; else empty."""


@dataclass(frozen=True)
class LetterCounts:
    """How many sequences of a file had letters other than upper-case A, C, G, T, and what became of them."""

    rows: int = 0
    """Sequences that were read; of a pair both count."""
    lower_case: int = 0
    """With lower-case letters: read as upper case."""
    uracil: int = 0
    """With U: read as T."""
    ambiguous: int = 0
    """With N or another IUPAC code: kept."""


@runtime_checkable
class ReportsLetters(Protocol):
    """A task read from text, which can say what the alphabet policy did; optional, test with `isinstance`."""

    def letters(self, split: str) -> LetterCounts:
        """Counts over the file of one split, before any row is removed or cut.

        Raises:
            UsageError, MissingData, DataError, Unsupported: as `load`.
        """


def is_paired(examples: pl.DataFrame) -> bool:
    """Whether each example is a pair of sequences: the columns `sequence` and `sequence_2`."""
    return "sequence_2" in examples.columns


def class_count(card: TaskCard, labels: NDArray[np.int64]) -> int:
    """Number of classes: as the card names them, and never fewer than the labels show."""
    return max(len(card.classes), int(labels.max()) + 1, 2)
