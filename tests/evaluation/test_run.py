from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import matthews_corrcoef

from frame_task import write_table
from glmbench.evaluation.job import Result
from glmbench.evaluation.objects import Objects
from glmbench.evaluation.plan import plan
from glmbench.evaluation.request import Request
from glmbench.evaluation.run import Outcome, run
from glmbench.evaluation.store import Store
from glmbench.models.callable import from_callable
from glmbench.models.model import Model
from glmbench.storage.fetch import Access


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects(Access(cache=tmp_path / "cache", offline=True))


def gc(sequences: Sequence[str]) -> np.ndarray:
    return np.array([[(s.count("G") + s.count("C")) / len(s)] for s in sequences], np.float32)


def run_all(store: Store, objects: Objects, **fields: object) -> list[Outcome]:
    request = Request(**{"controls": False, "budgets": ("full",), **fields})
    return list(run(plan(request, objects), store, objects))


def given(objects: Objects, model: Model) -> Objects:
    return Objects(objects.access, given={model.card.reference: model})


def test_metrics_are_those_of_the_kept_predictions(objects: Objects, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (outcome,) = run_all(store, objects, models=("kmer:2",), tasks=(str(write_table(tmp_path / "t")),))
    kept = store.predictions(outcome.result.job.address)
    assert kept.columns == ["id", "group", "label", "score_0", "score_1"]
    predicted = (kept["score_1"] > kept["score_0"]).cast(pl.Int64)
    assert outcome.result.metrics["mcc"] == pytest.approx(matthews_corrcoef(kept["label"], predicted))
    low, high = outcome.result.ci["mcc"]
    assert low < outcome.result.metrics["mcc"] < high
    assert outcome.result.cost is not None
    assert outcome.result.counts == {"train": 120, "test": 60}


def test_running_again_does_nothing_again(objects: Objects, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    fields = {"models": ("kmer:2", "kmer:1"), "tasks": (str(write_table(tmp_path / "t")),), "budgets": ("5", "full")}
    first, second = run_all(store, objects, **fields), run_all(store, objects, **fields)
    assert [o.found for o in first] == [False] * 8
    assert [o.found for o in second] == [True] * 8
    assert [o.result for o in first] == [o.result for o in second]


def test_a_reference_is_scored_like_a_model(objects: Objects, tmp_path: Path) -> None:
    outcomes = run_all(Store(tmp_path), objects, models=("kmer:2",), tasks=("sim/promoter",), budgets=("20",), seeds=1)
    scores = {o.result.job.model: o.result.metrics["mcc"] for o in outcomes}
    assert scores["reference:bayes-optimal"] > scores["kmer:2"]


def raising(sequences: Sequence[str]) -> np.ndarray:
    raise RuntimeError("out of cheese")


def not_a_number(sequences: Sequence[str]) -> np.ndarray:
    return np.full((len(sequences), 2), np.nan, np.float32)


def wrong_shape(sequences: Sequence[str]) -> np.ndarray:
    return np.zeros((len(sequences) + 1, 2), np.float32)


@pytest.mark.parametrize(
    ("function", "words"), [(raising, "out of cheese"), (not_a_number, "NaN"), (wrong_shape, "121")]
)
def test_a_broken_model_fails_by_name_and_the_rest_goes_on(
    objects: Objects, tmp_path: Path, function: object, words: str
) -> None:
    broken = from_callable(function, name="broken", version="1")
    store = Store(tmp_path / "store")
    outcomes = run_all(
        store,
        given(objects, broken),
        models=(broken.card.reference, "kmer:1"),
        tasks=(str(write_table(tmp_path / "t")),),
    )
    assert [o.result.status for o in outcomes] == ["failed", "ok"]
    (kept,) = store.attempts()
    assert words in (kept.reason or "")
    mended = from_callable(gc, name="broken", version="2")
    again = run_all(store, given(objects, mended), models=(mended.card.reference,), tasks=(str(tmp_path / "t"),))
    assert [o.result.status for o in again] == ["ok"]


def test_broken_data_and_broken_models_fail_and_the_rest_goes_on(
    objects: Objects, tmp_path: Path, shared_data: Path
) -> None:
    store = Store(tmp_path / "store")
    broken = tmp_path / "mirror" / "gue"
    broken.mkdir(parents=True)
    whole = (shared_data / "gue" / "GUE.zip").read_bytes()
    (broken / "GUE.zip").write_bytes(whole[: len(whole) // 2])
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    (checkpoint / "config.json").write_text('{"model_type": "bert", "hidden_size": "x"}')
    mirrored = Objects(Access(cache=tmp_path / "cache", mirror=str(tmp_path / "mirror"), offline=True))
    outcomes = run_all(
        store,
        mirrored,
        models=(f"hf:{checkpoint}", "kmer:1"),
        tasks=("gue/mouse/2", str(write_table(tmp_path / "t"))),
    )
    statuses = {(o.result.job.task, o.result.job.model.partition(":")[0]): o.result.status for o in outcomes}
    assert statuses == {
        ("gue/mouse/2@1", "hf"): "failed",
        ("gue/mouse/2@1", "kmer"): "failed",
        ("t@1", "hf"): "failed",
        ("t@1", "kmer"): "ok",
    }
    reasons = [attempt.reason or "" for attempt in store.attempts()]
    assert any("GUE.zip" in reason for reason in reasons)


def test_a_model_changed_in_place_gets_a_new_address(objects: Objects, tmp_path: Path) -> None:
    store, table = Store(tmp_path / "store"), str(write_table(tmp_path / "t"))
    for version in ("1", "2"):
        model = from_callable(gc, name="mine", version=version)
        (outcome,) = run_all(store, given(objects, model), models=(model.card.reference,), tasks=(table,))
        assert not outcome.found
    assert len(store.addresses()) == 2


def test_long_runs_of_n_and_rows_of_one_base_are_no_trouble(objects: Objects, tmp_path: Path) -> None:
    folder = write_table(tmp_path / "t")
    with (folder / "test.csv").open("a") as file:
        file.write("N" * 1000 + ",1\nA,0\n")
    (outcome,) = run_all(Store(tmp_path / "store"), objects, models=("kmer:3",), tasks=(str(folder),))
    assert outcome.result.status == "ok"
    assert outcome.result.counts["test"] == 62


def test_a_limit_is_another_address_and_fewer_rows(objects: Objects, tmp_path: Path) -> None:
    table = str(write_table(tmp_path / "t"))
    (outcome,) = run_all(Store(tmp_path / "s"), objects, models=("kmer:1",), tasks=(table,), limit=30)
    assert outcome.result.counts == {"train": 30, "test": 30}
    assert outcome.result.job.limit == 30


COMMAND = ("run", "--no-controls", "--budget", "3", "--budget", "5", "--seeds", "4", "--offline")


def spawn(table: Path, store: Path, *models: str) -> subprocess.Popen[bytes]:
    chosen = [word for model in models for word in ("-m", model)]
    call = [sys.executable, "-m", "glmbench", *COMMAND, "-t", str(table), "--store", str(store), *chosen]
    return subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def written(store: Store) -> dict[str, tuple[bytes, bytes]]:
    """The bytes of every finished result."""
    folder = store.folder / "results"
    return {
        a: ((folder / a / "result.json").read_bytes(), (folder / a / "predictions.parquet").read_bytes())
        for a in store.addresses()
    }


def test_kill_at_any_moment_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    table, store = write_table(tmp_path / "t"), Store(tmp_path / "store")
    models, jobs = ("kmer:1", "kmer:2", "kmer:3"), 3 * 2 * 4
    chance, kept, kills = random.Random(0), {}, 0
    while kills < 4 and len(kept) < jobs:
        process = spawn(table, store.folder, *models)
        before = len(kept)
        while process.poll() is None and len(store.addresses()) <= before:
            time.sleep(0.01)  # let it get to work, whatever the start-up takes
        time.sleep(chance.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
        now = written(store)
        assert {a: now[a] for a in kept} == kept  # finished work stays as it was
        for address in now:  # and whatever has appeared is whole
            assert isinstance(store.get(address), Result)
            assert store.predictions(address).height == 60
        kept = now
    assert kills > 1
    process = spawn(table, store.folder, *models)
    out, err = process.communicate()
    assert process.returncode == 0, err.decode()
    final = written(store)
    assert {a: final[a] for a in kept} == kept
    assert len(final) == jobs
    assert f"{len(kept)} found finished" in out.decode()


def test_two_runs_over_one_store_share_the_work(tmp_path: Path) -> None:
    table, store = write_table(tmp_path / "t"), Store(tmp_path / "store")
    both = [spawn(table, store.folder, "kmer:1", "kmer:2") for _ in range(2)]
    found = 0
    for process in both:
        out, err = process.communicate()
        assert process.returncode == 0, err.decode()
        found += int(re.search(r"(\d+) found finished", out.decode())[1])
    jobs = 2 * 2 * 4
    assert len(store.addresses()) == jobs
    assert found == jobs  # what one made the other found: nothing was done twice
    assert list(store.attempts()) == []
    assert not list((store.folder / "results").glob(".tmp-*"))
