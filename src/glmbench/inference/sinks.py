"""Outputs by their ending: finished chunks joined into one file, a chunk at a time, whole or not at all."""

from __future__ import annotations

import errno
import gzip
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from glmbench.errors import UsageError
from glmbench.inference.safetensors_file import Tensor, write_safetensors
from glmbench.storage.atomic import atomic_path

TABLE_ENDINGS = (".parquet", ".tsv", ".tsv.gz", ".csv", ".csv.gz", ".jsonl", ".jsonl.gz")
VECTOR_ENDINGS = (".parquet", ".npy", ".safetensors", ".tsv", ".tsv.gz", ".csv", ".csv.gz")
STATE_ENDINGS = (".safetensors",)
FASTA_ENDINGS = (".fa", ".fasta", ".fna", ".fa.gz", ".fasta.gz", ".fna.gz")

VECTOR = "embedding"
"""Column of vectors, an array of float32."""

_LINE = 60
_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")


def ending_of(out: Path, endings: Sequence[str]) -> str:
    """The ending of an output's name.

    Raises:
        UsageError: it is none of `endings`.
    """
    found = next((ending for ending in endings if out.name.lower().endswith(ending)), None)
    if found is None:
        raise UsageError(f"--out {out}: want a name that ends in {', '.join(endings)}")
    return found


def rows_beside(out: Path) -> Path:
    """The table that says which row of a matrix is which record."""
    return out.with_name(out.name + ".rows.tsv")


def beside_vectors(out: Path) -> list[Path]:
    """What `write_vectors` writes beside the output."""
    return [rows_beside(out)] if ending_of(out, VECTOR_ENDINGS) in (".npy", ".safetensors") else []


def write_table(parts: Sequence[Path], out: Path) -> None:
    """Join tables in the form that the ending of `out` says."""
    ending = ending_of(out, TABLE_ENDINGS)
    with atomic_path(out) as temporary:
        if ending == ".parquet":
            with _system_errors(out):
                pl.scan_parquet(list(parts)).sink_parquet(temporary)
            return
        with _text(temporary, packed=ending.endswith(".gz")) as file:
            for number, part in enumerate(parts):
                file.write(as_text(pl.read_parquet(part), ending.removesuffix(".gz"), header=number == 0))


def as_text(table: pl.DataFrame, ending: str, *, header: bool) -> bytes:
    """A table as lines of `.tsv`, `.csv` or `.jsonl`."""
    if ending == ".jsonl":
        return table.write_ndjson().encode()
    return table.write_csv(separator="\t" if ending == ".tsv" else ",", include_header=header).encode()


def write_vectors(parts: Sequence[Path], out: Path) -> None:
    """Join tables whose column `embedding` holds the vectors: as they are, or as a matrix with its rows beside it."""
    ending = ending_of(out, VECTOR_ENDINGS)
    if ending == ".parquet":
        write_table(parts, out)
    elif ending in (".npy", ".safetensors"):
        write_table_of_rows(parts, rows_beside(out))
        _write_matrix(parts, out)
    else:
        with atomic_path(out) as temporary, _text(temporary, packed=ending.endswith(".gz")) as file:
            for number, part in enumerate(parts):
                table = pl.read_parquet(part)
                names = [f"e{column}" for column in range(_matrix(table).shape[1])]
                spread = table.drop(VECTOR).hstack(pl.DataFrame(_matrix(table), schema=names))
                file.write(as_text(spread, ending.removesuffix(".gz"), header=number == 0))


def write_table_of_rows(parts: Sequence[Path], out: Path) -> None:
    """The columns beside the vectors, as TSV."""
    with atomic_path(out) as temporary, temporary.open("wb") as file:
        for number, part in enumerate(parts):
            table = pl.scan_parquet(part).select(pl.exclude(VECTOR)).collect()
            file.write(as_text(table, ".tsv", header=number == 0))


def _write_matrix(parts: Sequence[Path], out: Path) -> None:
    rows = sum(pl.scan_parquet(part).select(pl.len()).collect().item() for part in parts)
    width = cast(pl.Array, pl.read_parquet_schema(parts[0])[VECTOR]).shape[0]
    blocks = (_matrix(pl.read_parquet(part, columns=[VECTOR])).tobytes() for part in parts)
    if out.name.lower().endswith(".safetensors"):
        write_safetensors(out, [Tensor(VECTOR, "F32", (rows, width))], blocks)
        return
    with atomic_path(out) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (rows, width)})
        for block in blocks:
            file.write(block)


def _matrix(table: pl.DataFrame) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.ascontiguousarray(table[VECTOR].to_numpy(), dtype="<f4")


def write_states(parts: Sequence[Path], out: Path) -> None:
    """One tensor (bases, dim) a record, of tables with columns tensor, bases, dim, type and values (bytes)."""
    heads = pl.concat([pl.scan_parquet(part).select("tensor", "type", "bases", "dim").collect() for part in parts])
    tensors = [Tensor(name, kind, (bases, dim)) for name, kind, bases, dim in heads.iter_rows()]
    values = (value for part in parts for value in pl.read_parquet(part, columns=["values"])["values"])
    write_safetensors(out, tensors, values)


def write_fasta(parts: Sequence[Path], out: Path) -> None:
    """Join tables with columns `name`, `description`, `offset` and `sequence` into FASTA, 60 bases a line.

    A row whose `offset` is not 0 goes on with the record of the row before it.
    """
    ending = ending_of(out, FASTA_ENDINGS)
    with atomic_path(out) as temporary, _text(temporary, packed=ending.endswith(".gz")) as file:
        open_line = ""
        for part in parts:
            for name, description, offset, sequence in (
                pl.read_parquet(part, columns=["name", "description", "offset", "sequence"])
                .select("name", "description", "offset", "sequence")
                .iter_rows()
            ):
                if offset == 0:
                    file.write((f"{open_line}\n" if open_line else "").encode())
                    file.write(f">{name}{' ' if description else ''}{description}\n".encode())
                    open_line = ""
                open_line = _write_lines(file, open_line + sequence)
        if open_line:
            file.write(f"{open_line}\n".encode())


def _write_lines(file: BinaryIO, letters: str) -> str:
    """Write full lines; return what is left of the last."""
    whole = len(letters) - len(letters) % _LINE
    file.write("".join(f"{letters[start : start + _LINE]}\n" for start in range(0, whole, _LINE)).encode())
    return letters[whole:]


@contextmanager
def _text(path: Path, *, packed: bool) -> Iterator[BinaryIO]:
    with path.open("wb") as file:
        if packed:
            with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as zipped:
                yield cast(BinaryIO, zipped)
        else:
            yield file


@contextmanager
def _system_errors(out: Path) -> Iterator[None]:
    """Polars says of a full disk no more than a text; give the error its number back."""
    try:
        yield
    except PolarsError as error:
        number = _SYSTEM_ERROR.search(str(error))
        raise OSError(int(number[1]) if number else errno.EIO, str(error), str(out)) from error
