from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from finished import ROWS, add
from glmbench.evaluation.store import Store
from glmbench.report.collect import collect
from glmbench.report.data import Leak, Score

COUNTS = {"exact": 51, "reverse_complement": 0, "near": 83, "of": ROWS, "splits": ["train", "dev"]}


def kept(value: float | None, **counts: Any) -> dict[str, Any]:
    low, high = (None, None) if value is None else (value - 0.1, value + 0.1)
    return {
        "leakage": COUNTS | counts,
        "without_copies": {"rows": ROWS - 120, "value": value, "low": low, "high": high},
    }


def only(store: Store) -> Score:
    (score,) = [score for score in collect(store).scores if score.kind != "published"]
    return score


def test_the_score_without_copies_stands_beside_the_score(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, skill=0.5, details=kept(0.61))
    score = only(store)
    assert (score.copied_rows, score.without_copies) == (120, 0.61)
    assert (score.without_copies_low, score.without_copies_high) == (pytest.approx(0.51), pytest.approx(0.71))


def test_of_several_fits_it_is_the_mean_without_an_interval(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for seed, value in enumerate((0.6, 0.7)):
        add(store, skill=0.5, seed=seed, details=kept(value))
    score = only(store)
    assert score.without_copies == pytest.approx(0.65)
    assert score.without_copies_low is None


def test_a_fit_that_does_not_know_leaves_none(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, skill=0.5, seed=0, details=kept(0.6))
    add(store, skill=0.5, seed=1)
    assert only(store).without_copies is None
    undefined = Store(tmp_path / "undefined")
    add(undefined, skill=0.5, details=kept(None))
    assert (only(undefined).copied_rows, only(undefined).without_copies) == (120, None)


def test_no_copies_and_not_looked_for_are_told_apart(tmp_path: Path) -> None:
    clean, blind, reason = (Store(tmp_path / name) for name in ("clean", "blind", "reason"))
    add(clean, skill=0.5, details={"leakage": COUNTS | {"exact": 0, "near": 0}})
    add(blind, skill=0.5)
    add(reason, skill=0.5, details={"leakage": {"reason": "not looked for: train.csv is missing"}})
    assert [only(store).copied_rows for store in (clean, blind, reason)] == [0, None, None]
    assert collect(clean).tasks[0].leaks == ()
    assert collect(reason).tasks[0].leaks_note == "not looked for: train.csv is missing"
    assert collect(clean).tasks[0].leaks_note == collect(blind).tasks[0].leaks_note == ""


def test_a_task_lists_the_kinds_of_copies_that_occur(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, model="old", skill=0.5)
    add(store, model="new", skill=0.6, details=kept(0.6))
    assert collect(store).tasks[0].leaks == (
        Leak(kind="exact-duplicate", a="train, dev", b="test", count=51, of=ROWS),
        Leak(kind="near-duplicate", a="train, dev", b="test", count=83, of=ROWS),
    )
    assert collect(store).tasks[0].leaks_note == ""


def test_where_near_duplicates_were_not_looked_for_the_task_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, skill=0.5, details=kept(0.6, near=None))
    (task,) = collect(store).tasks
    assert [leak.kind for leak in task.leaks] == ["exact-duplicate"]
    assert "near-duplicates were not looked for" in task.leaks_note


def test_the_corrected_version_is_that_of_the_same_model_method_and_budget(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, task="test/t@1", model="m", skill=0.8, protocol="released")
    add(store, task="test/t@1", model="other", skill=0.8, protocol="released")
    add(store, task="test/t@2", model="m", skill=0.5, created="2026-01-02")
    add(store, task="test/t@2", model="m", skill=0.4, recipe={"normalise": "l2", "penalty": 1.0, "folds": 5})
    add(store, task="test/t@3", model="m", skill=0.1, created="2026-01-09")
    for no_twin in ({"budget": "10"}, {"method": "scratch"}, {"fingerprint": "e" * 8}):
        add(store, task="test/t@2", model="m", skill=0.2, created="2026-01-10", **no_twin)
    scores = collect(store).scores
    of = {(s.task, s.model): s for s in scores if s.budget == "full" and s.method == "probe"}
    first = next(s for (task, model), s in of.items() if task == "test/t@1" and model.startswith("m"))
    latest = [s for s in scores if s.task == "test/t@2" and (s.budget, s.method) == ("full", "probe")]
    assert first.corrected_task == "test/t@2"
    assert first.corrected in [s.value for s in latest]
    assert first.corrected == max(s.value or 0 for s in latest)  # the one made last, and the better one
    assert (first.corrected_low or 0) < (first.corrected or 0) < (first.corrected_high or 0)
    assert of["test/t@1", "other"].corrected is None
    assert of["test/t@1", "other"].corrected_task == ""
    assert all(s.corrected is None for s in scores if s.task == "test/t@3")


def test_a_score_says_whether_the_species_was_seen(tmp_path: Path) -> None:
    store = Store(tmp_path)
    human = {"species": ("Homo sapiens",), "skill": 0.5}
    add(store, model="a", pretraining={"species": ["Homo_sapiens"]}, **human)
    add(store, model="b", pretraining={"species": ["Saccharomyces_cerevisiae_S288C"]}, **human)
    add(store, model="c", pretraining={"species": ["multi-species (850 genomes)"]}, **human)
    add(store, model="d", kind="control", **human)
    assert {s.model: s.species_seen for s in collect(store).scores} == {
        "a": "seen", "b": "not seen", "c": "unknown", "d": ""
    }  # fmt: skip
