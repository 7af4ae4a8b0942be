"""Which FASTA files a command was given, and their sequences as codes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from glmbench.errors import DataError, UsageError
from glmbench.genomes.codes import Genome, genome_from_codes
from glmbench.genomes.fasta import read_contigs
from glmbench.progress import progress
from glmbench.sequences.alphabet import N
from glmbench.sequences.typing import Codes

SUFFIXES = (".fa", ".fna", ".fasta")


def fasta_files(path: Path) -> list[Path]:
    """The file itself, or the FASTA files (`.fa`, `.fna`, `.fasta`, also with `.gz`) in a folder, by name.

    Raises:
        UsageError: there is no such path, or no FASTA file in the folder.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UsageError(f"there is no file or folder {path}; want FASTA files, or folders of them")
    found = sorted(file for file in path.iterdir() if file.is_file() and _is_fasta(file))
    if found:
        return found
    inner = sorted(folder.name for folder in path.iterdir() if folder.is_dir())
    advice = f"; name its folders: {', '.join(inner[:8])}" if inner else ""
    raise UsageError(f"{path} holds no FASTA file ({', '.join(SUFFIXES)}, or those with .gz){advice}")


def group_name(path: Path) -> str:
    """A folder's name, or a file's without its suffixes."""
    if path.is_dir():
        return path.resolve().name
    name = path.name.removesuffix(".gz")
    return next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), name)


def read_groups(paths: Iterable[Path]) -> dict[str, Genome]:
    """One genome a path, by its name; a folder's files make one genome.

    Raises:
        UsageError: see `fasta_files`; or two paths have one name.
        DataError: a file is no FASTA file (see `read_contigs`), or a group has no known base.
    """
    groups: dict[str, Genome] = {}
    for path in paths:
        name = group_name(path)
        if name in groups:
            raise UsageError(f"two groups are called {name}; rename {path}, or put the files into one folder")
        contigs = _read(fasta_files(path))
        require_bases(contigs.values(), str(path))
        groups[name] = genome_from_codes(contigs)
    return groups


def read_corpus(paths: Iterable[Path]) -> Codes:
    """All sequences as codes, uint8 (bases,), one N between two of them, so that no token crosses.

    Raises:
        UsageError: see `fasta_files`.
        DataError: a file is no FASTA file (see `read_contigs`), or there is no known base.
    """
    paths = list(paths)
    contigs = _read([file for path in paths for file in fasta_files(path)])
    require_bases(contigs.values(), ", ".join(map(str, paths)))
    between = np.array([N], dtype=np.uint8)
    parts = [part for codes in contigs.values() for part in (codes, between)]
    return np.concatenate(parts[:-1])


def require_bases(sequences: Iterable[Codes], where: str) -> None:
    """Refuse sequences that are all N.

    Raises:
        DataError: no code is below 4.
    """
    if not any((codes != N).any() for codes in sequences):
        raise DataError(f"{where}: every base is N or an ambiguity code; there is nothing to read tokens from")


def _read(files: Sequence[Path]) -> Mapping[str, Codes]:
    contigs: dict[str, Codes] = {}
    with progress("Reading FASTA", total=sum(file.stat().st_size for file in files)) as bar:
        for file in files:
            bar.describe(f"Reading {file.name}")
            for contig in read_contigs(file):
                contigs[f"{file.name}:{contig.name}"] = contig.codes
            bar.advance(file.stat().st_size)
    return contigs


def _is_fasta(file: Path) -> bool:
    return file.name.removesuffix(".gz").endswith(SUFFIXES)
