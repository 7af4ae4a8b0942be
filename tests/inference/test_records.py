from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmbench.errors import DataError, UsageError
from glmbench.inference.records import (
    Record,
    Tail,
    in_chunks,
    open_records,
    require_some,
    segments,
    whole,
    windows,
    with_context,
)
from glmbench.sequences.encoding import reverse_complement

TEXT = ">one first of two\r\nACGTn\r\nacgRY\r\n\r\n>two\nUUggCC\n"
READ = [("one", "first of two", "ACGTnacgRY"), ("two", "", "TTggCC")]


def read(path: Path, **options: Any) -> list[tuple[str, str, str]]:
    return [(r.name, r.description, r.sequence) for r in open_records(path, **options)]


@pytest.mark.parametrize("form", ["plain", "gzip", "bgzip", "stdin", "stdin gzip"])
def test_fasta_in_every_wrapping(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.fa"
    path.write_bytes(TEXT.encode())
    packed = tmp_path / "a.fa.gz"
    if form == "gzip" or form == "stdin gzip":
        packed.write_bytes(gzip.compress(TEXT.encode()))
    elif form == "bgzip":
        pysam.tabix_compress(str(path), str(packed))
    if form.startswith("stdin"):
        raw = (path if form == "stdin" else packed).read_bytes()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(raw))))
        path = Path("-")
    elif form != "plain":
        path = packed
    assert read(path) == READ


def test_fastq(tmp_path: Path) -> None:
    path = tmp_path / "reads.fq"
    path.write_text("@r1 x\nACGT\n+\n@III\n@r2\nNN\n+r2\n!!\n\n")
    assert read(path) == [("r1", "x", "ACGT"), ("r2", "", "NN")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (">a\nACGT\n>b\n", "record b has no bases"),
        (">a\nMKLVEF\n", "record a: letter 'L' at position 2 .* looks like protein"),
        (">a\nAC-GT\n", "letter '-' at position 2"),
        (">\nACGT\n", "a record has no name"),
        ("ACGT\n", "begins with 'ACGT'; want FASTA"),
        ("", "holds no sequence"),
        ("@r\nACGT\n+\nII\n", "not FASTQ of four lines"),
        ("@r\nACGT\n", "not FASTQ of four lines"),
    ],
)
def test_text_that_is_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.txt.fa"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        list(require_some(open_records(path), "holds no sequence"))


def test_truncated_gzip(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    text = "".join(f">r{i}\n{''.join(rng.choice(list('ACGT'), 500))}\n" for i in range(400)).encode()
    path = tmp_path / "x.fa.gz"
    path.write_bytes(gzip.compress(text)[:-4000])
    stream = iter(open_records(path))
    assert [next(stream).name, next(stream).name] == ["r0", "r1"]
    with pytest.raises(DataError, match=r"x.fa.gz is truncated or corrupt gzip"):
        list(stream)
    (tmp_path / "plain.fa").write_bytes(text)
    packed = tmp_path / "y.fa.gz"
    pysam.tabix_compress(str(tmp_path / "plain.fa"), str(packed))
    packed.write_bytes(packed.read_bytes()[:-28])
    with pytest.raises(DataError, match="a bgzip file ends with an empty block"):
        list(open_records(packed))


@pytest.fixture
def genome(tmp_path: Path) -> Path:
    path = tmp_path / "genome.fa"
    path.write_text(">chr1\nACGTACGTAA\nCCGGTTNNac\n>chr2\nTTTTGGGG\n")
    return path


def test_intervals_are_those_of_pysam(genome: Path, tmp_path: Path) -> None:
    bed = tmp_path / "i.bed"
    bed.write_text("track name=x\n#c\nchr1\t3\t14\tfirst\t0\t-\nchr2\t0\t8\nchr1\t18\t20\t.\t0\t+\n")
    opened = open_records(bed, genome=genome)
    records = list(opened)
    assert (opened.total, opened.located) == (21, True)
    with pysam.FastaFile(str(genome)) as fasta:
        assert [r.sequence for r in records] == [
            reverse_complement(fasta.fetch("chr1", 3, 14)),
            fasta.fetch("chr2", 0, 8),
            fasta.fetch("chr1", 18, 20),
        ]
    assert [r.name for r in records] == ["first", "chr2:0-8", "chr1:18-20"]
    assert [r.place for r in records] == [(3, 14), (0, 8), (18, 20)]
    # the windows of a reverse interval go from its end to its start
    assert [(w.sequence, w.place) for w in windows(records[:1], 4)] == [
        (records[0].sequence[:4], (10, 14)),
        (records[0].sequence[4:8], (6, 10)),
        (records[0].sequence[8:], (3, 6)),
    ]


def test_nothing_is_written_beside_a_genome_in_a_folder_of_others(
    genome: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    (tmp_path / "i.bed").write_text("chr2\t0\t5\n")
    assert read(tmp_path / "i.bed", genome=genome) == [("chr2:0-5", "", "TTTTG")]
    assert not genome.with_name("genome.fa.fai").exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("chr3\t0\t5", r"line 2: .* has no contig 'chr3'; it has chr1, chr2"),
        ("chr1\t15\t21", "line 2: chr1:15-21 goes beyond the end of the contig, which has 20 bases"),
        ("chr1\t5\t5", "line 2: start 5 is not before end 5"),
        ("chr1\t-1\t5", "line 2 is .*; want contig, start and end"),
        ("chr1\t0\t5\tx\t0\tplus", "line 2 has strand 'plus'"),
        ("chr1", "line 2 is 'chr1'"),
    ],
)
def test_intervals_that_are_refused_before_any_is_read(line: str, said: str, genome: Path, tmp_path: Path) -> None:
    bed = tmp_path / "i.bed"
    bed.write_text(f"chr1\t0\t5\n{line}\n")
    with pytest.raises(DataError, match=said):
        open_records(bed, genome=genome)


def test_a_genome_of_ordinary_gzip_is_refused(genome: Path, tmp_path: Path) -> None:
    packed = tmp_path / "g.fa.gz"
    packed.write_bytes(gzip.compress(genome.read_bytes()))
    (tmp_path / "i.bed").write_text("chr1\t0\t5\n")
    with pytest.raises(DataError, match="ordinary gzip, which cannot be read at random"):
        open_records(tmp_path / "i.bed", genome=packed)


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".csv.gz", ".parquet"])
def test_tables(ending: str, tmp_path: Path) -> None:
    table = pl.DataFrame({"ID": ["a", "b"], "Sequence": ["ACGT", "ggn"], "other": ["x,y", "TTT"]})
    path = tmp_path / f"t{ending}"
    if ending == ".parquet":
        table.write_parquet(path)
    else:
        text = table.write_csv(separator="\t" if ending == ".tsv" else ",").encode()
        path.write_bytes(gzip.compress(text) if ending.endswith("gz") else text)
    assert read(path) == [("a", "", "ACGT"), ("b", "", "ggn")]
    with pytest.raises(UsageError, match="no such column; it has 'ID', 'Sequence', 'other'"):
        read(path, column="dna")
    with pytest.raises(DataError, match=r"row 0 \(a\): letter"):
        read(path, column="other")


def test_tables_that_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for text, said in [
        ("a,b\n1,2\n", "no column for the sequence; got 'a', 'b'"),
        ("sequence,b\nACGT\n", "row 0 has 1 fields, its header 2"),
        ("sequence,b\n,1\n", r"row 0 \(row0\) has no bases"),
        ("", "is empty"),
    ]:
        path.write_text(text)
        with pytest.raises(DataError, match=said):
            read(path)
    (tmp_path / "t.parquet").write_text("no")
    with pytest.raises(DataError, match="not a parquet file"):
        read(tmp_path / "t.parquet")


def test_options_that_do_not_go_with_the_file(genome: Path, tmp_path: Path) -> None:
    (tmp_path / "i.bed").write_text("chr1\t0\t5\n")
    cases: list[tuple[Path, dict[str, Any], str]] = [
        (tmp_path / "none.fa", {}, "no file"),
        (tmp_path, {}, "a folder"),
        (tmp_path / "i.bed", {}, "say with --genome"),
        (genome, {"genome": genome}, "goes with a BED file"),
        (genome, {"column": "x"}, "goes with a table"),
        (tmp_path / "i.bed", {"genome": tmp_path / "no.fa"}, "no such file"),
    ]
    for path, options, said in cases:
        with pytest.raises(UsageError, match=said):
            open_records(path, **options)


def test_what_becomes_of_a_short_last_window() -> None:
    records = [whole("a", "ACGTACGTAC"), whole("b", "GGG"), whole("c", "TTTT")]

    def cut(tail: Tail) -> list[tuple[str, int, str]]:
        return [(w.name, w.place[0], w.sequence) for w in windows(records, 4, tail=tail)]

    full = [("a", 0, "ACGT"), ("a", 4, "ACGT")]
    assert cut("keep") == [*full, ("a", 8, "AC"), ("b", 0, "GGG"), ("c", 0, "TTTT")]
    assert cut("shift") == [*full, ("a", 6, "GTAC"), ("b", 0, "GGG"), ("c", 0, "TTTT")]
    assert cut("drop") == [*full, ("c", 0, "TTTT")]


SEQUENCES = st.text("ACGTNn", min_size=1, max_size=60)


@settings(max_examples=60)
@given(SEQUENCES, st.integers(1, 20), st.integers(1, 20))
def test_windows_cover_the_record(sequence: str, width: int, step: int) -> None:
    cut = list(windows([whole("a", sequence)], width, min(step, width)))
    covered = {base for w in cut for base in range(*w.place)}
    assert covered == set(range(len(sequence)))
    assert all(w.sequence == sequence[slice(*w.place)] for w in cut)
    assert all(len(w.sequence) == width for w in cut[:-1])
    if step >= width:
        assert "".join(w.sequence for w in cut) == sequence


@settings(max_examples=60)
@given(SEQUENCES, st.integers(1, 20), st.booleans())
def test_each_base_is_asked_once_amid_its_context(sequence: str, width: int, left_only: bool) -> None:
    cut = list(with_context([whole("a", sequence)], width, left_only=left_only))
    assert "".join(w.sequence[slice(*w.keep)] for w in cut) == sequence
    assert [w.place[0] for w in cut[1:]] == [w.place[1] for w in cut[:-1]]
    for w in cut:
        assert len(w.sequence) <= width
        assert w.sequence == sequence[w.offset : w.offset + len(w.sequence)]
        if w.offset:
            assert w.keep[0] >= (width // 2 if left_only else width // 4)
        if w.offset + len(w.sequence) < len(sequence) and not left_only and width > 1:
            assert len(w.sequence) - w.keep[1] >= width // 4


@settings(max_examples=60)
@given(SEQUENCES, st.integers(3, 20), st.integers(0, 8))
def test_segments_join_to_the_record_and_cut_no_short_run(sequence: str, size: int, flank: int) -> None:
    cut = list(segments([whole("a", sequence)], size, flank))
    assert "".join(s.sequence[slice(*s.keep)] for s in cut) == sequence
    for segment in cut:
        assert segment.keep[0] == min(flank, segment.place[0])
        end = segment.place[1]
        if end < len(sequence) and segment.bases < size * 2:
            assert sequence[end] not in "Nn"


def test_chunks() -> None:
    records = [whole(str(size), "A" * size) for size in (3, 3, 10, 1, 1)]
    assert [[r.name for r in chunk] for chunk in in_chunks(records, 5)] == [["3", "3"], ["10"], ["1", "1"]]
    assert len(list(in_chunks(records, 1, lambda record: 1))) == 5


def test_one_record_at_a_time(tmp_path: Path) -> None:
    """Records come as they are asked for: the fault at the end is not met by who takes the first alone."""
    path = tmp_path / "a.fa"
    path.write_text(">a\nACGT\n>b\nEEEE\n")
    stream = iter(open_records(path))
    assert next(stream) == Record("a", "ACGT", 4, keep=(0, 4))
    with pytest.raises(DataError):
        next(stream)
