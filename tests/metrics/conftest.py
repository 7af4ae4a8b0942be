"""Predictions for tests of the metrics room."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
import pytest
from numpy.typing import ArrayLike

MakeFrame = Callable[..., pl.DataFrame]


@pytest.fixture(scope="session")
def frame() -> MakeFrame:
    def make(labels: ArrayLike, scores: ArrayLike, groups: Sequence[str] | None = None) -> pl.DataFrame:
        columns = np.asarray(scores, dtype=float).reshape(len(np.asarray(labels)), -1)
        ids = [f"test/{i}" for i in range(len(columns))]
        named = {f"score_{c}": columns[:, c] for c in range(columns.shape[1])}
        return pl.DataFrame({"id": ids, "group": groups or ids, "label": np.asarray(labels), **named})

    return make
