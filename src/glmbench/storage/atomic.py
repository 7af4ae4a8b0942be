"""Files and folders that are there whole or not at all, whatever kills the process.

Everything is written under a temporary name in the folder of its destination, flushed to the disk, and renamed.
A reader never sees half a file; what a killed writer leaves behind starts with `TEMPORARY` and is swept later.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TEMPORARY = ".tmp-"


def _temporary_name(path: Path) -> Path:
    return path.with_name(f"{TEMPORARY}{path.name}-{os.getpid()}-{uuid.uuid4().hex[:8]}")


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write a file to; on success it is flushed and renamed over `path`.

    On an error the temporary file is removed and whatever stood at `path` stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_name(path)
    try:
        yield temporary
        _fsync(temporary)
        temporary.replace(path)
        _fsync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, data: bytes) -> None:
    """Write a binary file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path` to fill; on success every file is flushed and the folder renamed.

    A folder that already stands at `path` wins: the new one is dropped, so two writers of one address are harmless.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_name(path)
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.rglob("*"):
            _fsync(file)
        _fsync(temporary)
        try:
            temporary.rename(path)
        except OSError:
            if not path.is_dir():
                raise
        _fsync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sweep(folder: Path, older_than_seconds: float = 24 * 3600) -> int:
    """Remove what killed writers left in `folder` longer than `older_than_seconds` ago; return how many entries."""
    swept = 0
    for entry in folder.glob(f"{TEMPORARY}*"):
        with suppress(OSError):  # gone by now, or another person's in a shared folder
            if time.time() - entry.stat().st_mtime < older_than_seconds:
                continue
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink()
            swept += 1
    return swept
