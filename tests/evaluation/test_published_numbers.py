"""The GeneMask baselines (scikit-learn logistic regression, `released` protocol) on the real files.

Figures: our own earlier computation with scikit-learn alone, kept with the specification of the suite, section 6.2.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from glmbench.evaluation.objects import Objects
from glmbench.evaluation.plan import plan
from glmbench.evaluation.request import Request
from glmbench.evaluation.run import run
from glmbench.evaluation.store import Store
from glmbench.storage.fetch import Access

PROM_CORE = {
    "kmer:3": (0.593, 0.678, 0.687, 0.731, 0.737),
    "kmer:5": (0.589, 0.619, 0.644, 0.681, 0.702),
    "kmer:6": (0.581, 0.607, 0.628, 0.675, 0.697),
    "kmer:pos1": (0.536, 0.527, 0.550, 0.576, 0.613),
}
SPLICE_40 = {"kmer:5": (0.393, 0.452), "kmer:pos3": (0.549, 0.706)}


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("task", "budgets", "expected", "draws"),
    [
        ("genemask/prom-core", ("10", "50", "100", "500", "1000"), PROM_CORE, 1),
        ("genemask/splice-40", ("10", "50"), SPLICE_40, 10),
    ],
)
def test_released_accuracies(
    tmp_path: Path,
    shared_data: Path,
    task: str,
    budgets: tuple[str, ...],
    expected: dict[str, tuple[float, ...]],
    draws: int,
) -> None:
    objects = Objects(Access(cache=tmp_path, mirror=str(shared_data), offline=True))
    request = Request(
        models=tuple(expected), tasks=(task,), budgets=budgets, protocol="released", seeds=10, controls=False
    )
    results = [outcome.result for outcome in run(plan(request, objects), Store(tmp_path / "store"), objects)]
    assert len(results) == len(expected) * len(budgets) * draws
    for model, accuracies in expected.items():
        for budget, accuracy in zip(budgets, accuracies, strict=True):
            fits = [r.metrics["accuracy"] for r in results if (r.job.model, r.job.budget) == (model, budget)]
            assert len(fits) == draws
            assert np.mean(fits) == pytest.approx(accuracy, abs=0.01), (model, budget)
