"""Runs of the verbs over own files with stand-ins for models, in this process and in one that may be killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from glmbench.cli import app

_KILLED = """
import sys
import file_models
from glmbench.cli import main
from glmbench.inference import driving
from glmbench.models import registry
registry.load = file_models.load
driving.CHUNK = {chunk}
sys.argv = ["glmbench", *{words}]
main()
"""


def run(*words: object) -> str:
    """Standard output of `glmbench …`; errors meant for people are raised."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def run_process(*words: object, chunk: int, kill: int | None = None, log: Path) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own, with SIGKILL at the model's call number `kill`."""
    code = _KILLED.format(chunk=chunk, words=[str(word) for word in words])
    tests = str(Path(__file__).resolve().parent)
    environment = os.environ | {"PYTHONPATH": tests, "KILL_AT": str(kill or ""), "CALL_LOG": str(log)}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)


def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every reference stand for a model of `file_models`."""
    import file_models

    monkeypatch.setattr("glmbench.models.registry.load", file_models.load)
