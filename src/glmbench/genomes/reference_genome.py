"""A reference genome for many small look-ups: FASTA on disk in bounded memory, or sequences in memory."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from glmbench.errors import DataError
from glmbench.genomes.fasta import open_fasta
from glmbench.storage.cache import cache_folder
from glmbench.storage.hashing import sha256_file, sha256_json, sha256_strings

_BLOCK = 1 << 16
"""Bases that are read at a time: neighbouring windows come from memory, and bgzip blocks are unpacked once."""
_BLOCKS = 64


class ReferenceGenome(Protocol):
    """Contigs by name."""

    @property
    def lengths(self) -> Mapping[str, int]:
        """Bases of each contig."""

    @property
    def fingerprint(self) -> str:
        """Tells genomes apart."""

    def fetch(self, contig: str, start: int, end: int) -> str:
        """The bases from `start` to before `end`, upper case.

        Raises:
            DataError: there is no such contig, or the interval reaches beyond it.
        """


class FastaGenome:
    """A plain or bgzip-compressed FASTA file, read where it is asked; memory holds a few blocks of it.

    The index `.fai` stands beside the file, or in the cache where that folder cannot be written.

    Raises:
        DataError: see `genomes.fasta.open_fasta`.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise DataError(f"there is no FASTA file {path}")
        self._path = path
        index = _index_place(path)
        index.parent.mkdir(parents=True, exist_ok=True)
        self._file = open_fasta(path, index=index)
        self._lengths = dict(zip(self._file.references, self._file.lengths, strict=True))
        self._index = index
        self._blocks: OrderedDict[tuple[str, int], str] = OrderedDict()

    @property
    def lengths(self) -> Mapping[str, int]:
        """Bases of each contig."""
        return self._lengths

    @property
    def fingerprint(self) -> str:
        """Of the index and the file's size and time of change: the bases of a whole genome are not read for it."""
        status = self._path.stat()
        return sha256_json([sha256_file(self._index), status.st_size, status.st_mtime_ns])

    def fetch(self, contig: str, start: int, end: int) -> str:
        """See `ReferenceGenome.fetch`."""
        _require_within(self._lengths, contig, start, end)
        if start == end:
            return ""
        first, last = start // _BLOCK, (end - 1) // _BLOCK
        text = "".join(self._block(contig, number) for number in range(first, last + 1))
        return text[start - first * _BLOCK : end - first * _BLOCK]

    def _block(self, contig: str, number: int) -> str:
        key = (contig, number)
        if key in self._blocks:
            self._blocks.move_to_end(key)
            return self._blocks[key]
        start = number * _BLOCK
        end = min(start + _BLOCK, self._lengths[contig])
        try:
            text = self._file.fetch(contig, start, end).upper()
        except (OSError, ValueError):
            text = ""
        if len(text) != end - start:
            raise DataError(
                f"{self._path}: {contig}:{start + 1}-{end} cannot be read, though the index {self._index} has it; is "
                "the file truncated, or the index of another one? Then remove the index, and it is made anew"
            )
        self._blocks[key] = text
        if len(self._blocks) > _BLOCKS:
            self._blocks.popitem(last=False)
        return text


class GenomeInMemory:
    """Sequences by name as a genome: elements of an assay, simulated contigs."""

    def __init__(self, sequences: Mapping[str, str]) -> None:
        self._sequences = {name: sequence.upper() for name, sequence in sequences.items()}
        self._lengths = {name: len(sequence) for name, sequence in self._sequences.items()}

    @property
    def lengths(self) -> Mapping[str, int]:
        """Bases of each contig."""
        return self._lengths

    @property
    def fingerprint(self) -> str:
        """Hash of names and bases."""
        return sha256_strings(text for pair in self._sequences.items() for text in pair)

    def fetch(self, contig: str, start: int, end: int) -> str:
        """See `ReferenceGenome.fetch`."""
        _require_within(self._lengths, contig, start, end)
        return self._sequences[contig][start:end]


def naming_advice(contig: str, lengths: Mapping[str, int]) -> str:
    """What to do about a contig that a genome does not have: mostly it is called `chr1` here and `1` there."""
    other = contig.removeprefix("chr") if contig.startswith("chr") else f"chr{contig}"
    if contig in ("M", "chrM", "MT"):
        other = next((name for name in ("chrM", "MT", "M") if name in lengths), other)
    if other in lengths:
        return (
            f"the genome calls it {other}; rename one side, for example by "
            "`bcftools annotate --rename-chrs FILE`, FILE with lines `1 chr1`"
        )
    known = ", ".join(list(lengths)[:5])
    return f"the genome has {known}{', …' if len(lengths) > 5 else ''}; is it the assembly of these variants?"


def _require_within(lengths: Mapping[str, int], contig: str, start: int, end: int) -> None:
    if contig not in lengths:
        raise DataError(f"no contig {contig!r}: {naming_advice(contig, lengths)}")
    if not 0 <= start <= end <= lengths[contig]:
        raise DataError(f"{contig}:{start}-{end} (0-based half-open) is not within its {lengths[contig]} bases")


def _index_place(path: Path) -> Path:
    """Beside the file where an index is there or can be made, else in the cache."""
    beside = path.with_name(path.name + ".fai")
    if beside.is_file() or os.access(path.parent, os.W_OK):
        return beside
    status = path.stat()
    key = sha256_json([str(path.resolve()), status.st_size, status.st_mtime_ns])
    return cache_folder() / "fasta-index" / key[:32] / beside.name
