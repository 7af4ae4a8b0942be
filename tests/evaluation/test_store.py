from __future__ import annotations

import errno
import os
import shutil
from multiprocessing import get_context
from pathlib import Path

import polars as pl
import pytest

from glmbench.errors import DataError
from glmbench.evaluation.job import Job, Result
from glmbench.evaluation.store import Store, StoreError

PREDICTIONS = pl.DataFrame({"id": ["a"], "group": ["a"], "label": [1], "score_0": [0.5]})


def job(seed: int = 0) -> Job:
    return Job(
        task="t@1", data="d", model="m", fingerprint="f", method="probe", recipe={"C": 1.0}, budget="10", seed=seed
    )


def result(seed: int = 0, **fields: object) -> Result:
    return Result.model_validate({"job": job(seed), "status": "ok", "metrics": {"mcc": 0.5}, **fields})


OTHER = {
    "task": "t@2",
    "data": "e",
    "model": "n",
    "fingerprint": "g",
    "method": "scratch",
    "recipe": {"C": 2.0},
    "budget": "11",
    "seed": 1,
    "limit": 5,
    "precision": "bf16",
    "protocol": "released",
    "schema_version": 2,
}


@pytest.mark.parametrize("field", Job.model_fields)
def test_an_address_depends_on_every_field(field: str) -> None:
    assert job().address == job().address
    assert job().model_copy(update={field: OTHER[field]}).address != job().address


def test_put_and_get(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(result(), PREDICTIONS)
    assert job().address in store
    assert store.get(job().address) == result()
    assert store.predictions(job().address).equals(PREDICTIONS)


def test_a_finished_result_is_never_changed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(result(), PREDICTIONS)
    store.put(result(metrics={"mcc": 0.9}), PREDICTIONS)
    assert store.get(job().address).metrics == {"mcc": 0.5}


def test_an_attempt_stands_until_the_job_is_finished(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put_attempt(result(status="failed", reason="first"))
    store.put_attempt(result(status="skip", reason="second"))
    assert [attempt.reason for attempt in store.attempts()] == ["second"]
    assert job().address not in store
    store.put(result(), PREDICTIONS)
    assert list(store.attempts()) == []


def test_the_index_is_only_a_copy_of_the_folders(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for seed in range(3):
        store.put(result(seed), PREDICTIONS)
    first = store.index()
    assert first["address"].to_list() == sorted(job(seed).address for seed in range(3))
    (tmp_path / "index.parquet").write_bytes(b"not a parquet file")
    assert store.index().equals(first)
    (tmp_path / "index.parquet").unlink()
    assert store.index().equals(first)
    store.put(result(3), PREDICTIONS)
    assert store.index().height == 4


def test_the_index_follows_a_result_that_was_deleted_and_made_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(result(metrics={"mcc": 0.5}), PREDICTIONS)
    assert '"mcc": 0.5' in store.index()["result"][0]
    shutil.rmtree(tmp_path / "results" / job().address)
    assert store.index().height == 0
    store.put(result(metrics={"mcc": 0.125}), PREDICTIONS)
    assert '"mcc": 0.125' in store.index()["result"][0]


def test_what_a_killed_writer_leaves_is_never_read_and_is_swept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    left = tmp_path / "results" / f".tmp-{job().address}-1-abc"
    left.mkdir(parents=True)
    (left / "result.json").write_text("{half")
    assert store.addresses() == set()
    assert store.index().height == 0
    assert store.sweep() == 0  # it may be another process's, at work right now
    os.utime(left, (0, 0))
    assert store.sweep() == 1
    assert not left.exists()


def test_a_broken_result_is_named_with_what_to_do(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(result(), PREDICTIONS)
    (tmp_path / "results" / job().address / "result.json").write_text("{}")
    with pytest.raises(StoreError, match=r"delete .* and run again"):
        store.get(job().address)


def test_nan_never_reaches_a_result(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="NaN"):
        Store(tmp_path).put(result(metrics={"mcc": float("nan")}), PREDICTIONS)
    assert Store(tmp_path).addresses() == set()


@pytest.mark.parametrize(("code", "words"), [(errno.ENOSPC, "full"), (errno.EROFS, "choose another folder")])
def test_a_full_disk_and_a_read_only_store_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    store = Store(tmp_path)
    store.put(result(0), PREDICTIONS)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(StoreError, match=words):
        store.put(result(1), PREDICTIONS)
    assert store.addresses() == {job(0).address}
    assert not list((tmp_path / "results").glob(".tmp-*"))


def _hold(folder: Path, ready: object, done: object) -> None:
    with Store(folder).claim(job().address) as mine:
        assert mine
        ready.set()
        done.wait(30)


def test_a_claim_is_held_by_one_process_and_dies_with_it(tmp_path: Path) -> None:
    context = get_context("spawn")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, ready, done))
    other.start()
    assert ready.wait(30)
    with Store(tmp_path).claim(job().address) as mine:
        assert not mine
    other.kill()
    other.join()
    with Store(tmp_path).claim(job().address) as mine:
        assert mine
