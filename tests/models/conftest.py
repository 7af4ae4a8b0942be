"""Tiny random checkpoints of several architectures, saved as anyone would save them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tiny_checkpoints import save


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of an architecture's checkpoint; copy it before changing anything."""
    made: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in made:
            made[kind] = save(tmp_path_factory.mktemp("checkpoints") / kind, kind)
        return made[kind]

    return folder


@pytest.fixture(scope="session")
def sequences() -> list[str]:
    """Sequences of 3 to 60 bp, a few of the same length, one with an unknown base, one in lower case."""
    rng = np.random.default_rng(0)
    drawn = ["".join(rng.choice(list("ACGT"), length)) for length in [30, 3, 60, 17, 17, 44, 5, 60, 31]]
    return [*drawn, "ACGNNTTGCA", "acgtgca"]
