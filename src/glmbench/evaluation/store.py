"""The results store: a folder that any number of processes on any number of machines may share.

    results/<address>/result.json, predictions.parquet     finished, written whole or not at all, never changed
    results/<address>/fitted/                              the fitted predictor, where it was kept (`models.fitted`)
    attempts/<address>.json                                skipped or failed: replaced by the next attempt
    locks/<address>.lock                                   held by the process that works on the job; freed when it dies
    index.parquet                                          made from the folders, only for speed: may be deleted

The folders are the truth. A reader never sees half a result (see `storage.atomic`).
"""

from __future__ import annotations

import errno
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import polars as pl
from pydantic import ValidationError

from glmbench.errors import DataError, GlmbenchError
from glmbench.evaluation.job import Result
from glmbench.models.fitted.about import FOLDER
from glmbench.storage.atomic import atomic_folder, atomic_path, sweep, write_text


class StoreError(GlmbenchError):
    """The store cannot be written to or read from; what is finished in it stays."""


class Store:
    """A results store in `folder`, which is created on the first write."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._results = self.folder / "results"
        self._attempts = self.folder / "attempts"
        self._locks = self.folder / "locks"

    def __contains__(self, address: str) -> bool:
        return (self._results / address / "result.json").is_file()

    def addresses(self) -> set[str]:
        """Addresses of the finished results."""
        return {entry.parent.name for entry in self._results.glob("[0-9a-f]*/result.json")}

    def get(self, address: str) -> Result:
        """The finished result at an address.

        Raises:
            StoreError: there is none, or it is not readable.
        """
        return self._read(self._results / address / "result.json")

    def predictions(self, address: str) -> pl.DataFrame:
        """The predictions kept with a finished result: `id`, `group`, `label`, the scores, perhaps `copied`."""
        path = self._results / address / "predictions.parquet"
        try:
            return pl.read_parquet(path)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise StoreError(f"cannot read {path}: {error}; delete its folder and run again") from None

    def results(self) -> Iterator[Result]:
        """All finished results, in order of address."""
        return (self.get(address) for address in sorted(self.addresses()))

    def attempts(self) -> Iterator[Result]:
        """Jobs that were skipped or failed and have not been finished since, in order of address."""
        for path in sorted(self._attempts.glob("[0-9a-f]*.json")):
            if path.stem not in self:
                yield self._read(path)

    def put(self, result: Result, predictions: pl.DataFrame) -> None:
        """Keep a finished result. One that already stands at the address wins; the new one is dropped.

        Raises:
            StoreError: the disk is full, or the store is read-only.
        """
        with self._writing():
            if (old := self._results / result.job.address).is_dir() and result.job.address not in self:
                raise StoreError(
                    f"{old} holds no result.json: something else wrote it; delete that folder and run again"
                )
            with atomic_folder(self._results / result.job.address) as folder:
                (folder / "predictions.parquet").write_bytes(_parquet(predictions))
                (folder / "result.json").write_text(_json(result), encoding="utf-8")
            (self._attempts / f"{result.job.address}.json").unlink(missing_ok=True)

    def put_fitted(self, address: str, write: Callable[[Path], None]) -> None:
        """Keep the fitted predictor of a finished result beside it, whole or not at all.

        Args:
            address: of the result.
            write: writes the predictor into a folder that is given to it.

        Raises:
            StoreError: the disk is full, or the store is read-only.
        """
        with self._writing(), atomic_folder(self._results / address / FOLDER) as folder:
            write(folder)

    def has_fitted(self, address: str) -> bool:
        """Whether the fitted predictor of a result was kept."""
        return (self._results / address / FOLDER).is_dir()

    def put_attempt(self, result: Result) -> None:
        """Keep a skip or a failure; it stands until the job is finished or attempted again."""
        with self._writing():
            write_text(self._attempts / f"{result.job.address}.json", _json(result))

    @contextmanager
    def claim(self, address: str) -> Iterator[bool]:
        """Hold the lock of a job; yields False where another process holds it. The lock dies with its process."""
        from filelock import FileLock, Timeout

        lock = FileLock(self._locks / f"{address}.lock")
        try:
            with self._writing():
                self._locks.mkdir(parents=True, exist_ok=True)
                lock.acquire(blocking=False)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def sweep(self) -> int:
        """Remove what killed writers left more than a day ago; return how many entries."""
        return sum(sweep(folder) for folder in (self._results, self._attempts, self.folder) if folder.is_dir())

    def index(self) -> pl.DataFrame:
        """One row per finished result: `address`, `stamp`, `result` (its JSON). Reads only what is new or changed."""
        standing = self._stamps()
        cached = self._cached_index()
        known = cached.join(standing, on=("address", "stamp"), how="semi")
        fresh = standing.join(known, on="address", how="anti")
        if fresh.is_empty() and known.height == cached.height:
            return known.sort("address")
        texts = pl.Series("result", [_json(self.get(address)) for address in fresh["address"]], pl.String)
        index = pl.concat([known, fresh.with_columns(texts)]).sort("address")
        with suppress(OSError), atomic_path(self.folder / "index.parquet") as temporary:
            temporary.write_bytes(_parquet(index))  # a read-only store is still readable, only slower
        return index

    def _stamps(self) -> pl.DataFrame:
        """Address and stamp (size, time of change) of every finished result: what the index must agree with."""
        rows = []
        for path in self._results.glob("[0-9a-f]*/result.json"):
            status = path.stat()
            rows.append((path.parent.name, f"{status.st_size} {status.st_mtime_ns}"))
        return pl.DataFrame(rows, schema={"address": pl.String, "stamp": pl.String}, orient="row")

    def _cached_index(self) -> pl.DataFrame:
        try:
            cached = pl.read_parquet(self.folder / "index.parquet")
        except (OSError, pl.exceptions.PolarsError):
            return pl.DataFrame(schema=_INDEX)
        return cached if cached.schema == _INDEX else pl.DataFrame(schema=_INDEX)

    def _read(self, path: Path) -> Result:
        try:
            return Result.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            where = path.parent if path.name == "result.json" else path
            raise StoreError(f"cannot read {path}: {error}; delete {where} and run again") from None

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:  # a lock that another process holds
            raise
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreError(
                    f"the disk of {self.folder} is full; what is finished stays. Free room, then run the same again"
                ) from error
            raise StoreError(
                f"cannot write to {self.folder} ({error.strerror or error}); choose another folder with --store"
            ) from error


_INDEX = pl.Schema({"address": pl.String, "stamp": pl.String, "result": pl.String})


def _parquet(frame: pl.DataFrame) -> bytes:
    """A frame as parquet in memory: written to the disk by Python, so that a full one is an `OSError` and says so."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def _json(result: Result) -> str:
    """A result as JSON text. NaN has no place in one.

    Raises:
        DataError: a number in it is NaN or infinite.
    """
    try:
        return json.dumps(result.model_dump(mode="json"), allow_nan=False, indent=1)
    except ValueError as error:
        raise DataError(
            f"{result.job.task} × {result.job.model}: the result holds a NaN or infinite number ({error})"
        ) from None
