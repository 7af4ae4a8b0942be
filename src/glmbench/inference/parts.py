"""Unfinished work beside its output: `OUT.part/` keeps every finished chunk, whatever kills the process.

A chunk is some parquet tables and, written last, a marker that holds the hash of the records it was computed from. The
same request goes on from there: a chunk whose records are the same is never computed twice.
"""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from glmbench.errors import DataError, GlmbenchError, UsageError
from glmbench.storage.atomic import require_writable, sweep, write_bytes, write_text
from glmbench.storage.hashing import canonical_json

FORMAT = 1
_REQUEST, _LOCK = "request.json", "lock"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Counts:
    """What work was done.

    Attributes:
        records: sequences.
        windows: the parts that they were cut into.
        bases: that were asked about.
        passes: inputs that went through the network; None where the model does not count them.
    """

    records: int = 0
    windows: int = 0
    bases: int = 0
    passes: int | None = None

    def __add__(self, other: Counts) -> Counts:
        passes = None if self.passes is None and other.passes is None else (self.passes or 0) + (other.passes or 0)
        return Counts(self.records + other.records, self.windows + other.windows, self.bases + other.bases, passes)


class Parts:
    """The finished chunks of one output; made by `open_parts`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0
        """Chunks of the request that are finished: those numbered below it are the result."""

    def finished(self, index: int, digest: str) -> Counts | None:
        """The counts of a chunk that was computed from the records of this hash; None where there is none."""
        try:
            marker = json.loads(self._marker(index).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return Counts(**marker["counts"]) if marker["digest"] == digest else None

    def keep(self, index: int, digest: str, tables: Mapping[str, pl.DataFrame], counts: Counts) -> None:
        """Write a chunk, its marker last."""
        for name, table in tables.items():
            packed = io.BytesIO()
            table.write_parquet(packed, compression="zstd", compression_level=1)
            write_bytes(self._table(index, name), packed.getvalue())
        write_text(self._marker(index), canonical_json({"digest": digest, "counts": asdict(counts)}))

    def tables(self, name: str) -> list[Path]:
        """The files of one table of the result, in order."""
        return [self._table(index, name) for index in range(self.count)]

    def remove(self) -> None:
        """Remove the folder, when the output stands."""
        shutil.rmtree(self.folder)

    def _marker(self, index: int) -> Path:
        return self.folder / f"{index:06d}.json"

    def _table(self, index: int, name: str) -> Path:
        return self.folder / f"{index:06d}.{name}.parquet"


@contextmanager
def open_parts(out: Path, request: Mapping[str, Any]) -> Iterator[Parts]:
    """The folder of an output's chunks, locked against other processes.

    Args:
        out: the output; it must not exist.
        request: plain values that decide the result, without the records: model, options.

    Raises:
        UsageError: the output exists; another process is at it; or the folder holds chunks of another request.
        GlmbenchError: the disk is full; what is finished stays.
    """
    from filelock import FileLock, Timeout

    if out.exists():
        raise UsageError(f"{out} exists already; choose another --out, or remove it")
    folder = out.with_name(out.name + ".part")
    parts = Parts(folder)
    lock = FileLock(folder / _LOCK, timeout=0)
    try:
        require_writable(out)
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise UsageError(f"another process is writing {out}; wait for it, or choose another --out") from error
    try:
        if out.exists() or not (folder / _LOCK).exists():  # finished by another process between look and lock
            raise UsageError(f"{out} was just written by another process")
        _check_request(folder, request, out)
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
        lock.release()


def _check_request(folder: Path, request: Mapping[str, Any], out: Path) -> None:
    path = folder / _REQUEST
    wanted = canonical_json({"format": FORMAT, **request})
    if not path.is_file():
        write_text(path, wanted)
        return
    found = path.read_text(encoding="utf-8")
    if found == wanted:
        return
    try:
        before = json.loads(found)
    except ValueError as error:
        raise DataError(f"{path} cannot be read ({error}); remove the folder {folder} to start again") from error
    now = json.loads(wanted)
    differs = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    raise UsageError(
        f"{folder} holds unfinished work of another request (different: {', '.join(differs)}); give the same command "
        f"as then, choose another --out, or remove that folder to start {out.name} again"
    )
