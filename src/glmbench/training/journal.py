"""The journal: a machine-readable log of a training, one JSON line a step, that survives interruptions."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from glmbench.errors import DataError
from glmbench.storage.atomic import write_text


class Journal:
    """Appends lines to a file; a training that goes on from step n first drops the lines of later steps.

    A disk that is full ends the journal and not the training.

    Args:
        path: the file; None: no journal.
        step: where the training stands; lines up to this step stay.
        warn: told once if the file cannot be written.
    """

    def __init__(self, path: Path | None, step: int, warn: Callable[[str, str], None]) -> None:
        self._path, self._warn = path, warn
        self._file: TextIO | None = None
        if path is not None:
            try:
                write_text(path, "".join(_lines_to(path, step)))
                self._file = path.open(
                    "a", encoding="utf-8", buffering=1
                )  # a line a write: nothing is lost when killed
            except OSError as error:
                self._give_up(error)

    def write(self, line: dict[str, Any]) -> None:
        """Append one line, which holds its `step`."""
        if self._file is not None:
            try:
                self._file.write(json.dumps(line) + "\n")
            except OSError as error:
                self._give_up(error)

    def flush(self) -> None:
        """Put all lines on the disk, before a checkpoint says that their steps are done."""
        if self._file is not None:
            try:
                self._file.flush()
                os.fsync(self._file.fileno())
            except OSError as error:
                self._give_up(error)

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        if self._file is not None:
            self._file.close()

    def _give_up(self, error: OSError) -> None:
        if self._file is not None:
            with suppress(OSError):  # of the line that could not be written
                self._file.close()
        self._file = None
        self._warn("log", f"the log {self._path} cannot be written any more ({error}); the training goes on without")


def _lines_to(path: Path, step: int) -> list[str]:
    """Lines of a log up to a step; without its last, if a writer was killed within it."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    try:
        return [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{path} is not the log of a training; remove it or choose another file") from None
