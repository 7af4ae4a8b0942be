import gzip

import numpy as np
import pytest

from glmbench.errors import DataError, UsageError
from glmbench.sequences.alphabet import decode
from glmbench.tokenizers.genome_files import group_name, read_corpus, read_groups


@pytest.fixture
def folder(tmp_path):
    virus = tmp_path / "VIR"
    virus.mkdir()
    (virus / "b.fa").write_text(">x\nACGT\nAC\n>y\nGG\n")
    with gzip.open(virus / "a.fna.gz", "wt") as file:
        file.write(">x\nttt\n")
    (virus / "notes.txt").write_text("no FASTA")
    return virus


def test_groups_are_called_as_their_paths(folder):
    assert [group_name(path) for path in (folder, folder / "a.fna.gz", folder / "b.fa")] == ["VIR", "a", "b"]


def test_a_corpus_has_an_n_between_sequences(folder):
    assert decode(read_corpus([folder])) == "TTTNACGTACNGG"


def test_groups_are_genomes(folder):
    groups = read_groups([folder, folder / "b.fa"])
    assert {name: genome.contigs["length"].to_list() for name, genome in groups.items()} == {
        "VIR": [3, 6, 2],
        "b": [6, 2],
    }
    with pytest.raises(UsageError, match="two groups are called VIR"):
        read_groups([folder, folder])


def test_contigs_of_one_name_in_files_of_one_name_are_all_read(tmp_path):
    """hg19/chr1.fa and mm10/chr1.fa, as UCSC has them."""
    for folder, bases in (("hg19", "AAAA"), ("mm10", "CCC")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "chr1.fa").write_text(f">chr1\n{bases}\n")
    paths = [tmp_path / "hg19" / "chr1.fa", tmp_path / "mm10" / "chr1.fa"]
    assert decode(read_corpus(paths)) == "AAAANCCC"
    with pytest.raises(UsageError, match="is named twice"):
        read_corpus([paths[0], paths[0].parent])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; a FASTA file was wanted"),
        (">p\nMKVLAEF\n", "contig p: letter 'L' at position 3"),
        (">n\nNNNN\n", "every base is N or an ambiguity code"),
        (">a\nAC\n>a\nGT\n", "the name a again"),
        ("ACGT\n", "FASTA"),
    ],
)
def test_bad_fasta_is_refused(text, message, tmp_path):
    file = tmp_path / "bad.fa"
    file.write_text(text)
    with pytest.raises(DataError, match=message):
        read_corpus([file])


def test_a_truncated_gzip_is_refused(folder):
    whole = gzip.compress(b">x\n" + np.random.default_rng(0).choice(list(b"ACGT"), 5_000).astype(np.uint8).tobytes())
    (folder / "cut.fna.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="truncated or corrupt gzip"):
        read_corpus([folder])
