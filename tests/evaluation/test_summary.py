from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from finished import ROWS, add
from glmbench.errors import UsageError
from glmbench.evaluation.aggregate import aggregate, task_weights
from glmbench.evaluation.compare import compare, overall, select
from glmbench.evaluation.store import Store
from glmbench.evaluation.summary import arms, by_its_suite, labels, overcome
from glmbench.methods.registry import make
from glmbench.suites.suite import Aggregate


def test_fits_of_an_arm_are_averaged(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for seed in range(4):
        add(store, skill=0.5, seed=seed)
    (arm,) = arms(store)
    assert len(arm.results) == 4
    assert arm.mean("accuracy") == pytest.approx(np.mean([r.metrics["accuracy"] for r in arm.results]))
    low, high = arm.interval("accuracy")
    assert low < arm.mean("accuracy") < high
    assert arm.mean_cost("cpu_s") == 2


def test_trial_runs_are_left_out(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, skill=0.5)
    trial = next(store.results())
    limited = trial.model_copy(update={"job": trial.job.model_copy(update={"limit": 10})})
    store.put(limited, store.predictions(trial.job.address))
    (arm,) = arms(store)
    assert len(arm.results) == 1


def test_a_model_retrained_in_place_is_told_apart_by_its_fingerprint(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, skill=0.5, fingerprint="a" * 8)
    add(store, skill=0.5, fingerprint="b" * 8)
    assert sorted(labels(arms(store)).values()) == ["m (aaaaaaa)", "m (bbbbbbb)"]


def test_a_large_difference_is_decided_and_a_null_one_is_not(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for model, skill in (("best", 0.9), ("twin", 0.3), ("tied", 0.3)):
        add(store, model=model, skill=skill)
    (standing,) = compare(arms(store))
    assert standing.arms[0].key.model == "best"
    assert standing.ranks == ((1, 1), (2, 3), (2, 3))
    assert {c.difference.units for c in standing.comparisons} == {ROWS}
    assert all(c.q >= c.difference.p for c in standing.comparisons)


def test_the_correction_runs_over_all_cells(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for task in ("a@1", "b@1", "c@1"):
        for model, skill in (("one", 0.5), ("two", 0.4)):
            add(store, task=task, model=model + task, skill=skill)
    comparisons = [c for standing in compare(arms(store)) for c in standing.comparisons]
    p = sorted(c.difference.p for c in comparisons)
    assert max(c.q for c in comparisons) == pytest.approx(max(p))
    assert min(c.q for c in comparisons) == pytest.approx(min(3 * p[0], 3 / 2 * p[1], p[2]))


def test_overall_is_the_mean_difference_over_shared_tasks(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for task in ("a@1", "b@1"):
        add(store, task=task, model="x", skill=0.6)
        add(store, task=task, model="y", skill=0.2)
    found = arms(store)
    (mean,) = overall([select(found, "x"), select(found, "y")])
    assert mean.tasks == ("a@1", "b@1")
    x, y = (np.mean([arm.mean("accuracy") for arm in select(found, m)]) for m in "xy")
    assert mean.difference.estimate == pytest.approx(x - y)
    assert mean.difference.p < 0.01


def test_an_unknown_model_is_answered_with_those_there_are(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, skill=0.5)
    with pytest.raises(UsageError, match="it has: m"):
        select(arms(store), "n")


DECLARED = Aggregate(name="mean", title="Mean", kind="mean-of-groups", groups={"A": ("a", "b"), "C": ("c",)})


def test_weights_of_a_mean_of_groups() -> None:
    assert task_weights(DECLARED) == {"a": 0.25, "b": 0.25, "c": 0.5}
    assert task_weights(DECLARED.model_copy(update={"kind": "mean"})) == pytest.approx(
        {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}
    )


def test_an_aggregate_is_given_only_when_it_is_complete(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, task="a@1", skill=0.2)
    add(store, task="b@1", skill=0.4)
    (partial,) = aggregate(DECLARED, arms(store))
    assert (partial.value, partial.have, partial.of) == (None, 2, 3)
    add(store, task="c@1", skill=0.8)
    (complete,) = aggregate(DECLARED, arms(store))
    means = {arm.key.cell.task: arm.mean("accuracy") for arm in arms(store)}
    assert complete.value == pytest.approx((means["a@1"] + means["b@1"]) / 4 + means["c@1"] / 2)
    assert complete.low is not None
    assert complete.high is not None
    assert complete.low < complete.value < complete.high


def test_of_several_answers_the_newest_counts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for task in ("a@1", "b@1", "c@1"):
        add(store, task=task, skill=0.2, fingerprint="old" * 3, created="2026-01-01")
    for task in ("a@1", "b@1", "c@1"):
        add(store, task=task, skill=0.9, fingerprint="new" * 3, created="2026-02-01")
    (mean,) = aggregate(DECLARED, arms(store))
    newer = {arm.key.cell.task: arm.mean("accuracy") for arm in arms(store) if arm.key.fingerprint == "new" * 3}
    assert mean.value == pytest.approx((newer["a@1"] + newer["b@1"]) / 4 + newer["c@1"] / 2)


def test_an_answer_by_the_suites_recipe_goes_before_a_later_one_by_another(tmp_path: Path) -> None:
    store, own = Store(tmp_path), make("probe", {}).recipe
    for task in ("a@1", "b@1", "c@1"):
        add(store, task=task, skill=0.2, recipe=own, created="2026-01-01")
        add(store, task=task, skill=0.9, recipe=own | {"folds": 3}, created="2026-02-01")
    (mean,) = aggregate(DECLARED, arms(store))
    asked = [arm for arm in arms(store) if by_its_suite(arm)]
    assert [arm.results[0].job.recipe["folds"] for arm in asked] == [5, 5, 5]
    means = {arm.key.cell.task: arm.mean("accuracy") for arm in asked}
    assert mean.value == pytest.approx((means["a@1"] + means["b@1"]) / 4 + means["c@1"] / 2)


def test_overall_keeps_methods_apart_whatever_the_order(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for task in ("a@1", "b@1"):
        add(store, task=task, model="x", skill=0.6)
        add(store, task=task, model="y", skill=0.2)
    add(store, task="a@1", model="x", skill=0.9, method="scratch")
    found = arms(store)
    forward = overall([select(found, "x"), select(found, "y")])
    backward = overall([select(found, "y"), select(found, "x")])
    assert [one.methods for one in forward] == [("probe", "probe")]  # one task by scratch makes no mean
    assert forward[0].tasks == backward[0].tasks == ("a@1", "b@1")
    assert forward[0].difference.estimate == pytest.approx(-backward[0].difference.estimate)


def test_fits_are_paired_by_seed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for seed in (0, 1, 2):
        add(store, model="x", skill=0.6, seed=seed)
    for seed in (0, 2, 3):
        add(store, model="y", skill=0.2, seed=seed)
    (standing,) = compare(arms(store))
    (pair,) = standing.comparisons
    assert pair.difference.fits == (2, 2)
    common = {a.key.model: np.mean([a.values("accuracy")[a.seeds.index(seed)] for seed in (0, 2)]) for a in arms(store)}
    assert abs(pair.difference.estimate) == pytest.approx(common["x"] - common["y"])


def test_single_fits_are_marked(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, model="x", skill=0.6, method="scratch")
    add(store, model="y", skill=0.2)
    (standing,) = compare(arms(store))
    assert "one seed" in standing.comparisons[0].caveat


def test_an_attempt_that_was_answered_since_is_overcome(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, skill=0.5, fingerprint="mended")
    done = next(store.results())
    failed = done.model_copy(update={"status": "failed", "job": done.job.model_copy(update={"fingerprint": "broken"})})
    assert overcome(failed, [done])
    other = failed.model_copy(update={"job": failed.job.model_copy(update={"seed": 7})})
    assert not overcome(other, [done])
