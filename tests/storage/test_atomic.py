import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from glmbench.storage.atomic import (
    TEMPORARY,
    atomic_folder,
    atomic_path,
    require_writable,
    sweep,
    write_bytes,
    write_text,
)


def leftovers(folder: Path) -> list[Path]:
    return list(folder.rglob(f"{TEMPORARY}*"))


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    write_text(path, "é")
    assert path.read_bytes() == "é".encode()
    write_bytes(path, b"second")
    assert path.read_bytes() == b"second"
    assert leftovers(tmp_path) == []


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "old")

    def fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            assert path.read_text() == "old"
            raise RuntimeError("the writer failed")

    with pytest.raises(RuntimeError, match="the writer failed"):
        fail()
    assert path.read_text() == "old"
    assert leftovers(tmp_path) == []


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "results" / "address"
    with atomic_folder(path) as temporary:
        (temporary / "deep").mkdir()
        (temporary / "deep" / "a").write_text("1")
        assert not path.exists()
    assert (path / "deep" / "a").read_text() == "1"
    assert leftovers(tmp_path) == []


def test_the_first_of_two_folders_stays(tmp_path: Path) -> None:
    path = tmp_path / "address"
    for content in ("first", "second"):
        with atomic_folder(path) as temporary:
            (temporary / "a").write_text(content)
    assert (path / "a").read_text() == "first"
    assert leftovers(tmp_path) == []


def test_a_folder_is_not_put_over_a_file(tmp_path: Path) -> None:
    path = tmp_path / "address"
    path.write_text("a file")

    def fill() -> None:
        with atomic_folder(path) as temporary:
            (temporary / "a").write_text("1")

    with pytest.raises(NotADirectoryError):
        fill()
    assert path.read_text() == "a file"
    assert leftovers(tmp_path) == []


def test_a_failed_folder_is_not_there(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_folder(tmp_path / "address") as temporary:
            (temporary / "a").write_text("1")
            raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_killed_writer_leaves_the_old_file_and_a_temporary_that_is_swept(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    code = (
        "import sys, time; from pathlib import Path; from glmbench.storage.atomic import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as t:\n"
        "    t.write_text('half'); print('writing', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        writer.send_signal(signal.SIGKILL)
    assert path.read_text() == "old"
    assert len(leftovers(tmp_path)) == 1
    assert sweep(tmp_path) == 0, "young leftovers may belong to a writer that lives"
    assert sweep(tmp_path, older_than_seconds=0) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_sweep_removes_old_folders_and_keeps_the_rest(tmp_path: Path) -> None:
    old = tmp_path / f"{TEMPORARY}address-1-abc"
    old.mkdir()
    (old / "a").write_text("1")
    kept = tmp_path / "address"
    kept.mkdir()
    long_ago = time.time() - 3 * 24 * 3600
    os.utime(old, (long_ago, long_ago))
    os.utime(kept, (long_ago, long_ago))
    assert sweep(tmp_path) == 1
    assert list(tmp_path.iterdir()) == [kept]


@pytest.mark.parametrize("target", [atomic_path, atomic_folder])
def test_a_full_disk_is_an_error_with_the_path(tmp_path: Path, target: Any) -> None:
    path = tmp_path / "result"
    full = OSError(errno.ENOSPC, "No space left on device")  # of an open file: without a name

    def fill(error: OSError) -> None:
        with target(path):
            raise error

    with pytest.raises(OSError, match="No space left on device") as caught:
        fill(full)
    assert (caught.value.filename, caught.value.errno) == (str(path), errno.ENOSPC)
    with pytest.raises(OSError, match="os error 28") as caught:  # as polars has it
        fill(OSError("No space left on device (os error 28)"))
    assert caught.value.filename == str(path)
    with pytest.raises(FileNotFoundError) as other:  # of a file that is read meanwhile
        fill(FileNotFoundError(errno.ENOENT, "No such file", "input"))
    assert other.value.filename == "input"
    assert list(tmp_path.iterdir()) == []


def test_a_place_is_tried_before_the_work(tmp_path: Path) -> None:
    require_writable(tmp_path / "new" / "deeper" / "file")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("old")
    require_writable(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "old"
    for path, error in ((tmp_path, IsADirectoryError), (tmp_path / "file" / "a", NotADirectoryError)):
        with pytest.raises(error) as caught:
            require_writable(path)
        assert caught.value.filename == str(path)
