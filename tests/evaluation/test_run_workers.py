"""`run` with models in processes of their own: a crash or a hang is a failure with its reason, and the rest goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from frame_task import write_table
from glmbench.evaluation.objects import Objects
from glmbench.evaluation.plan import plan
from glmbench.evaluation.request import Request
from glmbench.evaluation.run import run
from glmbench.evaluation.store import Store
from glmbench.storage.fetch import Access

ADAPTER = """
import os, signal, threading

class Shares:
    def embed(self, sequences):
        return [[s.count(b) / len(s) for b in "ACGT"] for s in sequences]

class Crashes:
    def embed(self, sequences):
        print("the weights are too heavy")
        os.kill(os.getpid(), signal.SIGKILL)

class Hangs:
    def embed(self, sequences):
        threading.Event().wait()
"""


def write_card(folder: Path, name: str, more: str = "") -> str:
    folder.mkdir()
    (folder / "adapter.py").write_text(ADAPTER)
    (folder / "card.toml").write_text(f"name = '{name}'\nadapter = 'adapter.py'\nclass = '{name}'\n{more}")
    return f"worker:{folder}"


def test_what_becomes_of_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLMBENCH_CACHE", str(tmp_path / "cache"))
    references = {name: write_card(tmp_path / name, name) for name in ("Shares", "Crashes", "Hangs")}
    references["Absent"] = write_card(tmp_path / "Absent", "Absent", "[environment]\npackages = ['numpy<2']\n")
    references["Hangs"] += "?timeout=1"
    objects = Objects(Access(cache=tmp_path / "cache", offline=True), trust_remote_code=True)
    request = Request(
        models=(*references.values(), "kmer:1"),
        tasks=(str(write_table(tmp_path / "t")),),
        budgets=("full",),
        seeds=1,
        methods=("probe",),
        controls=False,
    )
    store = Store(tmp_path / "store")
    results = {outcome.result.job.model: outcome.result for outcome in run(plan(request, objects), store, objects)}
    found = {name: results[reference] for name, reference in references.items()}
    assert {name: result.status for name, result in found.items()} == {
        "Shares": "ok",
        "Crashes": "failed",
        "Hangs": "failed",
        "Absent": "skip",
    }
    assert "SIGKILL" in (found["Crashes"].reason or "")
    assert "the weights are too heavy" in (found["Crashes"].reason or "")
    assert "gave no answer within 1 s" in (found["Hangs"].reason or "")
    assert f"glmbench env build {tmp_path / 'Absent'}" in (found["Absent"].reason or "")
    kmers = results["kmer:1"]
    assert kmers.status == "ok"
    assert found["Shares"].metrics["auroc"] == pytest.approx(kmers.metrics["auroc"], abs=0.02)  # the same features
