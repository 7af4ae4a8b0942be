"""Where networks are trained and run."""

from __future__ import annotations

import pytest
import torch

from glmbench.training.device import preferred_device


@pytest.mark.parametrize(("there", "kind"), [(True, "cuda"), (False, "cpu")])
def test_a_gpu_is_used_where_there_is_one(monkeypatch: pytest.MonkeyPatch, there: bool, kind: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert preferred_device() == torch.device(kind)
