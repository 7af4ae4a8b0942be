from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from frame_task import CARD, FrameTask, gc_rows
from glmbench.errors import Unsupported, UsageError
from glmbench.methods.probe import Probe
from glmbench.models.registry import load
from glmbench.tasks.budget import Budget

FULL = Budget()


@pytest.fixture
def task() -> FrameTask:
    return FrameTask({"train": gc_rows(200, seed=1), "test": gc_rows(100, seed=2, split="test")})


def test_a_fixed_penalty_is_scikit_learns_logistic_regression(task: FrameTask) -> None:
    model = load("kmer:3")
    fit = Probe({"normalise": "l2", "penalty": 10.0}).fit(model, task, budget=FULL, seed=0)
    train, test = task.load("train"), task.load("test")

    def dense(rows: pl.DataFrame) -> np.ndarray:
        return normalize(np.asarray(model.embed(rows["sequence"].to_list()), np.float64))

    oracle = LogisticRegression(C=10.0, max_iter=2000).fit(dense(train), train["label"].to_numpy())
    got = fit.predictor.predict(test["sequence"].to_list())
    np.testing.assert_allclose(got, oracle.predict_proba(dense(test)), atol=2e-3)
    assert fit.details["penalty"] == 10.0
    assert fit.details["converged"]


def test_the_tuned_penalty_depends_on_training_rows_only(task: FrameTask) -> None:
    other_test = FrameTask({"train": task.load("train"), "test": gc_rows(100, seed=9, split="test")})
    first, second = (Probe().fit(load("kmer:2"), t, budget=FULL, seed=0) for t in (task, other_test))
    assert first.details == second.details
    assert first.details["inner_cv"]["folds"] == 5


def test_groups_never_stand_on_both_sides_of_an_inner_fold() -> None:
    # every sequence stands twice, its copy with the other label: only grouped folds see that nothing is learnable
    rows = gc_rows(60, seed=3)
    copies = rows.with_columns(id=pl.col("id") + "-copy", label=1 - pl.col("label"))
    doubled = pl.concat([rows, copies])
    fit = Probe().fit(load("kmer:4"), FrameTask({"train": doubled}), budget=FULL, seed=0)
    assert fit.details["inner_cv"]["grouped"]
    assert fit.details["penalty"] == min(Probe().recipe["grid"])


def test_a_class_absent_from_training_gets_probability_zero() -> None:
    card = CARD.model_copy(update={"classes": ("a", "b", "c")})
    task = FrameTask({"train": gc_rows(40, seed=4)}, card)
    scores = Probe().fit(load("kmer:2"), task, budget=FULL, seed=0).predictor.predict(["ACGTACGT"])
    assert scores.shape == (1, 3)
    assert scores[0, 2] == 0
    assert scores.sum() == pytest.approx(1)


def test_regression_is_ridge_and_learns_gc() -> None:
    rows = gc_rows(300, seed=5).with_columns(label=pl.col("sequence").str.count_matches("[GC]").cast(pl.Float64) / 40)
    card = CARD.model_copy(update={"kind": "regression", "metric": "spearman", "metrics": ("spearman",), "classes": ()})
    fit = Probe().fit(load("kmer:1"), FrameTask({"train": rows}, card), budget=FULL, seed=0)
    values = fit.predictor.predict(rows["sequence"].to_list())
    assert values.shape == (300, 1)
    assert np.corrcoef(values[:, 0], rows["label"])[0, 1] > 0.999


@pytest.mark.parametrize(("groups", "folds"), [(3, 3), (2, 2)])
def test_fewer_groups_than_folds_make_fewer_folds(groups: int, folds: int) -> None:
    rows = gc_rows(60, seed=8).with_columns(group=pl.format("chr{}", pl.int_range(pl.len()) // 2 % groups))
    fit = Probe().fit(load("kmer:2"), FrameTask({"train": rows}), budget=FULL, seed=0)
    assert fit.details["inner_cv"]["folds"] == folds


def test_one_group_only_is_no_fold_and_it_says_so() -> None:
    rows = gc_rows(20, seed=8).with_columns(group=pl.lit("chr1"))
    fit = Probe().fit(load("kmer:2"), FrameTask({"train": rows}), budget=FULL, seed=0)
    assert "one group" in fit.details["inner_cv"]["note"]


def test_a_fold_without_every_class_is_left_out_of_the_mean() -> None:
    # class 1 lies in one group only: the fold that holds it out cannot be fitted, the others can
    rows = gc_rows(80, seed=9).with_columns(
        group=pl.when(pl.col("label") == 1).then(pl.lit("x")).otherwise(pl.col("id"))
    )
    fit = Probe().fit(load("kmer:2"), FrameTask({"train": rows}), budget=FULL, seed=0)
    assert 0 < fit.details["inner_cv"]["folds"] < 5
    assert np.isfinite(fit.details["inner_cv"]["log_loss"])


def test_two_rows_of_a_class_are_too_few_for_a_fold_and_it_says_so() -> None:
    rows = gc_rows(2, seed=6)
    fit = Probe().fit(load("kmer:1"), FrameTask({"train": rows}), budget=FULL, seed=0)
    assert "no inner cross-validation" in fit.details["inner_cv"]["note"]


def test_one_class_only_is_unsupported() -> None:
    rows = gc_rows(10, seed=7).filter(pl.col("label") == 0)
    with pytest.raises(Unsupported, match="one class"):
        Probe().fit(load("kmer:1"), FrameTask({"train": rows}), budget=FULL, seed=0)


def test_a_model_without_features_is_unsupported(task: FrameTask) -> None:
    with pytest.raises(Unsupported, match="needs a model that embeds"):
        Probe().fit(load("onehot-cnn"), task, budget=FULL, seed=0)


@pytest.mark.parametrize("recipe", [{"penality": 1.0}, {"normalise": "zscore"}, {"folds": "many"}])
def test_a_wrong_recipe_is_refused_by_name(recipe: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(recipe))):
        Probe(recipe)
