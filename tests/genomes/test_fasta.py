import gzip
import os

import numpy as np
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmbench.errors import DataError
from glmbench.genomes import fasta as fasta_module
from glmbench.genomes.fasta import compression_of, open_fasta, read_contigs
from glmbench.sequences.alphabet import AlphabetCounts, AlphabetPolicy, decode

TEXT = ">one first contig\nACGTAC\nGTNNAC\nGT\n>two\nacgtr\n"


@pytest.fixture
def plain(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_text(TEXT)
    return path


def test_contigs_by_hand(plain):
    one, two = read_contigs(plain)
    assert (one.name, one.description) == ("one", "first contig")
    assert decode(one.codes) == "ACGTACGTNNACGT"
    assert one.counts == AlphabetCounts(bases=12, n=2)
    assert (two.name, two.description, decode(two.codes)) == ("two", "", "ACGTN")
    assert two.counts == AlphabetCounts(bases=4, iupac=1, lower_case=5)


def test_a_name_ends_at_any_blank(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_text(">one\tlong  name \nAC\n")
    [contig] = read_contigs(path)
    assert (contig.name, contig.description) == ("one", "long  name")


def test_compressed_files_give_the_same(plain, tmp_path):
    ordinary, blocked = tmp_path / "ordinary.fa.gz", tmp_path / "blocked.fa.gz"
    ordinary.write_bytes(gzip.compress(TEXT.encode()))
    pysam.tabix_compress(str(plain), str(blocked))
    assert [compression_of(path) for path in (plain, ordinary, blocked)] == ["none", "gzip", "bgzip"]
    for path in (ordinary, blocked):
        for contig, expected in zip(read_contigs(path), read_contigs(plain), strict=True):
            assert contig.name == expected.name
            assert np.array_equal(contig.codes, expected.codes)


LINES = st.lists(st.text("ACGTNacgt", max_size=12), min_size=1, max_size=12)


@settings(deadline=None, max_examples=60)
@given(
    lines=LINES.filter(any),
    line_end=st.sampled_from(["\n", "\r\n"]),
    last=st.booleans(),
    block=st.sampled_from([1, 7, 1 << 18]),
)
def test_any_line_lengths_give_the_letters_in_order(tmp_path_factory, lines, line_end, last, block):
    path = tmp_path_factory.mktemp("lines") / "genome.fa"
    path.write_bytes((f">a >b{line_end}" + line_end.join(lines) + (line_end if last else "")).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fasta_module, "_COPY_BLOCK", block)
        patch.setattr(fasta_module, "_SCAN_BLOCK", block)
        [contig] = read_contigs(path)
    assert decode(contig.codes) == "".join(lines).upper()
    assert contig.description == ">b"


def test_mixed_line_ends_lose_no_letter(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_bytes(b">one\nACG\r\nACGT\nACG\r\n")
    [contig] = read_contigs(path)
    assert decode(contig.codes) == "ACGACGTACG"


def test_refused_letters_are_named_with_contig_and_position(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_text(">one\nACGT\nAC-T\nAC\n")
    with pytest.raises(DataError, match=r"contig one: letter '-' at position 6 \(0-based\)"):
        list(read_contigs(path))
    for last in ("A-", "A-\n", "A-\r\n", "A-\nA"):
        path.write_text(f">one\nACGT\nACGT\n{last}")
        with pytest.raises(DataError, match="contig one: letter '-' at position 9 "):
            list(read_contigs(path))
    path.write_text(">one\nACGT\nAcGT\n")
    with pytest.raises(DataError, match="contig one: letter 'c' at position 5"):
        list(read_contigs(path, AlphabetPolicy(lower_case="refuse")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("ACGT\n", "is not FASTA"),
        ("@read\nACGT\n+\nIIII\n", "is not FASTA"),
        (">one\n>two\nACGT\n", "contig one has no bases"),
        (">one\nACGT\n>two", "contig two has no bases"),
        (">one\nACGT\n>two\n\n", "contig two has no bases"),
        (">one\nACGT\n>one\nACGT\n", "the name one again"),
        ("> \nACGT\n", "record 0 has no name"),
    ],
)
def test_malformed_files(tmp_path, text, message):
    path = tmp_path / "genome.fa"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        list(read_contigs(path))


@pytest.mark.parametrize("kind", ["gzip", "bgzip"])
def test_truncated_and_empty_archives(tmp_path, plain, kind):
    packed = tmp_path / "genome.fa.gz"
    if kind == "gzip":
        packed.write_bytes(gzip.compress(TEXT.encode()))
    else:
        pysam.tabix_compress(str(plain), str(packed))
    whole = packed.read_bytes()
    for kept in (len(whole) - 28, len(whole) - 4, len(whole) // 2):
        packed.write_bytes(whole[:kept])
        with pytest.raises(DataError, match="truncated"):
            list(read_contigs(packed))
    changed = bytearray(whole)
    changed[len(changed) // 2] ^= 0xFF
    packed.write_bytes(changed)
    with pytest.raises(DataError):
        list(read_contigs(packed))
    packed.write_bytes(gzip.compress(b""))
    with pytest.raises(DataError, match="holds nothing"):
        list(read_contigs(packed))


def test_random_access_to_plain_and_bgzip(plain, tmp_path):
    blocked = tmp_path / "genome.fa.gz"
    pysam.tabix_compress(str(plain), str(blocked))
    elsewhere = tmp_path / "indices"
    elsewhere.mkdir()
    for path, index in [(plain, None), (blocked, None), (blocked, elsewhere / "genome.fai")]:
        with open_fasta(path, index=index) as reader:
            assert list(reader.references) == ["one", "two"]
            assert reader.fetch("one", 4, 9) == "ACGTN"
    assert (elsewhere / "genome.fai").is_file()


def test_random_access_says_why_not(plain, tmp_path):
    ordinary = tmp_path / "ordinary.fa.gz"
    ordinary.write_bytes(gzip.compress(TEXT.encode()))
    with pytest.raises(DataError, match="ordinary gzip"):
        open_fasta(ordinary)
    uneven = tmp_path / "uneven.fa"
    uneven.write_text(">one\nAC\nACGT\nACG\n")
    with pytest.raises(DataError, match="cannot be opened as an indexed FASTA"):
        open_fasta(uneven)
    open_fasta(plain).close()
    os.utime(plain, (4e9, 4e9))
    with pytest.raises(DataError, match="is older than"):
        open_fasta(plain)
