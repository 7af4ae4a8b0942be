"""The log of a training."""

from __future__ import annotations

from pathlib import Path

import pytest

from glmbench.errors import DataError
from glmbench.training.journal import Journal


def steps(path: Path) -> list[str]:
    return path.read_text().splitlines()


def silent(about: str, text: str) -> None:
    raise AssertionError(text)


def test_a_training_that_goes_on_drops_later_steps_and_half_lines(tmp_path: Path) -> None:
    path = tmp_path / "run" / "log.jsonl"
    first = Journal(path, 0, silent)
    for step in (1, 2, 3):
        first.write({"step": step})
    assert steps(path) == ['{"step": 1}', '{"step": 2}', '{"step": 3}'], "a line is on its way at once"
    with path.open("a") as file:
        file.write('{"step": 4, "lo')  # killed here
    second = Journal(path, 2, silent)
    second.write({"step": 3, "loss": 0.5})
    second.close()
    first.close()
    assert steps(path) == ['{"step": 1}', '{"step": 2}', '{"step": 3, "loss": 0.5}']
    Journal(path, 0, silent).close()
    assert steps(path) == []


def test_without_a_path_nothing_happens() -> None:
    journal = Journal(None, 0, silent)
    journal.write({"step": 1})
    journal.close()


def test_another_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("dear diary\n")
    with pytest.raises(DataError, match="not the log of a training; remove it"):
        Journal(path, 0, silent)
    assert path.read_text() == "dear diary\n"


def test_a_full_disk_ends_the_log_with_one_warning() -> None:
    told: list[str] = []
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    journal = Journal(None, 0, lambda about, text: told.append(text))
    journal._path, journal._file = full, full.open("a", buffering=1)
    for step in (1, 2, 3):
        journal.write({"step": step})
    journal.close()
    assert len(told) == 1
    assert "/dev/full cannot be written any more" in told[0]
