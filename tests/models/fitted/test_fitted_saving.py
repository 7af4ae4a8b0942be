"""What is kept of a fit: that it answers the same again, what stands beside the weights, and full disks."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from fitted_predictors import KINDS, about, answers, card, fit, inputs, saved
from safetensors import safe_open
from safetensors.torch import load_file

from glmbench.evaluation.job import Job, Result
from glmbench.evaluation.store import Store, StoreError
from glmbench.models.fitted.saving import is_small, save
from glmbench.models.registry import load
from small_file_system import mounted

Checkpoint = Callable[[str], Path]
MODELS = ("bert", "dnabert2", "gpt2")


def fitted(name: str, checkpoint: Checkpoint) -> Any:
    kind = KINDS[name]
    return fit(kind, kind.model.format(**{model: checkpoint(model) for model in MODELS if model in kind.model}))


@pytest.mark.parametrize("name", KINDS)
def test_a_predictor_that_was_kept_answers_the_same(name: str, checkpoint: Checkpoint, tmp_path: Path) -> None:
    kind, predictor = KINDS[name], fitted(name, checkpoint)
    folder = saved(predictor, kind, tmp_path / "kept")
    assert sorted(path.name for path in folder.iterdir()) == ["fitted.json", "weights.safetensors"]
    again = load(f"fitted:{folder}")
    asked = inputs(kind)
    wanted, got = answers(predictor, asked), answers(again, asked)
    assert wanted.std(axis=0).max() > 1e-4, "they tell sequences apart"
    assert type(again) is type(predictor)
    np.testing.assert_array_equal(got, wanted)
    if hasattr(predictor, "notes"):
        assert again.notes(asked) == predictor.notes(asked)
        for setting in ("target", "form", "precision", "reverse_complements", "batch_codes"):
            assert getattr(again, setting) == getattr(predictor, setting), setting
    assert again.card.pairs == kind.pairs
    assert again.card.several_labels == (kind.labels == "labels")
    assert again.card.outputs == (() if kind.labels == "values" else card(kind.labels).classes)
    assert again.card.reference == f"fitted:{folder}"
    if kind.method in ("lora", "probe"):
        assert is_small(predictor)
        assert is_small(again)
    else:
        assert not is_small(predictor)


def test_what_stands_beside_the_weights(checkpoint: Checkpoint, tmp_path: Path) -> None:
    predictor = fitted("lora of some layers", checkpoint)
    folder = saved(predictor, KINDS["lora of some layers"], tmp_path / "kept")
    written = json.loads((folder / "fitted.json").read_text())
    assert written["model"] == f"hf:{checkpoint('bert')}"
    assert written["fingerprint"] == load(written["model"]).card.fingerprint
    assert [written[name] for name in ("method", "task", "budget", "seed")] == ["lora", "test/frames@1", "full", 3]
    assert written["part"] == "adapters"
    assert written["form"]["lora"] == {"rank": 2, "alpha": 16, "dropout": 0.05, "targets": ["query", "value"]}
    assert written["target"] == {"kind": "classes", "outputs": 2, "mean": 0.0, "scale": 1.0}
    with safe_open(folder / "weights.safetensors", "pt") as stored:
        names = set(stored.keys())
    assert {name.split(".")[-2] for name in names if "lora_" not in name} == {"dense", "classifier"}
    assert {name.partition(".lora_")[0].rpartition(".")[2] for name in names if "lora_" in name} == {"query", "value"}


def test_a_whole_network_is_kept_whole(checkpoint: Checkpoint, tmp_path: Path) -> None:
    predictor = fitted("finetune", checkpoint)
    folder = saved(predictor, KINDS["finetune"], tmp_path / "kept")
    kept = load_file(folder / "weights.safetensors")
    state = predictor.module.state_dict()
    assert set(kept) == set(state)
    assert all(torch.equal(kept[name], state[name]) for name in state)


def test_the_folder_of_a_model_is_written_out(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkpoint("bert").parent)
    kind = KINDS["probe of a checkpoint"]
    predictor = fit(kind, "hf:./bert?layer=1&pool=max")
    folder = saved(predictor, kind, tmp_path / "kept")
    assert json.loads((folder / "fitted.json").read_text())["model"] == f"hf:{checkpoint('bert')}?layer=1&pool=max"
    monkeypatch.chdir(tmp_path)
    asked = inputs(kind)
    np.testing.assert_array_equal(answers(load("fitted:kept"), asked), answers(predictor, asked))


def test_a_model_that_nothing_was_fitted_of_leaves_the_folder_empty(tmp_path: Path) -> None:
    model = load("kmer:2")
    assert not list(saved(model, KINDS["probe"], tmp_path / "kept").iterdir())
    assert not is_small(model)


NETWORKS = ("finetune", "lora", "scratch")


def result() -> Result:
    job = Job(task="t@1", data="d", model="m", fingerprint="f", method="x", recipe={}, budget="full", seed=0)
    return Result(job=job, status="ok", metrics={"mcc": 0.5})


PREDICTIONS = pl.DataFrame({"id": ["a"], "group": ["a"], "label": [1], "score_0": [0.5]})


def refuse(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_while_a_linear_model_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = fit(KINDS["probe"], "kmer:2")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", refuse)
        with pytest.raises(OSError, match="No space left") as caught:
            saved(predictor, KINDS["probe"], tmp_path / "kept")
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("words", "code"), [("No space left on device (os error 28)", errno.ENOSPC),
                                             ("Input/output error (os error 5)", errno.EIO)])  # fmt: skip
def test_what_stops_the_writing_of_a_network_has_its_number(
    name: str, words: str, code: int, checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors import SafetensorError

    from glmbench.training import checkpoint as checkpoints

    def full(*_: object, **__: object) -> None:
        raise SafetensorError(f"Error while serializing: I/O error: {words}")

    predictor = fitted(name, checkpoint)
    monkeypatch.setattr(checkpoints, "save_model", full)
    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(OSError, match="I/O error") as caught:
        saved(predictor, KINDS[name], tmp_path / "kept")
    assert caught.value.errno == code
    assert caught.value.filename == str(tmp_path / "kept" / "weights.safetensors")
    store, address = Store(tmp_path / "store"), result().job.address
    store.put(result(), PREDICTIONS)
    with pytest.raises(StoreError, match="full" if code == errno.ENOSPC else "choose another folder"):
        store.put_fitted(address, lambda folder: save(predictor, about(KINDS[name]), folder))
    assert not store.has_fitted(address)
    assert store.get(address) == result(), "the result stays"
    left = sorted(path.name for path in (tmp_path / "store" / "results" / address).iterdir())
    assert left == ["predictions.parquet", "result.json"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 100 kB; needs the right to mount one."""
    with mounted(tmp_path / "disk", 100) as folder:
        yield folder


def test_on_a_disk_that_is_really_too_small(small_disk: Path, checkpoint: Checkpoint) -> None:
    store, address = Store(small_disk / "store"), result().job.address
    whole, few = fitted("scratch", checkpoint), fitted("probe", checkpoint)
    store.put(result(), PREDICTIONS)
    with pytest.raises(StoreError, match="full"):
        store.put_fitted(address, lambda folder: save(whole, about(KINDS["scratch"]), folder))
    left = sorted(path.name for path in (store.folder / "results" / address).iterdir())
    assert left == ["predictions.parquet", "result.json"]
    store.put_fitted(address, lambda folder: save(few, about(KINDS["probe"]), folder))
    again = load(f"fitted:{store.folder}/{address[:8]}")
    asked = inputs(KINDS["probe"])
    np.testing.assert_array_equal(answers(again, asked), answers(few, asked))


@pytest.mark.parametrize("name", ["probe", "scratch", "lora"])
def test_others_may_read_what_was_kept_where_they_may_read_new_files(
    name: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    before = os.umask(0o027)
    try:
        folder = saved(fitted(name, checkpoint), KINDS[name], tmp_path / "kept")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o640}
