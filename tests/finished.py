"""Finished results made up for tests of what comes after a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from frame_task import CARD
from glmbench.evaluation.job import Cost, Job, Result
from glmbench.evaluation.store import Store
from glmbench.models.model import ModelCard

ROWS = 300
RECIPE = {"normalise": "standardise", "penalty": None, "folds": 5}


def add(
    store: Store,
    *,
    task: str = "test/frames@1",
    model: str = "m",
    skill: float,
    seed: int = 0,
    fingerprint: str = "f" * 8,
    method: str = "probe",
    created: str = "2026-01-01",
    budget: str = "full",
    protocol: str = "corrected",
    metric: str = "accuracy",
    kind: str = "model",
    data: str = "d",
    recipe: dict[str, Any] | None = None,
    details: dict[str, Any] | None = None,
    pretraining: dict[str, Any] | None = None,
    species: tuple[str, ...] = (),
) -> None:
    """A finished fit whose predictions are right with a chance that grows with `skill`."""
    rng = np.random.default_rng([int.from_bytes(model.encode(), "little"), seed])
    labels = np.arange(ROWS) % 2
    right = rng.random(ROWS) < 0.5 + skill / 2
    score = np.where(right, labels, 1 - labels).astype(np.float32)
    ids = [str(i) for i in range(ROWS)]
    predictions = pl.DataFrame({"id": ids, "group": ids, "label": labels, "score_0": 1 - score, "score_1": score})
    job = Job(
        task=task,
        data=data,
        model=model,
        fingerprint=fingerprint,
        method=method,
        recipe=recipe or RECIPE,
        budget=budget,
        seed=seed,
        protocol=protocol,
    )
    accuracy = float(right.mean())
    name, _, version = task.partition("@")
    store.put(
        Result(
            job=job,
            status="ok",
            task_card=CARD.model_copy(
                update={"name": name, "version": int(version), "metric": metric, "species": species}
            ),
            model_card=ModelCard.model_validate(
                {
                    "reference": model,
                    "name": model,
                    "fingerprint": fingerprint,
                    "kind": kind,
                    "pretraining": pretraining or {},
                }
            ),
            metrics={"accuracy": accuracy, metric: accuracy},
            ci={"accuracy": (accuracy - 0.05, accuracy + 0.05), metric: (accuracy - 0.05, accuracy + 0.05)},
            details=details or {},
            created=created,
            cost=Cost(wall_s=1, cpu_s=2, fit_s=0.5, predict_s=0.5, peak_memory_mb=100),
        ),
        predictions,
    )
