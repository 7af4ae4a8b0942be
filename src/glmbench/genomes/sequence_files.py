"""Files of sequences, FASTA and GenBank: which of them a path stands for, what they are called, and what is in them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from glmbench.errors import UsageError
from glmbench.genomes.fasta import Contig, read_contigs
from glmbench.genomes.genbank import write_genbank_as_fasta
from glmbench.sequences.alphabet import DEFAULT_POLICY, AlphabetPolicy

FASTA, GENBANK = (".fa", ".fasta", ".fna"), (".gb", ".gbk", ".gbff")
PACKED = (".gz", ".bgz")
_NAMED = 8
"""Folders that an error lists."""


def sequence_files(paths: Iterable[Path]) -> list[Path]:
    """The files themselves, whatever their names, and of folders the FASTA and GenBank files in them, by name.

    Endings are `.fa`, `.fasta`, `.fna`, `.gb`, `.gbk`, `.gbff`, each also with `.gz` or `.bgz`; folders inside a folder
    are not opened.

    Raises:
        UsageError: no path, one that does not exist, a folder without such a file, or a file that is named twice.
    """
    files: list[Path] = []
    seen: dict[tuple[int, int], Path] = {}
    for path in paths:
        for file in _files_of(path):
            status = file.stat()
            identity = (status.st_dev, status.st_ino)
            first = seen.get(identity)
            if first is not None:
                again = "is named twice" if first == file else f"is the same file as {first}"
                raise UsageError(f"{file} {again}; its bases would count double: give it once")
            seen[identity] = file
            files.append(file)
    if not files:
        raise UsageError("no sequence: want one or more FASTA or GenBank files, or folders of them")
    return files


def without_endings(name: str) -> str:
    """A file's name without the endings that `sequence_files` knows: `sacCer3` of `sacCer3.fa.gz`."""
    plain = _unpacked(name)
    return next((plain.removesuffix(ending) for ending in (*FASTA, *GENBANK) if plain.endswith(ending)), plain)


def is_genbank(file: Path) -> bool:
    """Whether its name says GenBank."""
    return _unpacked(file.name).endswith(GENBANK)


@contextmanager
def as_fasta(file: Path) -> Iterator[Path]:
    """The file, or the sequences of a GenBank file as a temporary FASTA file.

    Raises:
        DataError: see `write_genbank_as_fasta`.
    """
    if not is_genbank(file):
        yield file
        return
    with tempfile.TemporaryDirectory() as scratch:
        fasta = Path(scratch) / f"{file.name}.fa"
        write_genbank_as_fasta(file, fasta)
        yield fasta


def read_sequences(file: Path, policy: AlphabetPolicy = DEFAULT_POLICY) -> Iterator[Contig]:
    """Read every record of a FASTA or GenBank file as base codes, one at a time; see `read_contigs`.

    Raises:
        DataError: see `read_contigs` and `write_genbank_as_fasta`.
    """
    with as_fasta(file) as fasta:
        yield from read_contigs(fasta, policy)


def _files_of(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UsageError(f"there is no file or folder {path}; want FASTA or GenBank files, or folders of them")
    endings = (*FASTA, *GENBANK)
    found = sorted(file for file in path.iterdir() if file.is_file() and _unpacked(file.name).endswith(endings))
    if found:
        return found
    inner = sorted(folder.name for folder in path.iterdir() if folder.is_dir())
    advice = f"; name its folders: {', '.join(inner[:_NAMED])}" if inner else ""
    raise UsageError(f"{path} holds no FASTA or GenBank file ({', '.join(endings)}, or those with .gz){advice}")


def _unpacked(name: str) -> str:
    return next((name.removesuffix(packed) for packed in PACKED if name.endswith(packed)), name)
