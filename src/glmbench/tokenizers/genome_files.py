"""The sequences that a command was given, as the codes that tokenizers are trained and compared on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from glmbench.errors import DataError, UsageError
from glmbench.genomes.codes import Genome, genome_from_codes
from glmbench.genomes.sequence_files import read_sequences, sequence_files, without_endings
from glmbench.progress import progress
from glmbench.sequences.alphabet import N
from glmbench.sequences.typing import Codes


def group_name(path: Path) -> str:
    """A folder's name, or a file's without its endings."""
    return path.resolve().name if path.is_dir() else without_endings(path.name)


def read_groups(paths: Iterable[Path]) -> dict[str, Genome]:
    """One genome a path, by its name; a folder's files make one genome.

    Raises:
        UsageError: see `sequence_files`; or two paths have one name.
        DataError: a file is malformed (see `read_sequences`), or a group has no known base.
    """
    groups: dict[str, Genome] = {}
    for path in paths:
        name = group_name(path)
        if name in groups:
            raise UsageError(f"two groups are called {name}; rename {path}, or put the files into one folder")
        contigs = {f"{file.name}:{contig}": codes for file, contig, codes in _read(sequence_files([path]))}
        require_bases(contigs.values(), str(path))
        groups[name] = genome_from_codes(contigs)
    return groups


def read_corpus(paths: Iterable[Path]) -> Codes:
    """All sequences as codes, uint8 (bases,), one N between two of them, so that no token crosses.

    Raises:
        UsageError: see `sequence_files`.
        DataError: a file is malformed (see `read_sequences`), or there is no known base.
    """
    files = sequence_files(paths)
    between = np.array([N], dtype=np.uint8)
    parts = [part for _, _, codes in _read(files) for part in (codes, between)]
    require_bases(parts, ", ".join(map(str, files)))
    return np.concatenate(parts[:-1])


def require_bases(sequences: Iterable[Codes], where: str) -> None:
    """Refuse sequences that are all N.

    Raises:
        DataError: no code is below 4.
    """
    if not any((codes != N).any() for codes in sequences):
        raise DataError(f"{where}: every base is N or an ambiguity code; there is nothing to read tokens from")


def _read(files: Sequence[Path]) -> Iterator[tuple[Path, str, Codes]]:
    """File, name and codes of every sequence. Two files may have one name, and two of their sequences too."""
    with progress("Reading sequences", total=sum(file.stat().st_size for file in files)) as bar:
        for file in files:
            bar.describe(f"Reading {file.name}")
            for contig in read_sequences(file):
                yield file, contig.name, contig.codes
            bar.advance(file.stat().st_size)
