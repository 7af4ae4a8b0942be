"""The task of a card whose files are delimited tables of sequences and labels, one file a split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl

from glmbench.errors import DataError, MissingData, UsageError
from glmbench.storage.fetch import Access, content_id, fetch, mismatch, record_path
from glmbench.storage.hashing import sha256_file, sha256_json
from glmbench.tasks.card import DataFile, TaskCard, described
from glmbench.tasks.columns import sequences_and_label
from glmbench.tasks.delimited import Reading, read_examples, read_rows
from glmbench.tasks.task import LetterCounts, is_paired

LOADER_VERSION = 2
"""Part of every data hash: it grows when the same file would be read as other examples than before."""


class TableTask:
    """A task that is read from the card's files; implements `tasks.task.Task`. Loaded splits are kept in memory."""

    def __init__(self, card: TaskCard, access: Access, own_card: Path | None = None) -> None:
        """Name the card and how its files are had.

        Args:
            card: its `files` name the splits.
            access: cache, mirror, offline.
            own_card: the file of a user's own card; files that stand beside it are read in place.
        """
        self.card = card
        self._access = access if own_card is None else replace(access, own_card=own_card)
        self._folder = None if own_card is None else own_card.parent
        self._readings: dict[str, Reading] = {}

    def splits(self) -> tuple[str, ...]:
        """Every split on the card, whether or not its file is here."""
        return tuple(file.split for file in self.card.files)

    def load(self, split: str, *, context: int | None = None) -> pl.DataFrame:
        """Examples of one split (columns: `tasks.task`); `context` keeps the central `context` bp.

        Raises:
            UsageError: the card has no such split.
            MissingData: the file is absent and could not be fetched; says how to get it.
            DataError: the file is there but not what the card says.
            Unsupported: the file holds pairs of sequences with labels by base.
        """
        return central(self.reading(split).examples, context, by_base=self.card.kind == "per-base")

    def reading(self, split: str) -> Reading:
        """The examples of one split with the counts of what was altered; errors as `load`."""
        if split not in self._readings:
            self._readings[split] = self._read(self._file(split))
        return self._readings[split]

    def letters(self, split: str) -> LetterCounts:
        """What was altered in one split; errors as `load`."""
        return self.reading(split).letters

    def data_hash(self) -> str:
        """SHA-256 over the loader's version, the card's format and the content of every file.

        A file the card knows a checksum of need not be here. One without that cannot be had counts as absent,
        so a task of which a part is missing keeps its hash.

        Raises:
            MissingData: the content of no file is known.
        """
        contents: list[tuple[str, str | None]] = []
        missing: MissingData | None = None
        for file in self.card.files:
            try:
                contents.append((file.split, self._content(file)))
            except MissingData as error:
                contents.append((file.split, None))
                missing = error
        if missing is not None and all(content is None for _, content in contents):
            raise missing
        return sha256_json({"loader": LOADER_VERSION, "card": described(self.card), "files": contents})

    def references(self, split: str) -> dict[str, pl.DataFrame]:
        """None: the truth behind a table is not known."""
        return {}

    def _file(self, split: str) -> DataFile:
        for file in self.card.files:
            if file.split == split:
                return file
        raise UsageError(f"{self.card.reference} has no split {split!r}; it has {', '.join(self.splits())}")

    def _own(self, file: DataFile) -> Path | None:
        if self._folder is not None and (self._folder / file.path).is_file():
            return self._folder / file.path
        return None

    def _content(self, file: DataFile) -> str:
        own = self._own(file)
        return sha256_file(own) if own is not None else content_id(file, self._access, name=self.card.name)

    def _read(self, file: DataFile) -> Reading:
        own = self._own(file)
        if own is not None:
            if (wrong := mismatch(file, own)) is not None:
                raise DataError(f"{own}: {wrong}, by its card; correct the card or the file")
            return self._parse(file, own)
        path = fetch(file, self._access, name=self.card.name)
        try:
            return self._parse(file, path)
        except DataError as error:
            if file.verifiable:
                raise
            raise DataError(
                f"{error}. The card knows no checksum of this file: if the download was at fault, remove {path} and "
                f"{record_path(path)}, and get it again"
            ) from error

    def _parse(self, file: DataFile, path: Path) -> Reading:
        rows = sequences_and_label(read_rows(path, self.card.format), self.card.format, path)
        if file.rows is not None and rows.height != file.rows:
            raise DataError(
                f"{path} has {rows.height} rows, the card of {self.card.reference} says {file.rows}; remove the file "
                "and get it again, or write a card of your own if the source has changed"
            )
        reading = read_examples(rows, split=file.split, card=self.card, origin=str(path))
        for other, read in self._readings.items():
            if is_paired(read.examples) != is_paired(reading.examples):
                raise DataError(
                    f"{path}: of {other} and {file.split} one holds pairs of sequences and the other single ones; want "
                    "all files alike"
                )
        return reading


def central(examples: pl.DataFrame, context: int | None, *, by_base: bool = False) -> pl.DataFrame:
    """The examples with every sequence cut to its central `context` bases; shorter ones stay whole.

    Where one base more must go, it goes from the end. Of a pair each sequence is cut. Labels by base are cut alike.

    Raises:
        UsageError: the context is not positive.
    """
    if context is None:
        return examples
    if context < 1:
        raise UsageError(f"context {context}: want a number of bases of at least 1")

    def start(name: str) -> pl.Expr:
        return ((pl.col(name).str.len_bytes().cast(pl.Int64) - context) // 2).clip(lower_bound=0)

    sequences = ("sequence", "sequence_2") if is_paired(examples) else ("sequence",)
    cut = {name: pl.col(name).str.slice(start(name), context) for name in sequences}
    labels = {"label": pl.col("label").list.slice(start("sequence"), context)} if by_base else {}
    return examples.with_columns(**cut, **labels)
