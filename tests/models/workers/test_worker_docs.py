"""The example of the documentation, as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from worker_cards import load_worker

from glmbench.models import conformance
from glmbench.models.model import Embeds

PAGE = Path(__file__).resolve().parents[3] / "docs" / "workers.md"


def test_the_example_runs(tmp_path: Path) -> None:
    adapter, card = re.findall(r"```(?:python|toml)\n(.*?)```", PAGE.read_text(), re.DOTALL)[:2]
    assert len(adapter.splitlines()) <= 15
    without_environment = re.sub(r"\[environment\]\n.*\n", "", card)
    assert without_environment != card
    (tmp_path / "adapter.py").write_text(adapter)
    (tmp_path / "card.toml").write_text(without_environment)  # that it is built is shown by another test
    model = load_worker(tmp_path, "?scale=2.0")
    assert isinstance(model, Embeds)
    np.testing.assert_allclose(np.asarray(model.embed(["ACGG"])), [[0.5, 0.5, 1, 0]])
    assert all(finding.ok for finding in conformance.check(model))
