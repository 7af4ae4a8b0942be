"""What `glmbench doctor` asks of a model, offline."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from glmbench.cli import app


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
