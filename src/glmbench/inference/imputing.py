"""Imputation of records: what is written of every unknown base, and the self-test on known bases that are hidden."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from glmbench.inference.driving import Answer, Tables
from glmbench.inference.records import Record
from glmbench.methods.imputation import Imputation, Imputed, impute, places_of_runs, unknown_runs
from glmbench.models.model import PredictsBases
from glmbench.sequences.alphabet import BASES
from glmbench.sequences.typing import Integers
from glmbench.storage.hashing import sha256_strings

SEQUENCES, FILLED, LEFT = "sequences", "filled", "left"

SEGMENT = 1 << 16
"""Bases of a record that are worked on together."""
DRAWN = 1 << 16
"""Places of a record whose random numbers are drawn together."""

BINS = (0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
"""Edges of the bins of confidence: the highest of four probabilities is 0.25 or more."""


def fill_unknown(model: PredictsBases, how: Imputation, *, longest_run: int, masked: bool, located: bool) -> Answer:
    """Fill the N of segments, with `masked` also what is in lower case; runs longer than `longest_run` stay.

    Gives tables `sequences` (name, description, offset, sequence), `filled` (a row for every base that was asked: see
    `base_rows`) and `left` (one row: runs and bases that were too long to be asked).
    """

    def answer(records: Sequence[Record]) -> Tables:
        asked, runs, bases = [], 0, 0
        for record in records:
            found, lengths = _runs_of(record, masked)
            asked.append(_within(places_of_runs(found[lengths <= longest_run]), record))
            too_long = found[lengths > longest_run]
            bases += len(_within(places_of_runs(too_long), record))
            runs += int(_begin_in(record, too_long).sum())
        done = impute(model, [record.sequence for record in records], asked, how)
        return {
            SEQUENCES: pl.DataFrame([_sequence_row(record, one) for record, one in zip(records, done, strict=True)]),
            FILLED: _joined(records, done, located),
            LEFT: pl.DataFrame({"runs": [runs], "bases": [bases]}),
        }

    return answer


def hide_known(model: PredictsBases, how: Imputation, *, fraction: float, seed: int, located: bool) -> Answer:
    """Hide a fraction of the known bases, all at once, and ask for them: table `filled`, with the truth.

    Which are hidden follows from the seed, the record's name and its place, not from how the input was cut.
    """

    def answer(records: Sequence[Record]) -> Tables:
        hidden = [_hidden(record, fraction, seed) for record in records]
        asked = [_within(places, record) for places, record in zip(hidden, records, strict=True)]
        texts = [_without(record.sequence, places) for places, record in zip(hidden, records, strict=True)]
        done = impute(model, texts, asked, how)
        truth = [
            pl.Series("true", [record.sequence[place].upper() for place in places.tolist()], dtype=pl.String)
            for record, places in zip(records, asked, strict=True)
        ]
        return {FILLED: _joined(records, done, located).with_columns(pl.concat(truth))}

    return answer


def weight(record: Record) -> int:
    """What a segment weighs in a chunk: a base that is asked for costs more than one that is only read."""
    kept = record.sequence[slice(*record.keep)]
    return len(kept) + 64 * (kept.count("N") + kept.count("n"))


def _runs_of(record: Record, masked: bool) -> tuple[Integers, Integers]:
    """Runs in the segment that have a base in the range that is asked about, and how long each is in the record."""
    runs = unknown_runs(record.sequence, masked=masked)
    lengths = runs[:, 1] - runs[:, 0]
    lengths[runs[:, 0] == 0] += record.beyond[0]
    lengths[runs[:, 1] == len(record.sequence)] += record.beyond[1]
    here = (runs[:, 1] > record.keep[0]) & (runs[:, 0] < record.keep[1])
    return runs[here], lengths[here]


def _begin_in(record: Record, runs: Integers) -> NDArray[np.bool_]:
    """Which runs begin in the range that is asked about, so that one of several segments is counted once."""
    return (runs[:, 0] >= record.keep[0]) & ((runs[:, 0] > 0) | (record.beyond[0] == 0))


def _within(places: Integers, record: Record) -> Integers:
    return places[(places >= record.keep[0]) & (places < record.keep[1])]


def _hidden(record: Record, fraction: float, seed: int) -> Integers:
    """Known bases of a segment that are hidden, its context included: drawn by their places in the whole record."""
    first, last = record.offset, record.offset + len(record.sequence)
    blocks = range(first // DRAWN, -(-last // DRAWN))
    drawn = np.concatenate([_drawn(record, seed, block) for block in blocks])[first - blocks.start * DRAWN :]
    letters = np.frombuffer(record.sequence.encode("ascii"), dtype=np.uint8) & 0xDF
    known = np.isin(letters, np.frombuffer(BASES.encode(), dtype=np.uint8))
    return np.flatnonzero((drawn[: len(letters)] < fraction) & known)


def _drawn(record: Record, seed: int, block: int) -> NDArray[np.float64]:
    about = [record.name, record.contig, str(record.origin), record.strand, str(seed), str(block)]
    return np.random.default_rng(int(sha256_strings(about)[:16], 16)).random(DRAWN)


def _without(sequence: str, hidden: Integers) -> str:
    """The sequence with N, in the case of what stood there, at the hidden places."""
    letters = np.frombuffer(sequence.encode("ascii"), dtype=np.uint8).copy()
    letters[hidden] = (letters[hidden] & 0x20) | ord("N")
    return letters.tobytes().decode("ascii")


def _sequence_row(record: Record, done: Imputed) -> dict[str, Any]:
    return {
        "name": record.name,
        "description": record.description,
        "offset": record.offset + record.keep[0],
        "sequence": done.sequence[slice(*record.keep)],
    }


def _joined(records: Sequence[Record], done: Sequence[Imputed], located: bool) -> pl.DataFrame:
    return pl.concat([base_rows(record, one, located=located) for record, one in zip(records, done, strict=True)])


def base_rows(record: Record, done: Imputed, *, located: bool) -> pl.DataFrame:
    """A row for every base that was asked: name, (contig,) position, base, filled, confidence, p_A, p_C, p_G, p_T.

    `position` is 0-based in the record, of intervals on the contig's forward strand; `base` is the most probable one,
    on the record's strand, and `filled` says whether it was sure enough to be written.
    """
    probabilities = np.exp(done.log_probabilities.astype(np.float64)).astype(np.float32)
    best = probabilities.argmax(axis=1)
    place = done.positions + record.offset
    if record.strand == "-":
        place = record.length - 1 - place
    columns: dict[str, Any] = {"name": pl.repeat(record.name, len(best), dtype=pl.String, eager=True)}
    if located:
        columns["contig"] = pl.repeat(record.contig, len(best), dtype=pl.String, eager=True)
    columns |= {
        "position": pl.Series(place + record.origin, dtype=pl.Int64),
        "base": pl.Series([BASES[code] for code in best.tolist()], dtype=pl.String),
        "filled": pl.Series(done.filled, dtype=pl.Boolean),
        "confidence": pl.Series(probabilities.max(axis=1, initial=0), dtype=pl.Float32),
    }
    columns |= {f"p_{base}": pl.Series(probabilities[:, code], dtype=pl.Float32) for code, base in enumerate(BASES)}
    return pl.DataFrame(columns)


@dataclass
class SelfTest:
    """What `hide_known` says of a model, summed over tables.

    Attributes:
        confidence: sums by bin of `BINS`.
        correct, number, filled, filled_correct: counts by bin, and over all.
        nats: sum of -log p of the true base.
        truth: how often each base was the truth.
    """

    number: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(BINS) - 1, dtype=np.int64))
    correct: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(BINS) - 1, dtype=np.int64))
    confidence: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(BINS) - 1))
    truth: NDArray[np.int64] = field(default_factory=lambda: np.zeros(4, dtype=np.int64))
    nats: float = 0.0
    filled: int = 0
    filled_correct: int = 0

    def add(self, table: pl.DataFrame) -> None:
        """Count the rows of one table `filled`."""
        confidence = table["confidence"].to_numpy().astype(np.float64)
        correct = (table["base"] == table["true"]).to_numpy()
        truth = np.array([BASES.index(base) for base in table["true"].to_list()], dtype=np.int64)
        probabilities = table.select([f"p_{base}" for base in BASES]).to_numpy().astype(np.float64)
        bins = np.clip(np.searchsorted(BINS, confidence, side="right") - 1, 0, len(BINS) - 2)
        self.number += np.bincount(bins, minlength=len(BINS) - 1)
        self.correct += np.bincount(bins[correct], minlength=len(BINS) - 1)
        self.confidence += np.bincount(bins, weights=confidence, minlength=len(BINS) - 1)
        self.truth += np.bincount(truth, minlength=4)
        with np.errstate(divide="ignore"):
            self.nats -= float(np.log(probabilities[np.arange(len(truth)), truth]).sum())
        filled = table["filled"].to_numpy()
        self.filled += int(filled.sum())
        self.filled_correct += int((filled & correct).sum())

    def summary(self) -> dict[str, Any]:
        """Accuracy beside that of the most frequent base, bits per base, and a row for every bin that has bases.

        `calibration_error` is the mean over bases of |accuracy - mean confidence| of their bins (expected calibration
        error).
        """
        total = int(self.number.sum())
        if not total:
            return {"hidden": 0, "accuracy": None, "bins": []}
        bins = [
            {
                "from": BINS[index],
                "to": BINS[index + 1],
                "bases": int(self.number[index]),
                "confidence": float(self.confidence[index] / self.number[index]),
                "accuracy": float(self.correct[index] / self.number[index]),
            }
            for index in np.flatnonzero(self.number).tolist()
        ]
        off = sum(row["bases"] * abs(row["accuracy"] - row["confidence"]) for row in bins)
        return {
            "hidden": total,
            "accuracy": int(self.correct.sum()) / total,
            "most_frequent_base": int(self.truth.max()) / total,
            "bits_per_base": self.nats / total / math.log(2),
            "calibration_error": off / total,
            "filled": self.filled,
            "filled_accuracy": self.filled_correct / self.filled if self.filled else None,
            "bins": bins,
        }
