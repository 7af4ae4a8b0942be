"""Genomes as memory-mapped base codes: a folder that is built once from FASTA and opened in no time.

The folder holds `codes.npy` (uint8, all contigs one after another), `contigs.parquet`, `n_runs.parquet` and
`manifest.json`. Coordinates are 0-based half-open.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import polars as pl

from glmbench.errors import DataError
from glmbench.genomes.fasta import Contig, read_contigs
from glmbench.progress import progress
from glmbench.sequences.alphabet import DEFAULT_POLICY, AlphabetCounts, AlphabetPolicy, N
from glmbench.sequences.typing import Codes, Integers
from glmbench.storage.atomic import atomic_folder
from glmbench.storage.hashing import sha256_file

FORMAT = 1
_CODES, _CONTIGS, _N_RUNS, _MANIFEST = "codes.npy", "contigs.parquet", "n_runs.parquet", "manifest.json"
_CONTIG_SCHEMA = {"name": pl.String, "description": pl.String, "length": pl.Int64, "offset": pl.Int64}
_N_RUN_SCHEMA = {"contig": pl.String, "start": pl.Int64, "end": pl.Int64}


@dataclass(frozen=True, slots=True)
class Genome:
    """Contigs of base codes.

    Attributes:
        codes: uint8 (total bases,), all contigs one after another, read-only where it is memory-mapped.
        contigs: one row a contig: name, description, length, offset (where it begins in `codes`).
        n_runs: one row for each maximal run of code 4 (N, or an ambiguity code read as N): contig, start, end.
    """

    codes: Codes
    contigs: pl.DataFrame
    n_runs: pl.DataFrame

    def fetch(self, contig: str, start: int = 0, end: int | None = None) -> Codes:
        """The codes of `contig` from `start` to before `end` (None: to its end), uint8 (end - start,); not a copy.

        Raises:
            DataError: there is no such contig, or the interval reaches beyond it.
        """
        row = self.contigs.row(self._index(contig), named=True)
        end = row["length"] if end is None else end
        if not 0 <= start <= end <= row["length"]:
            raise DataError(f"{contig}:{start}-{end} (0-based half-open) is not within its {row['length']} bases")
        return self.codes[row["offset"] + start : row["offset"] + end]

    def _index(self, contig: str) -> int:
        at = self.contigs.get_column("name").index_of(contig)
        if at is None:
            known = self.contigs.get_column("name").head(10).to_list()
            more = f" and {self.contigs.height - 10} more" if self.contigs.height > 10 else ""
            raise DataError(f"no contig {contig!r}; there are {', '.join(known)}{more}")
        return at


def genome_from_codes(contigs: Mapping[str, Codes]) -> Genome:
    """A genome in memory, for sequences that come from no file."""
    lengths = np.array([codes.size for codes in contigs.values()], dtype=np.int64)
    table = _contig_table([(name, "") for name in contigs], lengths)
    codes = np.concatenate([np.empty(0, dtype=np.uint8), *contigs.values()])
    runs = [(name, start, end) for name, each in contigs.items() for start, end in find_n_runs(each).tolist()]
    return Genome(codes, table, pl.DataFrame(runs, schema=_N_RUN_SCHEMA, orient="row"))


def find_n_runs(codes: Codes) -> Integers:
    """int64 (runs, 2): start and end of each maximal run of N."""
    is_n = np.zeros(codes.size + 2, dtype=np.int8)
    is_n[1:-1] = codes == N
    return np.flatnonzero(np.diff(is_n)).reshape(-1, 2)


def build_genome(fasta: Path, folder: Path, policy: AlphabetPolicy = DEFAULT_POLICY) -> Genome:
    """Read a FASTA file (plain, bgzip or ordinary gzip) into a genome folder and open it.

    A folder that was built from the same file under the same policy is opened as it is. The new folder appears whole
    or not at all.

    Raises:
        DataError: the FASTA file is malformed (see `read_contigs`), or `folder` holds something else.
    """
    if not fasta.is_file():
        raise DataError(f"there is no FASTA file {fasta}")
    source = _source_of(fasta)
    if not folder.exists():
        with atomic_folder(folder) as temporary:
            _fill(temporary, fasta, policy, source)
    manifest = _read_manifest(folder)
    if (manifest["source"]["sha256"], manifest["policy"]) != (source["sha256"], asdict(policy)):
        raise DataError(
            f"{folder} was built from {manifest['source']['name']} under {manifest['policy']}, not from {fasta} under "
            f"{asdict(policy)}; choose another folder or remove this one"
        )
    return open_genome(folder)


def open_genome(folder: Path, *, verify: bool = False) -> Genome:
    """Open a genome folder; the codes are memory-mapped, not read.

    Args:
        folder: what `build_genome` made.
        verify: also compare the checksum of the codes, which reads all of them.

    Raises:
        DataError: the folder is no genome folder, or a file in it is missing, truncated or changed.
    """
    manifest = _read_manifest(folder)
    for name, recorded in manifest["files"].items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != recorded["bytes"]:
            found = f"{path.stat().st_size} bytes" if path.is_file() else "no file"
            raise DataError(f"{path}: {found}, {recorded['bytes']} bytes wanted; remove {folder} and build it again")
        if (verify or name != _CODES) and sha256_file(path) != recorded["sha256"]:
            raise DataError(
                f"{path} is corrupt: its sha256 is not that of the manifest; remove {folder}, build it again"
            )
    codes = np.load(folder / _CODES, mmap_mode="r").view(np.ndarray)
    return Genome(codes, pl.read_parquet(folder / _CONTIGS), pl.read_parquet(folder / _N_RUNS))


def read_alphabet_counts(folder: Path) -> AlphabetCounts:
    """What the alphabet policy met when the folder was built."""
    return AlphabetCounts(**_read_manifest(folder)["alphabet_counts"])


def _source_of(fasta: Path) -> dict[str, str | int]:
    return {"name": fasta.name, "bytes": fasta.stat().st_size, "sha256": sha256_file(fasta)}


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / _MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder} is no genome folder: {path.name} cannot be read ({error})") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DataError(f"{path} is not a genome manifest of format {FORMAT}; remove {folder} and build it again")
    return manifest


def _fill(folder: Path, fasta: Path, policy: AlphabetPolicy, source: Mapping[str, str | int]) -> None:
    headers: list[tuple[str, str]] = []
    lengths: list[int] = []
    runs: list[pl.DataFrame] = []
    counts = AlphabetCounts()
    with (folder / _CODES).open("wb") as file, progress(f"Reading {fasta.name}") as bar:
        _write_npy_header(file, 0)
        for contig in read_contigs(fasta, policy):
            file.write(contig.codes.data)
            headers.append((contig.name, contig.description))
            lengths.append(contig.codes.size)
            runs.append(_n_run_table(contig))
            counts += contig.counts
            bar.advance(contig.codes.size)
        file.seek(0)
        _write_npy_header(file, sum(lengths))
    _contig_table(headers, np.array(lengths, dtype=np.int64)).write_parquet(folder / _CONTIGS)
    pl.concat(runs).write_parquet(folder / _N_RUNS)
    manifest = {
        "format": FORMAT,
        "source": source,
        "policy": asdict(policy),
        "alphabet_counts": asdict(counts),
        "files": {
            name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_file(folder / name)}
            for name in (_CODES, _CONTIGS, _N_RUNS)
        },
    }
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _n_run_table(contig: Contig) -> pl.DataFrame:
    runs = find_n_runs(contig.codes)
    columns = {"contig": [contig.name] * len(runs), "start": runs[:, 0], "end": runs[:, 1]}
    return pl.DataFrame(columns, schema=_N_RUN_SCHEMA)


def _contig_table(headers: list[tuple[str, str]], lengths: Integers) -> pl.DataFrame:
    names, descriptions = [name for name, _ in headers], [description for _, description in headers]
    columns = {"name": names, "description": descriptions, "length": lengths, "offset": np.cumsum(lengths) - lengths}
    return pl.DataFrame(columns, schema=_CONTIG_SCHEMA)


def _write_npy_header(file: BinaryIO, length: int) -> None:
    """Write the header of a uint8 vector; numpy leaves room in it, so its size does not depend on `length`."""
    description = {"descr": "|u1", "fortran_order": False, "shape": (length,)}
    np.lib.format.write_array_header_1_0(file, description)
