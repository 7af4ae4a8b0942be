"""A task over frames in memory, and tables of sequences that a k-mer can tell apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from glmbench.storage.hashing import sha256_json
from glmbench.tasks.card import TaskCard

CARD = TaskCard(
    name="test/frames",
    title="Frames in memory",
    classes=("poor", "rich"),
    metric="mcc",
    metrics=("accuracy", "mcc", "auroc"),
)


class FrameTask:
    """Implements `tasks.task.Task`."""

    def __init__(self, splits: dict[str, pl.DataFrame], card: TaskCard = CARD) -> None:
        self.card = card
        self._splits = splits

    def splits(self) -> tuple[str, ...]:
        return tuple(self._splits)

    def load(self, split: str, *, context: int | None = None) -> pl.DataFrame:
        return self._splits[split]

    def data_hash(self) -> str:
        return sha256_json({name: frame.to_dicts() for name, frame in self._splits.items()})

    def references(self, split: str) -> dict[str, pl.DataFrame]:
        return {}


def gc_rows(rows: int, *, seed: int, split: str = "train", length: int = 40, contrast: float = 0.2) -> pl.DataFrame:
    """Sequences of two classes that differ in GC content."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % 2
    gc = 0.5 + contrast * (labels - 0.5)
    strong = rng.random((rows, length)) < gc[:, None]
    bases = np.where(strong, rng.choice(list("GC"), (rows, length)), rng.choice(list("AT"), (rows, length)))
    ids = [f"{split}/{i}" for i in range(rows)]
    return pl.DataFrame({"id": ids, "sequence": ["".join(row) for row in bases], "label": labels, "group": ids})


def write_table(folder: Path, *, train: int = 120, test: int = 60, seed: int = 0) -> Path:
    """A folder of train.csv and test.csv, as a user would have it."""
    folder.mkdir(parents=True, exist_ok=True)
    for place, (split, rows) in enumerate({"train": train, "test": test}.items()):
        gc_rows(rows, seed=seed + place, split=split).select("sequence", "label").write_csv(folder / f"{split}.csv")
    return folder
