"""A user's own table as a task: one CSV or TSV file, or a folder of train, dev and test files.

What the columns, the splits and the kind of task are is read from the file, and said in the card that is made.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import polars as pl

from glmbench.errors import DataError, UsageError
from glmbench.storage.hashing import sha256_file, sha256_json
from glmbench.tasks.card import DataFile, TableFormat, TaskCard, TaskKind, described
from glmbench.tasks.columns import PARTNERS, paired_columns, partner, split_joined
from glmbench.tasks.delimited import Reading, letter_counts, read_examples, read_rows
from glmbench.tasks.labels import BY_BASE
from glmbench.tasks.leakage.copies import strand_keys
from glmbench.tasks.table import LOADER_VERSION, central
from glmbench.tasks.task import LetterCounts, is_paired

SEQUENCE_NAMES = ("sequence", "seq", "dna", "dna_sequence", "dna_seq", "sequences")
LABEL_NAMES = ("label", "y", "target", "class", "labels", "value", "expression", "activity")
SPLIT_NAMES = {"train": "train", "dev": "dev", "val": "dev", "valid": "dev", "validation": "dev", "test": "test"}
LABEL_PREFIXES = ("label_", "label:")
"""Several columns whose names begin so are yes/no labels, of the rest of their names, where no column is a label."""
METRICS: dict[TaskKind, tuple[str, ...]] = {
    "classification": ("mcc", "accuracy", "macro_f1", "auroc", "auprc"),
    "regression": ("spearman", "pearson"),
    "multilabel": ("mean_auroc", "mean_auprc", "mean_mcc", "mean_f1"),
    "per-base": ("mcc", "accuracy", "macro_f1", "auroc", "auprc"),
}
"""What a task of a kind is measured by; the main metric comes first."""
_SUFFIXES = (".csv", ".tsv", ".txt", ".tab", ".csv.gz", ".tsv.gz", ".txt.gz")

MOST_CLASSES = 50
"""Whole-number labels with more values than this are measurements; as many names are not classes."""


class OwnTable:
    """A task over tables in memory; implements `tasks.task.Task`."""

    def __init__(self, card: TaskCard, readings: dict[str, Reading]) -> None:
        """Hold the examples of each split of the card."""
        self.card = card
        self._readings = readings

    def splits(self) -> tuple[str, ...]:
        """The splits that have rows: train and test, perhaps dev."""
        return tuple(self._readings)

    def load(self, split: str, *, context: int | None = None) -> pl.DataFrame:
        """Examples of one split (columns: `tasks.task`); `context` keeps the central `context` bp.

        Raises:
            UsageError: there is no such split.
        """
        return central(self.reading(split).examples, context, by_base=self.card.kind == "per-base")

    def reading(self, split: str) -> Reading:
        """The examples of one split with the counts of what was altered; errors as `load`."""
        if split not in self._readings:
            raise UsageError(f"{self.card.reference} has no split {split!r}; it has {', '.join(self._readings)}")
        return self._readings[split]

    def letters(self, split: str) -> LetterCounts:
        """What was altered in one split; errors as `load`."""
        return self.reading(split).letters

    def data_hash(self) -> str:
        """SHA-256 over the files' content and everything that was read from them of how to take them."""
        files = [[file.split, file.sha256] for file in self.card.files]
        return sha256_json({"loader": LOADER_VERSION, "card": described(self.card, "split_rule"), "files": files})

    def references(self, split: str) -> dict[str, pl.DataFrame]:
        """None: the truth behind a table is not known."""
        return {}


@dataclass(frozen=True)
class _Columns:
    """Names of the columns as the file has them; one label, or several yes/no labels."""

    sequence: str
    sequence_2: str | None
    labels: tuple[str, ...]
    split: str | None
    group: str | None

    def format(self, separator: str, kmer_joined: int | None) -> TableFormat:
        one = len(self.labels) == 1
        return TableFormat(
            separator=separator,
            sequence=self.sequence,
            sequence_2=self.sequence_2,
            label=self.labels[0] if one else "label",
            labels=() if one else self.labels,
            kmer_joined=kmer_joined,
        )


def open_table_path(path: Path) -> OwnTable:
    """Read a table (or a folder of `train`, `dev`, `test` tables) as a task, with a card that says what was understood.

    Columns are found by name, of either case (`SEQUENCE_NAMES`, `columns.PARTNERS`, `LABEL_NAMES`, `LABEL_PREFIXES`);
    `split` and `group` are used where they are. Without a test split one is drawn by a hash of the sequence (or the
    group), the same on every machine.

    Raises:
        UsageError: no such file, or a folder without tables.
        DataError: no sequence or label column, a malformed row, or too few rows to split; names the file and row.
    """
    files = _files(path)
    formats = {file: TableFormat(separator=_separator(file)) for file in files}
    tables = {file: read_rows(file, formats[file]) for file in files}
    columns = _columns(tables[files[0]], files[0])
    named = {file: _named(tables[file], columns, file, _split_of(file, path)) for file in files}
    if len({tuple(rows.columns) for rows in named.values()}) > 1:
        raise DataError(f"{path}: some tables hold pairs of sequences and some single ones; want all alike")
    rows = pl.concat(list(named.values()))
    kind, classes = _kind(rows, columns, str(path))
    card = TaskCard(
        name=path.resolve().name.removesuffix(".gz").rsplit(".", 1)[0],
        title=f"Own table {path.name}",
        kind=kind,
        classes=classes,
        metric=METRICS[kind][0],
        metrics=METRICS[kind],
        unit="group" if columns.group is not None else "example",
        licence="the user's own data",
        format=columns.format(formats[files[0]].separator, _joined(rows["sequence"])),
    )
    examples = pl.concat([_examples(named[file], card, file) for file in files])
    assigned, rule = _splits(examples, rows["split"], grouped=columns.group is not None, path=path)
    readings = {
        split: _reading(examples, rows, assigned == split, split, grouped=columns.group is not None)
        for split in ("train", "dev", "test")
        if (assigned == split).any()
    }
    listed = tuple(
        DataFile(path=file.name, split=_split_of(file, path) or "all", sha256=sha256_file(file)) for file in files
    )
    return OwnTable(card.model_copy(update={"split_rule": rule, "files": listed}), readings)


def _examples(rows: pl.DataFrame, card: TaskCard, file: Path) -> pl.DataFrame:
    if card.kind == "classification":
        rows = rows.with_columns(label=_class_names(rows["label"]))
    return read_examples(rows, split="", card=card, origin=str(file)).examples


def _reading(examples: pl.DataFrame, text: pl.DataFrame, inside: pl.Series, split: str, *, grouped: bool) -> Reading:
    """The rows of one split; their ids keep the row of the file."""
    identifier = pl.lit(split) + pl.col("id")
    part = examples.filter(inside).with_columns(id=identifier, group=pl.col("group") if grouped else identifier)
    given, read = (
        pl.concat([rows[name].alias("sequence") for name in ("sequence", "sequence_2") if name in rows.columns])
        for rows in (text.filter(inside), part)
    )
    return Reading(part, letter_counts(given, read))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UsageError(
            f"no file {str(path)!r}; want a table (.csv, .tsv) or a folder with train, dev and test tables"
        )
    found = [
        file for file in sorted(path.iterdir()) if file.name.endswith(_SUFFIXES) and _split_of(file, path) is not None
    ]
    splits = [_split_of(file, path) for file in found]
    if "train" not in splits or len(set(splits)) < len(splits):
        names = ", ".join(file.name for file in found) or "none"
        raise UsageError(
            f"folder {str(path)!r}: want one table each named train, dev (or val), test (.csv, .tsv); got {names}"
        )
    return found


def _split_of(file: Path, path: Path) -> str | None:
    return None if file == path else SPLIT_NAMES.get(file.name.split(".")[0].lower())


def _separator(path: Path) -> str:
    """The tab, comma or semicolon that is most frequent in the header."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as opened:
            header = opened.readline(1 << 20).decode("utf-8", "replace")
    except (OSError, EOFError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    best = max("\t,;", key=header.count)
    if header.strip() and best not in header:
        raise DataError(
            f"{path}: no tab, comma or semicolon in the first line {header[:40]!r}; want a header, as 'sequence,label'"
        )
    return best


def _columns(rows: pl.DataFrame, path: Path) -> _Columns:
    by_lower = {name.strip().lower(): name for name in reversed(rows.columns)}
    pair = paired_columns(by_lower)
    alone = next((name for name in SEQUENCE_NAMES if name in by_lower), None)
    first = alone or (pair and pair[0]) or _absent("sequence", (*SEQUENCE_NAMES, *PARTNERS), rows, path)
    second = partner(first, by_lower)
    label = next((name for name in LABEL_NAMES if name in by_lower), None)
    several = tuple(name for name in rows.columns if name.strip().lower().startswith(LABEL_PREFIXES))
    if label is None and len(several) < 2:
        _absent("label", LABEL_NAMES, rows, path)
    return _Columns(
        sequence=by_lower[first],
        sequence_2=None if second is None else by_lower[second],
        labels=several if label is None else (by_lower[label],),
        split=by_lower.get("split"),
        group=by_lower.get("group"),
    )


def _absent(what: str, wanted: Sequence[str], rows: pl.DataFrame, path: Path) -> NoReturn:
    got = ", ".join(repr(name[:20]) for name in rows.columns[:8])
    raise DataError(
        f"{path}: no column for the {what}; got {got}, want a header with one of "
        f"{', '.join(dict.fromkeys(wanted))}, or a card (.toml) that names the columns under [format]"
    )


def _named(rows: pl.DataFrame, columns: _Columns, file: Path, split: str | None) -> pl.DataFrame:
    """Columns sequence, sequence_2 (of pairs), label, split (null where none is given), group (where there is one)."""
    found = (columns.sequence, columns.sequence_2, *columns.labels, columns.split, columns.group)
    if absent := [name for name in found if name is not None and name not in rows.columns]:
        raise DataError(
            f"{file}: no column {absent[0]!r}, which the other tables have; got {', '.join(rows.columns[:8])}"
        )
    several = len(columns.labels) > 1
    given = pl.lit(split, dtype=pl.String) if columns.split is None or split is not None else pl.col(columns.split)
    chosen = {
        "sequence": pl.col(columns.sequence),
        "sequence_2": None if columns.sequence_2 is None else pl.col(columns.sequence_2),
        "label": pl.concat_list(columns.labels) if several else pl.col(columns.labels[0]),
        "split": given,
        "group": None if columns.group is None else pl.col(columns.group),
    }
    named = rows.select(column.alias(name) for name, column in chosen.items() if column is not None)
    return split_joined(named, str(file))


def _joined(sequences: pl.Series) -> int | None:
    """k, where the first sequence is k-mers joined by blanks."""
    tokens = str(sequences[0] or "").split(" ")
    return len(tokens[0]) if len(tokens) > 1 and len(set(map(len, tokens))) == 1 else None


def _kind(rows: pl.DataFrame, columns: _Columns, origin: str) -> tuple[TaskKind, tuple[str, ...]]:
    """Kind of task, and the names of its classes or labels."""
    if len(columns.labels) > 1:
        return "multilabel", tuple(name.strip()[len("label_") :] for name in columns.labels)
    if _by_base(rows):
        largest = max(int(digit) for digit in set("".join(rows["label"])) if digit.isdigit())
        return "per-base", _at_least_two(tuple(map(str, range(largest + 1))), origin)
    given = _class_names(rows["label"]).drop_nulls()
    given = given.filter(given != "")
    values = given.cast(pl.Float64, strict=False)
    if not values.is_null().any():
        if not bool((values == values.floor()).all()) or values.n_unique() > MOST_CLASSES:
            return "regression", ()
        return "classification", _at_least_two(tuple(sorted(given.unique(), key=float)), origin)
    classes = tuple(sorted(given.unique().to_list()))
    if len(classes) > MOST_CLASSES:
        raise DataError(
            f"{origin}: the labels are text of {len(classes)} kinds ({classes[0]!r}, …); want numbers, or names of at "
            f"most {MOST_CLASSES} classes. For more, write a card (.toml) that lists them"
        )
    return "classification", _at_least_two(classes, origin)


def _by_base(rows: pl.DataFrame) -> bool:
    """Whether every label has a digit, or the sign of none, for each base of its sequence, of at least two bases.

    Numbers with a decimal point, as `0.25`, are values, though a sequence may be as long.
    """
    if "sequence_2" in rows.columns:
        return False
    labels, sequences = rows["label"].str.strip_chars(), rows["sequence"].str.strip_chars()
    lengths = _lengths(sequences)
    written = labels.str.contains(f"^{BY_BASE}$") & (labels.str.len_bytes() == lengths) & (lengths > 1)
    numbers = labels.str.contains(r"^-?[0-9]+\.[0-9]+$")
    return bool(written.fill_null(False).all()) and not numbers.all() and bool(labels.str.contains("[0-9]").any())


def _lengths(sequences: pl.Series) -> pl.Series:
    """Bases of each sequence, k-mers joined by blanks as one sequence."""
    k = _joined(sequences)
    if k is None:
        return sequences.str.len_bytes()
    return sequences.str.count_matches(" ", literal=True) + k


def _class_names(labels: pl.Series) -> pl.Series:
    """Labels as names of classes; whole numbers written as `1.0` or `01` become `1`."""
    stripped = labels.str.strip_chars()
    values = stripped.cast(pl.Float64, strict=False)
    whole = (values.is_finite() & (values == values.floor())).fill_null(False).all()
    return values.cast(pl.Int64).cast(pl.String) if whole else stripped


def _at_least_two(classes: tuple[str, ...], origin: str) -> tuple[str, ...]:
    if len(classes) < 2:
        raise DataError(
            f"{origin}: all labels are {', '.join(classes) or 'missing'}; want at least two classes, or numbers"
        )
    return classes


def _splits(examples: pl.DataFrame, given: pl.Series, *, grouped: bool, path: Path) -> tuple[pl.Series, str]:
    """The split of each row, and the rule in words."""
    assigned = (
        given.str.strip_chars().str.to_lowercase().replace_strict(SPLIT_NAMES, default=None, return_dtype=pl.String)
    )
    if given.is_null().all():
        assigned, said = pl.repeat("train", examples.height, eager=True).alias("split"), "no splits given"
    elif assigned.is_null().any():
        row = int(assigned.is_null().arg_max() or 0)
        raise DataError(f"{path}: the split of row {row} (line {row + 2}) is {given[row]!r}; want train, dev or test")
    else:
        said = "splits as given"
    if (assigned == "test").any():
        return assigned, said
    with_dev = bool((assigned == "dev").any())
    keys = examples["group"] if grouped else strand_keys(examples)
    tenth = pl.Series([_tenth(key) for key in keys], dtype=pl.Int64)
    test, dev = (assigned == "train") & (tenth == 0), (assigned == "train") & (tenth == 1) & (not with_dev)
    drawn = pl.select(
        pl.when(test).then(pl.lit("test")).when(dev).then(pl.lit("dev")).otherwise(assigned).alias("split")
    ).to_series()
    if not {"train", "test"} <= set(drawn.unique()):
        raise DataError(f"{path}: {examples.height} rows are too few to draw a test split from; add a `split` column")
    sequence = "pair of sequences" if is_paired(examples) else "sequence"
    what = "group" if grouped else f"{sequence} (either strand)"
    shares = "train : test = 9 : 1" if with_dev else "train : dev : test = 8 : 1 : 1"
    return drawn, f"{said}; {shares} drawn by SHA-256 of the {what}, so that equal ones stay together"


def _tenth(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % 10
