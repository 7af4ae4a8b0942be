"""The nouns Job and Result. A job's address is the hash of its canonical JSON; a result stands at that address."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from glmbench.models.model import ModelCard
from glmbench.storage.hashing import sha256_json
from glmbench.tasks.card import TaskCard

SCHEMA = 1


class Job(BaseModel):
    """One model meeting one task by one method, once. Every field decides the numbers; nothing else is a field."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    """With its version, as in `genemask/prom-core@2`."""
    data: str | None
    """Hash of the task's data; None where they are absent, and the job can only be skipped."""
    model: str
    """Canonical model reference."""
    fingerprint: str | None
    """Content fingerprint of the model; None where it could not be loaded."""
    method: str
    recipe: dict[str, Any]
    """The recipe as resolved for this model, task, budget and protocol."""
    budget: str
    """`10` (per class), `0.01` (fraction), or `full`."""
    seed: int
    """Index of the draw of labelled rows, and seed of everything random in the fit."""
    limit: int | None = None
    """At most so many rows of every split, for a trial run; results with a limit are never on a leaderboard."""
    precision: Literal["fp32", "bf16"] = "fp32"
    protocol: str = "corrected"
    schema_version: int = SCHEMA

    @cached_property
    def address(self) -> str:
        """Where the result stands in a store."""
        return sha256_json(self.model_dump())


class Cost(BaseModel):
    """What a job cost. Seconds of wall clock and of CPU (all threads), and the process's peak memory."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    wall_s: float
    cpu_s: float
    fit_s: float
    predict_s: float
    peak_memory_mb: float
    energy_j: float | None = None
    """Only if measured."""


class Result(BaseModel):
    """What stands at a job's address: metrics with intervals, or why there are none. Predictions lie beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: Job
    status: Literal["ok", "skip", "failed"]
    task_card: TaskCard | None = None
    """The card as it was, without its files: a store can be read where the task is unknown."""
    model_card: ModelCard | None = None
    metrics: dict[str, float] = Field(default_factory=dict)
    ci: dict[str, tuple[float, float]] = Field(default_factory=dict)
    """95 % intervals over the resample unit, for this one fit."""
    counts: dict[str, int] = Field(default_factory=dict)
    """Rows: `train`, `test`, and what was dropped or altered."""
    details: dict[str, Any] = Field(default_factory=dict)
    """What the method kept of the fit (`methods.method.Fit.details`)."""
    reason: str | None = None
    """For a skip or a failure: what was missing or went wrong, and what to do."""
    trace: str | None = None
    cost: Cost | None = None
    environment: dict[str, Any] = Field(default_factory=dict)
    created: str = ""
    """ISO 8601, UTC."""
