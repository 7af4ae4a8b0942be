from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from frame_task import write_table
from glmbench.evaluation.store import Store
from small_file_system import mounted


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with room for a few results; needs the right to mount one."""
    with mounted(tmp_path / "disk", 160) as folder:
        yield folder


def glmbench(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "glmbench", *words], capture_output=True, text=True, check=False)


def test_a_full_disk_then_a_read_only_one_then_room(small_disk: Path, tmp_path: Path) -> None:
    table = str(write_table(tmp_path / "t", test=2000))
    store = Store(small_disk / "store")
    words = ("run", "-t", table, "-m", "kmer:1", "-m", "kmer:2", "--no-controls", "--budget", "3", "--seeds", "4")
    run = (*words, "--store", str(store.folder))

    full = glmbench(*run)
    assert full.returncode == 1
    assert "full" in full.stderr
    assert "Traceback" not in full.stderr
    finished = store.addresses()
    assert 0 < len(finished) < 8
    assert all(store.predictions(address).height == 2000 for address in finished)

    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    read_only = glmbench(*run)
    assert read_only.returncode == 1
    assert "--store" in read_only.stderr
    assert "Traceback" not in read_only.stderr
    assert glmbench("compare", "--store", str(store.folder)).returncode == 0
    report = glmbench("report", "--store", str(store.folder), "--out", str(small_disk / "page"))
    assert report.returncode == 1
    assert "Read-only" in report.stderr
    assert "Traceback" not in report.stderr

    subprocess.run(["mount", "-o", "remount,rw,size=8m", str(small_disk)], check=True)
    room = glmbench(*run)
    assert room.returncode == 0, room.stderr
    assert f"{len(finished)} found finished" in room.stdout
    assert len(store.addresses()) == 8
