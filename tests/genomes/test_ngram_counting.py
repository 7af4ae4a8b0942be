from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from glmbench.errors import DataError
from glmbench.genomes.ngram_counting import count_file_ngrams
from glmbench.sequences.alphabet import AlphabetPolicy


@pytest.fixture
def fastas(tmp_path: Path) -> list[Path]:
    one, two = tmp_path / "one.fa", tmp_path / "two.fa.gz"
    one.write_text(">chr1\nACAC\nNAC\n>chr2\nGGgg\n")
    two.write_bytes(gzip.compress(b">chr3\nTT\n"))
    return [one, two]


def test_files_and_contigs_add(fastas: list[Path]) -> None:
    counts, letters = count_file_ngrams(fastas, 2)
    assert counts.of(1).tolist() == [3, 3, 4, 2]
    assert counts.total(2) == 3 + 1 + 3 + 1  # no bigram over the N or from one contig to the next
    assert (letters.bases, letters.n, letters.lower_case) == (12, 1, 2)


def test_some_contigs_and_no_lower_case(fastas: list[Path]) -> None:
    assert count_file_ngrams(fastas, 2, contigs=["chr2"])[0].of(1).tolist() == [0, 0, 4, 0]
    unmasked, letters = count_file_ngrams(fastas, 2, contigs=["chr2"], policy=AlphabetPolicy(lower_case="n"))
    assert unmasked.of(1).tolist() == [0, 0, 2, 0]
    assert letters.lower_case == 2


def test_a_contig_that_is_not_there(fastas: list[Path]) -> None:
    with pytest.raises(DataError, match=r"no contig chrX in .*one.fa, .*; there are chr1, chr2, chr3"):
        count_file_ngrams(fastas, 2, contigs=["chr1", "chrX"])


@pytest.mark.parametrize(
    ("text", "lower_case", "message"),
    [
        ("", "upper", "empty"),
        ("ACGT\n", "upper", "not FASTA"),
        (">chr1\n", "upper", "no bases"),
        (">chr1\nNNNN\nNN\n", "upper", "no base to count, all letters are N"),
        (">chr1\nacgtn\n", "n", "all known bases are in lower case"),
        (">p1\nMKLVEQ\n", "upper", "letter 'L'|letter 'E'|letter 'Q'"),
    ],
)
def test_what_has_nothing_to_count(tmp_path: Path, text: str, lower_case, message: str) -> None:
    path = tmp_path / "genome.fa"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        count_file_ngrams([path], 4, policy=AlphabetPolicy(lower_case=lower_case))
