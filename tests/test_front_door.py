from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import glmbench
from frame_task import write_table


def gc(sequences: Sequence[str]) -> np.ndarray:
    return np.array([[s.count("G") + s.count("C")] for s in sequences], np.float32)


def test_every_public_name_is_there() -> None:
    assert all(getattr(glmbench, name) is not None for name in glmbench.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = glmbench.nonsense


def test_import_costs_nothing() -> None:
    code = "import glmbench, sys; print(any(m in sys.modules for m in ('numpy', 'pydantic', 'torch')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_callable_runs_beside_controls_as_the_readme_says(tmp_path: Path) -> None:
    model = glmbench.from_callable(gc, name="mine", version="1")
    objects = glmbench.Objects(given={model.card.reference: model})
    table = str(write_table(tmp_path / "mine"))
    request = glmbench.Request(models=(model.card.reference,), tasks=(table,), controls=False)
    (outcome,) = glmbench.run(glmbench.plan(request, objects), glmbench.Store(str(tmp_path / "s")), objects)
    assert outcome.result.metrics["mcc"] > 0.3
    (arm,) = glmbench.arms(glmbench.Store(tmp_path / "s"))
    assert arm.key.model == model.card.reference
