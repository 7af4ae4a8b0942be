import gzip
import random
from pathlib import Path

import pysam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmbench.errors import DataError, UsageError
from glmbench.genomes.variants import Change, Region, Selection, parse_region, read_change

HEADER = '##fileformat=VCFv4.2\n##contig=<ID=a>\n##INFO=<ID=END,Number=1,Type=Integer,Description="end">\n'
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


def line(contig: str, pos: int, ref: str, alt: str, info: str = ".") -> str:
    return f"{contig}\t{pos}\t.\t{ref}\t{alt}\t.\tPASS\t{info}\n"


LINES = [
    line("a", 10, "A", "C,G"),
    line("a", 20, "A", "<DEL>", "END=60"),
    line("a", 30, "ACG", "A"),
    line("a", 50, "T", "G"),
    line("b", 5, "T", "."),
]


def write_plain(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def write_bgzip(path: Path, text: str) -> Path:
    with pysam.BGZFile(str(path), "wb") as file:
        file.write(text.encode())
    return path


def positions(path: Path, region: Region | None = None, limit: int | None = None) -> list[tuple]:
    with Selection(path, region, limit).open() as (_, records):
        return [(record.contig, record.start, record.ref, record.alts) for record in records]


@pytest.mark.parametrize(
    ("ref", "alt", "change"),
    [
        ("A", "C", Change(7, "A", "C")),
        ("a", "c", Change(7, "A", "C")),
        ("AC", "GT", Change(7, "AC", "GT")),
        ("CAG", "CTG", Change(8, "A", "T")),
        ("A", "AT", Change(8, "", "T")),
        ("ATT", "A", Change(8, "TT", "")),
        ("TTT", "T", Change(7, "TT", "")),
        ("T", "TTT", Change(7, "", "TT")),
        ("AC", "GTT", Change(7, "AC", "GTT")),
        ("A", None, "missing"),
        ("A", ".", "missing"),
        ("A", "*", "spanning_deletion"),
        ("A", "<DEL>", "symbolic"),
        ("A", "<*>", "symbolic"),
        ("A", "A[b:7[", "breakend"),
        ("A", "]b:7]A", "breakend"),
        ("A", ".A", "breakend"),
        ("A", "N", "ambiguous_bases"),
        ("R", "A", "ambiguous_bases"),
        ("A", "a", "same_as_ref"),
    ],
)
def test_changes_by_hand(ref: str, alt: str | None, change: Change | str) -> None:
    assert read_change(7, ref, alt) == change


BASES = st.text("ACGT", min_size=1, max_size=8)


@given(BASES, BASES, BASES, st.integers(0, 9))
def test_a_change_makes_the_allele_and_is_the_smallest(left: str, ref: str, alt: str, start: int) -> None:
    change = read_change(start, left + ref, left + alt)
    if isinstance(change, str):
        assert (change, ref) == ("same_as_ref", alt)
        return
    at = change.start - start
    assert (left + ref)[:at] + change.alt + (left + ref)[at + len(change.ref) :] == left + alt
    assert change.end - change.start == len(change.ref)
    assert not (change.ref and change.alt and (change.ref[0] == change.alt[0] or change.ref[-1] == change.alt[-1]))


def test_plain_and_bgzip_and_bcf_read_as_pysam_reads_them(tmp_path: Path) -> None:
    text = HEADER + "##contig=<ID=b>\n" + COLUMNS + "".join(LINES)
    plain, packed = write_plain(tmp_path / "v.vcf", text), write_bgzip(tmp_path / "v.vcf.gz", text)
    with (
        pysam.VariantFile(str(plain)) as file,
        pysam.VariantFile(str(tmp_path / "v.bcf"), "wb", header=file.header) as b,
    ):
        wanted = []
        for record in file:
            wanted.append((record.contig, record.start, record.ref, record.alts))
            b.write(record)
    assert positions(plain) == positions(packed) == positions(tmp_path / "v.bcf") == wanted
    assert wanted[0] == ("a", 9, "A", ("C", "G"))
    assert wanted[-1] == ("b", 4, "T", None)
    assert positions(packed, limit=2) == wanted[:2]


@pytest.mark.parametrize("region", ["a", "a:12-29", "a:31-31", "a:1-9", "b:5-5", "c", "a:49"])
def test_regions_with_and_without_an_index(tmp_path: Path, region: str) -> None:
    text = HEADER + COLUMNS + "".join(LINES)
    plain, packed = write_plain(tmp_path / "v.vcf", text), write_bgzip(tmp_path / "v.vcf.gz", text)
    pysam.tabix_index(str(packed), preset="vcf")
    with pysam.TabixFile(str(packed)) as tabix:
        lines = tabix.fetch(region=region) if region[0] in tabix.contigs else []
        wanted = [int(row.split("\t")[1]) - 1 for row in lines]
    found = [start for _, start, _, _ in positions(plain, parse_region(region))]
    assert found == [start for _, start, _, _ in positions(packed, parse_region(region))] == wanted


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("chr1", Region("chr1")),
        ("chr1:1,001-2,000", Region("chr1", 1000, 2000)),
        ("HLA:01:5-6", Region("HLA:01", 4, 6)),
        ("chr1:7", Region("chr1", 6)),
    ],
)
def test_regions_count_from_one(text: str, region: Region) -> None:
    assert parse_region(text) == region


@pytest.mark.parametrize("text", ["", " chr1", "chr1:0-5", "chr1:9-5"])
def test_bad_regions(text: str) -> None:
    with pytest.raises(UsageError, match="region"):
        parse_region(text)


def test_ordinary_gzip_says_how_to_make_it_bgzip(tmp_path: Path) -> None:
    path = tmp_path / "v.vcf.gz"
    path.write_bytes(gzip.compress((HEADER + COLUMNS + LINES[0]).encode()))
    with pytest.raises(DataError, match=r"ordinary gzip.*gunzip -c .*v\.vcf\.gz \| bgzip > v\.bgzip\.vcf\.gz"):
        positions(path)


def many() -> str:
    rng = random.Random(0)
    rows = "".join(line("a", i + 1, "A", rng.choice("CGT"), f"X={rng.random()}") for i in range(20_000))
    return HEADER + COLUMNS + rows


@pytest.mark.parametrize("share", [0.999, 0.5, 0.01])
def test_a_truncated_bgzip_file_is_refused(tmp_path: Path, share: float) -> None:
    path = write_bgzip(tmp_path / "v.vcf.gz", many())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DataError, match="truncated"):
        positions(path)


def test_a_corrupt_block_is_refused(tmp_path: Path) -> None:
    path = write_bgzip(tmp_path / "v.vcf.gz", many())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match="truncated or corrupt"):
        positions(path)


@pytest.mark.parametrize("bad", ["a\tfoo\t.\tA\tC\t.\t.\t.\n", "a\t7\t.\n", "nothing at all\n"])
def test_a_malformed_line_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str], bad: str) -> None:
    path = write_plain(tmp_path / "v.vcf", HEADER + COLUMNS + LINES[0] + bad + LINES[2])
    with pytest.raises(DataError, match=r"v\.vcf, line 6: no VCF record: '" + bad.split("\t")[0].strip()):
        positions(path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("text", ["", "a\t3\t.\tA\tC\t.\t.\t.\n", ">a\nACGT\n"])
def test_what_is_no_vcf_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match="is no VCF file"):
        positions(write_plain(tmp_path / "v.vcf", text))
    with pytest.raises(DataError, match="there is no VCF file"):
        positions(tmp_path / "absent.vcf")


def test_htslib_speaks_again_afterwards(tmp_path: Path) -> None:
    before = pysam.set_verbosity(3)
    positions(write_plain(tmp_path / "v.vcf", HEADER + COLUMNS + LINES[0]))
    assert pysam.set_verbosity(before) == 3
