"""Fixtures every room's tests may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does, before anything imports torch

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the checkout (`shared/data`)."""
    if not (SHARED_DATA / "MANIFEST.sha256").is_file():
        pytest.skip("real data are not here: no folder shared/data beside the checkout")
    return SHARED_DATA


@pytest.fixture(scope="session", autouse=True)
def _private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test and no fixture reads or writes the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLMBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        yield
