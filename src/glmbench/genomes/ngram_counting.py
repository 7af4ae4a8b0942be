"""n-gram counts of files of sequences, contig by contig."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from glmbench.errors import DataError
from glmbench.genomes.sequence_files import read_sequences, sequence_files
from glmbench.progress import Bar, progress
from glmbench.sequences.alphabet import DEFAULT_POLICY, AlphabetCounts, AlphabetPolicy
from glmbench.sequences.ngrams import LONGEST, NGramCounts, count_ngrams
from glmbench.sequences.typing import Codes

_NAMED = 10
"""Contigs that an error lists."""


def count_file_ngrams(
    paths: Sequence[Path],
    longest: int = LONGEST,
    *,
    contigs: Sequence[str] | None = None,
    policy: AlphabetPolicy = DEFAULT_POLICY,
) -> tuple[NGramCounts, AlphabetCounts]:
    """Count the n-grams of n = 1..`longest` on the forward strand of FASTA and GenBank files, plain or gzip.

    Memory holds one contig at a time.

    Args:
        paths: files, or folders of them (see `sequence_files`).
        longest: 1 to 12.
        contigs: count only those of these names; None for all.
        policy: `lower_case="n"` leaves soft-masked bases out.

    Returns:
        The counts, and what letters the counted contigs have.

    Raises:
        UsageError: see `sequence_files`.
        DataError: a file is malformed, a wanted contig is in none, or no base is left to count.
    """
    files = sequence_files(paths)
    wanted = None if contigs is None else set(contigs)
    letters: list[AlphabetCounts] = []
    seen: list[str] = []
    with progress("Counting n-grams") as bar:
        counts = count_ngrams(_codes(files, wanted, policy, letters, seen, bar), longest)
    missing = sorted((wanted or set()) - set(seen))
    if missing:
        more = f" and {len(seen) - _NAMED} more" if len(seen) > _NAMED else ""
        where = ", ".join(map(str, files))
        raise DataError(f"no contig {', '.join(missing)} in {where}; there are {', '.join(seen[:_NAMED])}{more}")
    total = sum(letters, AlphabetCounts())
    if not counts.total(1):
        masked = policy.lower_case == "n" and total.lower_case > 0
        why = "all known bases are in lower case and were left out" if masked else "all letters are N or ambiguous"
        raise DataError(f"{', '.join(map(str, files))}: no base to count, {why}")
    return counts, total


def _codes(
    files: Sequence[Path],
    wanted: set[str] | None,
    policy: AlphabetPolicy,
    letters: list[AlphabetCounts],
    seen: list[str],
    bar: Bar,
) -> Iterator[Codes]:
    """The codes of the wanted contigs; what passes by is noted in `letters` and `seen`."""
    for file in files:
        for contig in read_sequences(file, policy):
            seen.append(contig.name)
            if wanted is None or contig.name in wanted:
                letters.append(contig.counts)
                yield contig.codes
                bar.advance(contig.codes.size)
