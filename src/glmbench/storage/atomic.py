"""Files and folders that are there whole or not at all, whatever kills the process.

Everything is written under a temporary name in the folder of its destination, flushed to the disk, and renamed.
A reader never sees half a file; what a killed writer leaves behind starts with `TEMPORARY` and is swept later.
"""

from __future__ import annotations

import errno
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
def _errors_named(path: Path, temporary: Path) -> Iterator[None]:
    """A full disk says so of an open file, which has no name in the error; say which path the reader knows."""
    try:
        yield
    except OSError as error:
        unnamed = type(error) is OSError and error.filename is None
        if not unnamed and error.filename != str(temporary):
            raise
        # libraries written in other languages raise errors without a number; without one the path would not be kept
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), str(path)) from error


def require_writable(path: Path) -> None:
    """Refuse a path where no file can be written, before the work whose result shall stand there.

    Missing folders are not made yet: what is tried is the nearest one that exists.

    Raises:
        OSError: with the path: a folder stands there, a file stands where a folder must, no permission, a full disk.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    temporary = _temporary_name(folder / path.name)
    with _errors_named(path, temporary):
        try:
            temporary.write_bytes(bytes(4096))
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write a file to; on success it is flushed and renamed over `path`.

    On an error the temporary file is removed and whatever stood at `path` stays. An `OSError` names `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_name(path)
    try:
        with _errors_named(path, temporary):
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
    try:
        with _errors_named(path, temporary):
            temporary.mkdir()
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
