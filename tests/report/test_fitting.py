from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from finished import add
from glmbench.evaluation.store import Store
from glmbench.evaluation.summary import arms
from glmbench.report.data import Fitting
from glmbench.report.fitting import fitting


def of(folder: Path, *details: dict[str, Any]) -> tuple[Fitting | None, list[float]]:
    """What fits with these details say, and their scores."""
    store = Store(folder)
    for seed, kept in enumerate(details):
        add(store, skill=0.2 + 0.3 * seed, seed=seed, method="finetune", details=kept)
    (arm,) = arms(store)
    return fitting(arm), arm.values(arm.metric).tolist()


def test_fits_that_say_nothing_have_no_words(tmp_path: Path) -> None:
    assert of(tmp_path, {}, {"collapsed": None})[0] is None


def test_collapsed_fits_are_counted_among_those_that_know(tmp_path: Path) -> None:
    found, _ = of(tmp_path, {"collapsed": True}, {"collapsed": False}, {"collapsed": None})
    assert found == Fitting(collapsed=1, judged=2)


def test_the_largest_share_of_cut_sequences_is_told(tmp_path: Path) -> None:
    found, _ = of(tmp_path, {"input": {"truncated_share": 0.03}}, {"input": {"truncated_share": 0.0}}, {})
    assert found == Fitting(truncated_share=0.03)


def test_scores_with_and_without_retried_runs(tmp_path: Path) -> None:
    retried = {"collapsed": False, "retries": 2, "before_retry": {"accuracy": 0.5}}
    found, values = of(tmp_path, {"collapsed": False}, retried, {"collapsed": False, "retries": 0})
    assert found is not None
    assert found.retried == 1
    assert found.without_retried == pytest.approx((values[0] + values[2]) / 2)
    assert found.first_attempts == pytest.approx((values[0] + 0.5 + values[2]) / 3)


@pytest.mark.parametrize("retried", [{"retries": 1}, {"retries": 1, "before_retry": {"auroc": 0.5}}])
def test_a_first_attempt_that_was_not_scored_leaves_no_such_score(tmp_path: Path, retried: dict[str, Any]) -> None:
    found, values = of(tmp_path, retried, {})
    assert found is not None
    assert (found.first_attempts, found.without_retried) == (None, pytest.approx(values[1]))


def test_where_every_fit_was_retried_there_is_no_other(tmp_path: Path) -> None:
    found, _ = of(tmp_path, {"retries": 1})
    assert found is not None
    assert (found.retried, found.without_retried) == (1, None)
