"""What a job is given to work with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from frame_task import write_table
from glmbench.errors import Unsupported
from glmbench.evaluation.execute import execute
from glmbench.evaluation.objects import Objects
from glmbench.evaluation.plan import plan
from glmbench.evaluation.request import Request
from glmbench.methods import registry
from glmbench.storage.fetch import Access


def test_long_trainings_keep_their_checkpoints_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = Objects(Access(cache=tmp_path / "cache", offline=True))
    task = str(write_table(tmp_path / "table"))
    asked = plan(Request(models=("onehot-cnn",), tasks=(task,), budgets=("full",), seeds=1, controls=False), objects)
    folders: list[Path] = []

    def make(name: str, recipe: dict[str, Any], checkpoints: Path) -> None:
        folders.append(checkpoints)
        raise Unsupported("far enough")

    monkeypatch.setattr(registry, "make", make)
    (job,) = asked.jobs
    assert execute(job, objects).result.reason == "far enough"
    assert folders == [tmp_path / "cache" / "training"]
