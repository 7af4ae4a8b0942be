"""From a run to predictions on a file: what was fitted is kept, listed, and answers as it did in the run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from frame_task import write_table
from glmbench.errors import Unsupported, UsageError
from glmbench.evaluation.store import Store
from own_file_runs import run

QUICK = ("--set", "lora.max_steps=4", "--set", "lora.min_steps=1", "--set", "lora.retries=0", "--seeds", 1, "--offline")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tiny_checkpoints import save_without_dropout

    return save_without_dropout(tmp_path_factory.mktemp("checkpoints") / "dnabert2", "dnabert2")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLMBENCH_CACHE", str(tmp_path / "cache"))


def results(store: Path) -> list[Any]:
    return list(Store(store).results())


def test_what_a_run_fitted_answers_for_a_file(checkpoint: Path, tmp_path: Path) -> None:
    table, store = write_table(tmp_path / "t"), tmp_path / "store"
    run("run", "-t", table, "-m", f"hf:{checkpoint}", "--method", "lora", "--store", store, "--no-controls", *QUICK)
    (result,) = results(store)
    listed = json.loads(run("ls", "fitted", "--store", store, "--json"))
    name = f"fitted:{store}/{result.job.address[:12]}"
    assert [(row["name"], row["method"], row["keeps"]) for row in listed] == [(name, "lora", "adapters")]
    out = tmp_path / "p.parquet"
    run("predict", table / "test.csv", "-m", name, "--out", out)
    got, kept = pl.read_parquet(out), Store(store).predictions(result.job.address)
    assert got.columns == ["name", "start", "end", "0", "1", "label"]
    np.testing.assert_allclose(got["1"].to_numpy(), kept["score_1"].to_numpy(), rtol=1e-5)
    fasta = tmp_path / "s.fa"
    fasta.write_text(f">a\n{pl.read_csv(table / 'test.csv')['sequence'][0]}\n")
    assert run("predict", fasta, "-m", name).splitlines()[0] == "name\tstart\tend\t0\t1\tlabel"


def test_what_is_kept_is_chosen(checkpoint: Path, tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", train=40, test=20)
    quick = [str(word).replace("lora", "finetune") for word in QUICK]
    kept = {}
    for keep in ("small", "all", "none"):
        store = tmp_path / keep
        words = (
            "-t",
            table,
            "-m",
            f"hf:{checkpoint}",
            "-m",
            "kmer:2",
            "--no-controls",
            "--keep",
            keep,
            "--store",
            store,
        )
        run("run", *words, "--method", "finetune", "--method", "probe", *quick)
        rows = json.loads(run("ls", "fitted", "--store", store, "--json"))
        kept[keep] = sorted(row["keeps"] for row in rows)
    assert kept == {"small": ["linear", "linear"], "all": ["linear", "linear", "network"], "none": []}


def test_settings_of_the_command_line(checkpoint: Path, tmp_path: Path) -> None:
    table, store = write_table(tmp_path / "t", train=40, test=20), tmp_path / "store"
    words = (
        "run",
        "-t",
        table,
        "-m",
        f"hf:{checkpoint}",
        "--method",
        "lora",
        "--store",
        store,
        "--no-controls",
        *QUICK,
    )
    run(*words, "--set", "lora.lora.rank=2", "--set", "lora.select=loss")
    (result,) = results(store)
    assert (result.job.recipe["lora"]["rank"], result.job.recipe["select"]) == (2, "loss")
    assert result.job.recipe["lora"]["alpha"] == 16, "the others are the defaults"
    with pytest.raises(UsageError, match=r"--set lr=1: want METHOD\.KEY=VALUE with a method of probe"):
        run(*words, "--set", "lr=1")
    with pytest.raises(UsageError, match="no_such_key"):
        run(*words, "--set", "lora.no_such_key=1")
    with pytest.raises(UsageError, match="lr"):
        run(*words, "--set", "lora.lr=fast")
    with pytest.raises(UsageError, match="want a finite number"):
        run(*words, "--set", "lora.lr=inf")
    with pytest.raises(UsageError, match=r"epochs is 3 and holds no x"):
        run(*words, "--set", "lora.epochs=3", "--set", "lora.epochs.x=3")
    with pytest.raises(UsageError, match=r"no job of this run is by probe, only by lora; add --method probe"):
        run(*words, "--set", "probe.folds=3")


def test_a_table_of_pairs_is_run_kept_and_asked(checkpoint: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [(*("".join(rng.choice(list("ACGT"), 12)) for _ in range(2)), i % 2) for i in range(80)]
    table = tmp_path / "pairs.csv"
    pl.DataFrame(rows, schema=["enhancer", "promoter", "label"], orient="row").write_csv(table)
    store = tmp_path / "store"
    run("run", "-t", table, "-m", f"hf:{checkpoint}", "--method", "lora", "--store", store, "--no-controls", *QUICK)
    (result,) = results(store)
    name = f"fitted:{store}/{result.job.address[:8]}"
    assert len(run("predict", table, "-m", name).splitlines()) == 81
    fasta = tmp_path / "s.fa"
    fasta.write_text(">a\nACGTACGTACGT\n")
    with pytest.raises(Unsupported, match="answers about pairs, a is one sequence"):
        run("predict", fasta, "-m", name)


def test_two_processes_fit_what_one_does(checkpoint: Path, tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", train=60, test=30)
    words = ["run", "-t", table, "-m", f"hf:{checkpoint}", "-m", "kmer:2", "--method", "lora", "--method", "probe"]
    words = [*map(str, words), "--no-controls", *map(str, QUICK), "--set", "lora.lora.dropout=0.0", "--store"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    done = subprocess.run(
        [*torchrun, "glmbench", *words, str(tmp_path / "two")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    run(*words, tmp_path / "one")
    one, two = ({r.job.address: r for r in results(tmp_path / name)} for name in ("one", "two"))
    assert one.keys() == two.keys()
    for address, result in two.items():
        got, wanted = (Store(tmp_path / name).predictions(address) for name in ("two", "one"))
        np.testing.assert_allclose(got["score_1"].to_numpy(), wanted["score_1"].to_numpy(), rtol=1e-4)
        if result.job.method == "lora":
            assert result.details["cost"]["processes"] == 2
            assert result.details["cost"]["units"] == one[address].details["cost"]["units"]
