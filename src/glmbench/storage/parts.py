"""Unfinished work beside its output: `OUT.part/` keeps every finished chunk, whatever kills the process.

A chunk is some parquet tables and, written last, a marker that holds the hash of what it was computed from and of its
tables. The same request goes on from there: a chunk of the same records is never computed twice, and one whose files
are damaged is computed again.
"""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from glmbench.errors import DataError, GlmbenchError, UsageError
from glmbench.storage.atomic import require_writable, sweep, write_bytes, write_text
from glmbench.storage.hashing import canonical_json, sha256_bytes, sha256_file

FORMAT = 2
_REQUEST, _LOCK, _CLAIMED = "request.json", "lock", "claimed.json"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Parts:
    """The finished chunks of one output; made by `open_parts`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0
        """Chunks of the request that are finished: those numbered below it are the result."""

    def finished(self, index: int, digest: str) -> dict[str, Any] | None:
        """What was noted of a chunk that was computed from what has this hash; None where there is none, or damaged."""
        try:
            marker = json.loads(self._marker(index).read_text(encoding="utf-8"))
            if marker["digest"] != digest:
                return None
            whole = all(sha256_file(self._table(index, name)) == said for name, said in marker["tables"].items())
            notes: dict[str, Any] = marker["notes"]
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return notes if whole else None

    def keep(self, index: int, digest: str, tables: Mapping[str, pl.DataFrame], notes: Mapping[str, Any]) -> None:
        """Write a chunk, its marker last."""
        hashes = {}
        for name, table in tables.items():
            packed = io.BytesIO()
            table.write_parquet(packed, compression="zstd", compression_level=1)
            hashes[name] = sha256_bytes(packed.getvalue())
            write_bytes(self._table(index, name), packed.getvalue())
        marker = {"digest": digest, "tables": hashes, "notes": dict(notes)}
        write_text(self._marker(index), canonical_json(marker))

    def tables(self, name: str) -> list[Path]:
        """The files of one table of the result, in order."""
        return [self._table(index, name) for index in range(self.count)]

    def require_free(self, beside: Sequence[Path]) -> None:
        """Refuse files that the request would replace, save those that an interrupted run of it wrote.

        Raises:
            UsageError: one exists.
        """
        claimed = self.folder / _CLAIMED
        own = json.loads(claimed.read_text(encoding="utf-8")) if claimed.is_file() else []
        for path in beside:
            if str(path.absolute()) not in own:
                require_new(path, "name")

    def claim(self, beside: Sequence[Path]) -> None:
        """Take the names of files that are about to be written beside the output; errors as `require_free`."""
        self.require_free(beside)
        write_text(self.folder / _CLAIMED, canonical_json([str(path.absolute()) for path in beside]))

    def remove(self) -> None:
        """Remove the folder, when the output stands."""
        shutil.rmtree(self.folder)

    def has_any(self) -> bool:
        """Whether a chunk was ever finished."""
        return any(self.folder.glob("[0-9]*.json"))

    def _marker(self, index: int) -> Path:
        return self.folder / f"{index:06d}.json"

    def _table(self, index: int, name: str) -> Path:
        return self.folder / f"{index:06d}.{name}.parquet"


def require_new(out: Path, option: str = "--out") -> None:
    """Refuse an output that would replace a file.

    Raises:
        UsageError: the output exists.
    """
    if out.exists():
        raise UsageError(f"{out} exists already; choose another {option}, or remove it")


def require_place(out: Path) -> None:
    """Refuse, before any work, an output that exists or that cannot be written.

    Raises:
        UsageError: the output exists, is a folder, or its folder cannot be made or written.
        OSError: the disk is full.
    """
    require_new(out)
    try:
        require_writable(out)
    except OSError as error:
        if error.errno in _FULL:
            raise
        folder = next(parent for parent in out.absolute().parents if parent.exists())
        raise UsageError(
            f"{out} cannot be written: {error.strerror} in {folder}; choose another --out, or make its folder writable"
        ) from error


@contextmanager
def open_parts(out: Path, request: Mapping[str, Any], beside: Sequence[Path] = ()) -> Iterator[Parts]:
    """The folder of an output's chunks, locked against other processes; gone again where no chunk was finished.

    Folders that lead to the output and do not exist are made.

    Args:
        out: the output; it must not exist.
        request: plain values that decide the result, without the records: model, options.
        beside: files that are written with the output; they must not exist either. `Parts.claim` them first.

    Raises:
        UsageError: one of these files exists, or nothing can be written there; another process is at it; or the folder
            holds chunks of another request.
        DataError: the folder holds chunks of a request that cannot be read.
        GlmbenchError: the disk is full; what is finished stays.
    """
    from filelock import FileLock, Timeout

    require_place(out)
    folder = out.with_name(out.name + ".part")
    parts = Parts(folder)
    lock = FileLock(folder / _LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise UsageError(f"another process is writing {out}; wait for it, or choose another --out") from error
    try:
        if out.exists() or not (folder / _LOCK).exists():  # finished by another process between look and lock
            raise UsageError(f"{out} was just written by another process")
        _check_request(parts, request, out)
        parts.require_free(beside)
        sweep(folder, older_than_seconds=0)
        yield parts
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise GlmbenchError(
            f"{out}: {os.strerror(error.errno)}; {parts.count} finished chunks stay in {folder}: make room, and the "
            "same command goes on from there"
        ) from error
    finally:
        if not parts.has_any():
            shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def _check_request(parts: Parts, request: Mapping[str, Any], out: Path) -> None:
    path = parts.folder / _REQUEST
    wanted = canonical_json({"format": FORMAT, **request})
    if not parts.has_any():
        write_text(path, wanted)
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        now = json.loads(wanted)
        keys = sorted(before.keys() | now.keys())
    except (FileNotFoundError, ValueError, AttributeError) as error:
        raise DataError(f"{path} cannot be read ({error}); remove the folder {parts.folder} to start again") from error
    differs = [f"{key} was {before.get(key)}, now is {now.get(key)}" for key in keys if before.get(key) != now.get(key)]
    if differs:
        raise UsageError(
            f"{parts.folder} holds unfinished work of another request (different: {'; '.join(differs)}); give the same "
            f"command as then, choose another --out, or remove that folder to start {out.name} again"
        )
