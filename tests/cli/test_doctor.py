"""What `glmbench doctor` asks of a model, offline."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from glmbench.cli import app


def test_doctor_says_what_the_cache_holds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for path, size in (("data/a/b.csv", 20_000_000), ("training/old/step-00000001/state.pt", 0), ("training/new/x", 3)):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_bytes(bytes(size))
    ten_days_ago = time.time() - 10 * 86400
    os.utime(tmp_path / "training/old", (ten_days_ago, ten_days_ago))
    monkeypatch.setenv("GLMBENCH_CACHE", str(tmp_path))
    done = CliRunner().invoke(app, ["doctor", "--json"])
    assert done.exit_code == 0, done.output
    found = {row["what"]: row["found"] for row in json.loads(done.stdout)}
    assert found["cache: data"] == "0.02 GB, 1 file"
    assert found["cache: training"] == "0.00 GB, 2 files; 2 not finished, the oldest touched 10 days ago"


def test_doctor_goes_on_past_a_folder_that_another_process_removes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("data", "training"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "link").symlink_to(__file__)
    monkeypatch.setattr(Path, "iterdir", lambda self: (_ for _ in ()).throw(FileNotFoundError(self)))
    monkeypatch.setenv("GLMBENCH_CACHE", str(tmp_path))
    done = CliRunner().invoke(app, ["doctor", "--json"])
    assert done.exit_code == 0, done.output
    assert "0.00 GB, 0 files" in done.stdout, "a link is no file of the cache"


def test_doctor_offline_opens_no_socket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tried: list[str] = []

    def refuse(*arguments: Any, **options: Any) -> Any:
        tried.append(str(arguments))
        raise OSError("there is no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    done = CliRunner().invoke(app, ["doctor", "-m", "hf:org/x", "--offline", "--json"])
    assert done.exit_code == 1, done.output
    found = {row["what"]: row for row in json.loads(done.stdout)}
    assert "hf download org/x" in found["hf:org/x"]["found"]
    assert not tried
