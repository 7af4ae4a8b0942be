"""Tasks and models, opened once and shared by the jobs that need them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from glmbench.models import registry
from glmbench.models.embedding_cache import with_cache
from glmbench.models.model import Model
from glmbench.storage.fetch import Access
from glmbench.tasks.card import TaskCard
from glmbench.tasks.registry import open_task
from glmbench.tasks.task import LetterCounts, ReportsLetters, Task


@dataclass
class Objects:
    """What a run has open. `given` are models made in Python, by reference; they are not looked up."""

    access: Access = field(default_factory=Access)
    trust_remote_code: bool = False
    given: Mapping[str, Model] = field(default_factory=dict)
    _tasks: dict[tuple[str, int | None], Task] = field(default_factory=dict)
    _models: dict[str, Model] = field(default_factory=dict)

    def task(self, reference: str, limit: int | None = None) -> Task:
        """The task of a reference; with `limit`, a view of at most so many rows of every split."""
        key = (reference, limit)
        if key not in self._tasks:
            whole = open_task(reference, self.access) if limit is None else self.task(reference)
            self._tasks[key] = whole if limit is None else LimitedTask(whole, limit)
            self._tasks[(whole.card.reference, limit)] = self._tasks[key]
        return self._tasks[key]

    def model(self, reference: str) -> Model:
        """The model of a reference, with all that it can do."""
        if reference in self.given:
            return self.given[reference]
        if reference not in self._models:
            model = registry.load(reference, trust_remote_code=self.trust_remote_code, offline=self.access.offline)
            self._models[reference] = model
        return self._models[reference]

    def embedder(self, reference: str) -> Model:
        """The model of a reference for its embeddings alone: behind the embedding cache where that pays."""
        model = self.model(reference)
        return model if reference in self.given else with_cache(model, self.access.cache / "embeddings")

    def without_cache(self, reference: str) -> Objects:
        """The same open tasks, and one model in front of its embedding cache: for timing it."""
        return replace(self, given={reference: self.model(reference)})

    def forget_models(self, keep: str) -> None:
        """Drop loaded models but one: weights are large, and jobs come model by model."""
        for reference in [r for r in self._models if r != keep]:
            del self._models[reference]


@dataclass(frozen=True)
class LimitedTask:
    """A view of a task with at most `limit` rows a split, drawn once and for all, in file order."""

    base: Task
    limit: int

    @property
    def card(self) -> TaskCard:
        """The card of the whole task."""
        return self.base.card

    def splits(self) -> tuple[str, ...]:
        """As the whole task."""
        return self.base.splits()

    def load(self, split: str, *, context: int | None = None) -> pl.DataFrame:
        """At most `limit` examples of a split."""
        return self._thin(self.base.load(split, context=context))

    def data_hash(self) -> str:
        """As the whole task: the limit is a field of the job."""
        return self.base.data_hash()

    def references(self, split: str) -> dict[str, pl.DataFrame]:
        """The whole task's references on the rows kept."""
        return {name: self._thin(frame) for name, frame in self.base.references(split).items()}

    def letters(self, split: str) -> LetterCounts:
        """As the whole task's files have them."""
        return self.base.letters(split) if isinstance(self.base, ReportsLetters) else LetterCounts()

    def _thin(self, rows: pl.DataFrame) -> pl.DataFrame:
        if rows.height <= self.limit:
            return rows
        chosen = np.random.default_rng(self.limit).choice(rows.height, self.limit, replace=False)
        thinned: pl.DataFrame = rows[np.sort(chosen).tolist()]
        return thinned
