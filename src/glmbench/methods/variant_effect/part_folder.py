"""Finished chunks of a long scoring, kept beside its output until the output is whole.

`OUT.part/` holds `request.json` and for every finished chunk `NUMBER.parquet`, then `NUMBER.json`: a chunk whose second
file is there is finished, whatever killed the process.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from glmbench.errors import DataError
from glmbench.storage.atomic import atomic_path, sweep, write_text

_REQUEST = "request.json"


class PartFolder:
    """The folder of an output; made, or gone on with.

    Args:
        out: the output.
        request: plain values that decide every number in it.

    Raises:
        DataError: what was interrupted here was another request; the message says what differs.
    """

    def __init__(self, out: Path, request: Mapping[str, Any]) -> None:
        self.path = out.with_name(out.name + ".part")
        kept = self.path / _REQUEST
        if kept.is_file() and any(self.path.glob("*.parquet")):
            self._require_same(json.loads(kept.read_text(encoding="utf-8")), request)
        else:
            write_text(kept, json.dumps(request, indent=1) + "\n")
        sweep(self.path, older_than_seconds=0)

    def finished(self, number: int) -> dict[str, Any] | None:
        """What was noted of a finished chunk; None where it is yet to be done."""
        note = self._place(number, "json")
        if not (note.is_file() and self._place(number, "parquet").is_file()):
            return None
        noted: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
        return noted

    def keep(self, number: int, alleles: pl.DataFrame, note: Mapping[str, Any]) -> None:
        """Write a finished chunk."""
        with atomic_path(self._place(number, "parquet")) as temporary:
            alleles.write_parquet(temporary)
        write_text(self._place(number, "json"), json.dumps(note))

    def table(self, number: int) -> Path:
        """The file of a finished chunk."""
        return self._place(number, "parquet")

    def read(self, number: int) -> pl.DataFrame:
        """A finished chunk."""
        return pl.read_parquet(self.table(number))

    def columns(self, number: int) -> list[str]:
        """Names of the columns of a finished chunk."""
        return list(pl.read_parquet_schema(self.table(number)))

    def remove(self) -> None:
        """The output is whole."""
        shutil.rmtree(self.path)

    def _place(self, number: int, ending: str) -> Path:
        return self.path / f"{number:06d}.{ending}"

    def _require_same(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        for key in sorted(before.keys() | now.keys()):
            if before.get(key) != now.get(key):
                raise DataError(
                    f"{self.path} holds an interrupted scoring of something else: {key} was {before.get(key)}, now is "
                    f"{now.get(key)}; ask for the same again to go on with it, remove {self.path} to start anew, or "
                    "choose another --out"
                )
