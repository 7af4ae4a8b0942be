"""What each verb asks of a model about the records of a chunk, as tables with a row a record, or a row a base."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from glmbench.errors import DataError, Unsupported
from glmbench.inference.driving import Answer, Tables
from glmbench.inference.records import Record
from glmbench.inference.sinks import VECTOR
from glmbench.models.model import (
    Embeds,
    Inspectable,
    Predicts,
    PredictsBases,
    PredictsEachBase,
    ScoresSequences,
    States,
)

ROWS = "rows"
_AT_ONCE = 1 << 14
"""Positions of bases that are asked in one call."""
_KNOWN = np.zeros(256, dtype=np.bool_)
_KNOWN[np.frombuffer(b"ACGTacgt", dtype=np.uint8)] = True
_CODE = np.zeros(256, dtype=np.int64)
_CODE[np.frombuffer(b"AaCcGgTt", dtype=np.uint8)] = np.repeat(np.arange(4), 2)


def places(records: Sequence[Record], *, located: bool) -> dict[str, pl.Series]:
    """Columns name, start and end of what was asked about; of intervals also contig and strand."""
    spans = [record.place for record in records]
    columns = {"name": pl.Series([record.name for record in records], dtype=pl.String)}
    if located:
        columns["contig"] = pl.Series([record.contig for record in records], dtype=pl.String)
    columns["start"] = pl.Series([start for start, _ in spans], dtype=pl.Int64)
    columns["end"] = pl.Series([end for _, end in spans], dtype=pl.Int64)
    if located:
        columns["strand"] = pl.Series([record.strand for record in records], dtype=pl.String)
    return columns


def embed(model: Embeds, *, located: bool) -> Answer:
    """One vector a record: columns of `places` and `embedding`, an array of float32."""

    def answer(records: Sequence[Record]) -> Tables:
        features: Any = model.embed([record.sequence for record in records])
        dense = np.asarray(features.toarray() if hasattr(features, "toarray") else features, dtype=np.float32)
        if not np.isfinite(dense).all():
            row = int(np.argmin(np.isfinite(dense).all(axis=1)))
            raise DataError(f"the model gave a vector with NaN or infinite values for record {records[row].name}")
        vectors = pl.Series(np.ascontiguousarray(dense), dtype=pl.Array(pl.Float32, dense.shape[1]))
        return {ROWS: pl.DataFrame(places(records, located=located) | {VECTOR: vectors})}

    return answer


def embed_bases(model: Inspectable, layer: str, precision: Literal["float16", "float32"], *, windowed: bool) -> Answer:
    """The state over every base of a record: columns tensor, bases, dim, type and values (the bytes of bases x dim).

    A base has the mean of the states of the tokens that cover it; special tokens are left out.

    Raises:
        Unsupported: the layer has no places left.
        DataError: a base that no token covers, NaN or infinite states, or states that float16 cannot hold.
    """
    kind, store = ("F16", np.dtype("<f2")) if precision == "float16" else ("F32", np.dtype("<f4"))

    def answer(records: Sequence[Record]) -> Tables:
        found = model.states([record.sequence for record in records], layer)
        tensors = [
            base_states(states, len(record.sequence), f"{layer} of {record.name}")
            for record, states in zip(records, found, strict=True)
        ]
        for record, tensor in zip(records, tensors, strict=True):
            if not np.isfinite(tensor).all():
                raise DataError(f"layer {layer} has NaN or infinite states over record {record.name}")
        if kind == "F16" and max(float(np.abs(tensor).max()) for tensor in tensors) > np.finfo(np.float16).max:
            raise DataError(f"layer {layer} has states that float16 cannot hold; take --dtype float32")
        names = [_tensor_name(record, windowed) for record in records]
        return {
            ROWS: pl.DataFrame(
                {
                    "tensor": pl.Series(names, dtype=pl.String),
                    "type": pl.Series([kind] * len(names), dtype=pl.String),
                    "bases": pl.Series([len(tensor) for tensor in tensors], dtype=pl.Int64),
                    "dim": pl.Series([tensor.shape[1] for tensor in tensors], dtype=pl.Int64),
                    "values": pl.Series([tensor.astype(store).tobytes() for tensor in tensors], dtype=pl.Binary),
                }
            )
        }

    return answer


def _tensor_name(record: Record, windowed: bool) -> str:
    start, end = record.offset, record.offset + len(record.sequence)
    return f"{record.name}:{start}-{end}" if windowed else record.name


def base_states(states: States, length: int, where: str) -> NDArray[np.float32]:
    """States of tokens as states of bases, float32 (length, dim): means over the tokens that cover each.

    Raises:
        Unsupported: the layer has no places.
        DataError: there is a base that no token covers.
    """
    covering = states.starts >= 0
    starts, ends, values = states.starts[covering], states.ends[covering], states.values[covering]
    if not len(values):
        raise Unsupported(f"layer {where} has no places that stand for bases; choose an earlier one")
    counts = np.zeros(length + 1, dtype=np.int64)
    np.add.at(counts, starts, 1)
    np.add.at(counts, ends, -1)
    depth = np.cumsum(counts)[:length]
    if (depth == 0).any():
        raise DataError(f"layer {where}: no token covers base {int(np.argmax(depth == 0))} (0-based)")
    if (depth == 1).all():
        return np.repeat(values, ends - starts, axis=0)
    sums = np.zeros((length, values.shape[1]), dtype=np.float32)
    for start, end, value in zip(starts.tolist(), ends.tolist(), values, strict=True):
        sums[start:end] += value
    sums /= depth[:, None].astype(np.float32)
    return sums


def score(model: ScoresSequences, *, located: bool) -> Answer:
    """How likely each record is: columns of `places`, bases (A, C, G and T), log_likelihood (nats), bits_per_base."""

    def answer(records: Sequence[Record]) -> Tables:
        scores = np.asarray(model.log_likelihood([record.sequence for record in records]), dtype=np.float64)
        known = [int(_KNOWN[_letters(record)].sum()) for record in records]
        columns = places(records, located=located) | {
            "bases": pl.Series(known, dtype=pl.Int64),
            "log_likelihood": pl.Series(scores, dtype=pl.Float64),
        }
        bits = pl.when(pl.col("bases") > 0).then(-pl.col("log_likelihood") / (pl.col("bases") * math.log(2)))
        return {ROWS: pl.DataFrame(columns).with_columns(bits_per_base=bits)}

    return answer


@dataclass
class Likelihood:
    """How likely all rows together are, summed over tables of `score` or `score_bases`."""

    bases: int = 0
    nats: float = 0.0

    def add(self, table: pl.DataFrame) -> None:
        """Count the rows of one table."""
        per_base = "log_p" in table.columns
        self.bases += table["log_p"].count() if per_base else int(table["bases"].sum())
        self.nats += float(table["log_p" if per_base else "log_likelihood"].cast(pl.Float64).sum())

    def summary(self) -> dict[str, float | int | None]:
        """Known bases, log likelihood in nats, and bits per base."""
        bits = -self.nats / self.bases / math.log(2) if self.bases else None
        return {"known_bases": self.bases, "log_likelihood": self.nats, "bits_per_base": bits}


def score_bases(model: PredictsBases, *, single_pass: bool, located: bool) -> Answer:
    """A row for every base asked about: name, (contig,) position, base, log_p of that base, and log p of A, C, G, T.

    With `single_pass`, and always where the model reads from the left alone, from one pass over each record; else each
    base is hidden in turn. A base that is not known has no `log_p`. Bases of `-` intervals are those of the reverse
    strand, at their positions on the forward one.
    """

    def answer(records: Sequence[Record]) -> Tables:
        sequences = [record.sequence for record in records]
        if single_pass or model.reach == "left":
            scanned = model.scan(sequences)
            kept = [rows[slice(*record.keep)] for rows, record in zip(scanned, records, strict=True)]
        else:
            kept = _hidden_in_turn(model, records)
        return {
            ROWS: pl.concat([_base_rows(record, rows, located) for record, rows in zip(records, kept, strict=True)])
        }

    return answer


def _hidden_in_turn(model: PredictsBases, records: Sequence[Record]) -> list[NDArray[np.float32]]:
    questions = ((record.sequence, position) for record in records for position in range(*record.keep))
    rows = np.empty((sum(record.bases for record in records), 4), dtype=np.float32)
    at = 0
    while block := list(islice(questions, _AT_ONCE)):
        rows[at : at + len(block)] = model.fill([text for text, _ in block], [position for _, position in block])
        at += len(block)
    return np.split(rows, np.cumsum([record.bases for record in records])[:-1])


def _base_rows(record: Record, log_p: NDArray[np.float32], located: bool) -> pl.DataFrame:
    letters = _letters(record)[slice(*record.keep)]
    known = _KNOWN[letters]
    start, end = record.place
    positions = np.arange(end - 1, start - 1, -1) if record.strand == "-" else np.arange(start, end)
    own = np.where(known, log_p[np.arange(len(letters)), _CODE[letters]], np.nan)
    columns: dict[str, Any] = {"name": pl.repeat(record.name, len(letters), dtype=pl.String, eager=True)}
    if located:
        columns["contig"] = pl.repeat(record.contig, len(letters), dtype=pl.String, eager=True)
    columns |= {
        "position": pl.Series(positions, dtype=pl.Int64),
        "base": pl.Series([chr(letter) for letter in letters.tolist()], dtype=pl.String),
        "log_p": pl.Series(own, dtype=pl.Float32).fill_nan(None),
    }
    columns |= {base: pl.Series(log_p[:, code], dtype=pl.Float32) for code, base in enumerate("ACGT")}
    return pl.DataFrame(columns)


def predict(model: Predicts, *, located: bool) -> Answer:
    """A row a record: columns of `places`, one an output, and, of two or more, `label`: the name of the highest.

    Outputs that do not exclude each other have no highest, and no column `label`.
    """
    names: list[str] = []

    def answer(records: Sequence[Record]) -> Tables:
        inputs: Any = _inputs(records, pairs=model.card.pairs)
        scores = np.asarray(model.predict(inputs), dtype=np.float32)
        columns = places(records, located=located)
        if not names:
            names.extend(_output_names(model.card.outputs, scores.shape[1]))
        for column, name in enumerate(names):
            columns[name if name not in {*columns, "label"} else f"output {name}"] = pl.Series(scores[:, column])
        if len(names) > 1 and not model.card.several_labels:
            columns["label"] = pl.Series([names[best] for best in scores.argmax(axis=1).tolist()], dtype=pl.String)
        return {ROWS: pl.DataFrame(columns)}

    return answer


def predict_bases(model: PredictsEachBase, *, located: bool) -> Answer:
    """A row a base: name (of intervals contig too), position, base, a column a class, and `label`, the likeliest."""

    def answer(records: Sequence[Record]) -> Tables:
        scores = model.predict_bases([record.sequence for record in records])
        kept = [found[record.keep[0] : record.keep[1]] for found, record in zip(scores, records, strict=True)]
        columns = _base_columns(records, located=located)
        together = np.concatenate(kept)
        names = _output_names(model.card.outputs, together.shape[1])
        for column, name in enumerate(names):
            columns[name if name not in {*columns, "label"} else f"output {name}"] = pl.Series(together[:, column])
        columns["label"] = pl.Series([names[best] for best in together.argmax(axis=1).tolist()], dtype=pl.String)
        return {ROWS: pl.DataFrame(columns)}

    return answer


def _base_columns(records: Sequence[Record], *, located: bool) -> dict[str, pl.Series]:
    """Columns name, position and base of every base asked about; on the reverse strand positions go down."""
    counts = [record.bases for record in records]

    def repeated(values: Sequence[str]) -> pl.Series:
        return pl.Series(np.repeat(np.array(values, dtype=object), counts).tolist(), dtype=pl.String)

    columns = {"name": repeated([record.name for record in records])}
    if located:
        columns["contig"] = repeated([record.contig for record in records])
    spans = [np.arange(*record.place) for record in records]
    positions = [span[::-1] if record.strand == "-" else span for span, record in zip(spans, records, strict=True)]
    columns["position"] = pl.Series(np.concatenate(positions), dtype=pl.Int64)
    letters = "".join(record.sequence[record.keep[0] : record.keep[1]] for record in records)
    columns["base"] = pl.Series(list(letters), dtype=pl.String)
    return columns


def _inputs(records: Sequence[Record], *, pairs: bool) -> list[Any]:
    """Sequences, or pairs of them.

    Raises:
        Unsupported: the model takes pairs and a record is none, or the reverse.
    """
    odd = next((record.name for record in records if bool(record.partner) != pairs), None)
    if odd is not None:
        wants, got = ("pairs", "one sequence") if pairs else ("single sequences", "a pair")
        raise Unsupported(
            f"the model answers about {wants}, {odd} is {got}; pairs are rows of a table with two columns of "
            "sequences, as sequence and sequence_2"
        )
    return [(record.sequence, record.partner) if pairs else record.sequence for record in records]


def _output_names(stated: tuple[str, ...], count: int) -> list[str]:
    if len(stated) == count and len(set(stated)) == count:
        return list(stated)
    return ["prediction"] if count == 1 else [f"output{number}" for number in range(count)]


def _letters(record: Record) -> NDArray[np.uint8]:
    return np.frombuffer(record.sequence.encode("ascii"), dtype=np.uint8)


def layer_named(model: Inspectable, layer: str | None) -> str:
    """The name of a layer: None for the last, a number counted as Python counts, or its name.

    Raises:
        Unsupported: there is none; the message lists them.
    """
    names = model.layers()
    if layer is None:
        return names[-1]
    if layer in names:
        return layer
    number = int(layer) if layer.lstrip("-").isdigit() else len(names)
    if -len(names) <= number < len(names):
        return names[number]
    raise Unsupported(f"{model.card.reference} has no layer {layer!r}; its layers: {', '.join(names)}")
