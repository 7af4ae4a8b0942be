import gzip
import json
from dataclasses import asdict

import numpy as np
import pysam
import pytest

from glmbench.errors import DataError
from glmbench.genomes.codes import build_genome, find_n_runs, genome_from_codes, open_genome, read_alphabet_counts
from glmbench.sequences.alphabet import AlphabetCounts, AlphabetPolicy, decode, encode

TEXT = ">one first contig\nNNACGTAC\nGTNNACGT\n>two\nacgtr\n"


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_text(TEXT)
    return path


@pytest.fixture
def folder(fasta, tmp_path):
    build_genome(fasta, tmp_path / "genome")
    return tmp_path / "genome"


def test_genome_by_hand(folder):
    genome = open_genome(folder, verify=True)
    assert genome.contigs.rows() == [("one", "first contig", 16, 0), ("two", "", 5, 16)]
    assert genome.n_runs.rows() == [("one", 0, 2), ("one", 10, 12), ("two", 4, 5)]
    assert decode(genome.fetch("one")) == "NNACGTACGTNNACGT"
    assert decode(genome.fetch("one", 2, 6)) == "ACGT"
    assert decode(genome.fetch("two", 1)) == "CGTN"
    assert genome.fetch("two", 5, 5).size == 0
    assert read_alphabet_counts(folder) == AlphabetCounts(bases=16, n=4, iupac=1, lower_case=5)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["policy"] == asdict(AlphabetPolicy())
    assert manifest["source"]["name"] == "genome.fa"


def test_codes_on_disk_are_a_plain_read_only_array(folder):
    assert np.load(folder / "codes.npy").tolist() == encode("NNACGTACGTNNACGTACGTN").tolist()
    with pytest.raises(ValueError, match="read-only"):
        open_genome(folder).fetch("one")[0] = 1


@pytest.mark.parametrize(("start", "end"), [(-1, 3), (0, 17), (5, 4), (17, None)])
def test_intervals_beyond_a_contig(folder, start, end):
    with pytest.raises(DataError, match="is not within its 16 bases"):
        open_genome(folder).fetch("one", start, end)


def test_unknown_contigs(folder):
    with pytest.raises(DataError, match="no contig 'chr1'; there are one, two"):
        open_genome(folder).fetch("chr1")


def test_building_again_opens_what_is_there(fasta, folder):
    before = (folder / "manifest.json").stat().st_ino
    assert build_genome(fasta, folder).contigs.height == 2
    assert (folder / "manifest.json").stat().st_ino == before


def test_a_folder_of_another_source_or_policy_is_not_used(fasta, folder):
    with pytest.raises(DataError, match="choose another folder"):
        build_genome(fasta, folder, AlphabetPolicy(lower_case="n"))
    fasta.write_text(TEXT + "A\n")
    with pytest.raises(DataError, match="choose another folder"):
        build_genome(fasta, folder)


def test_a_failed_build_leaves_nothing(tmp_path):
    path = tmp_path / "bad.fa"
    path.write_text(">one\nACGT\n>two\nAC*GT\n")
    with pytest.raises(DataError, match="contig two: letter '\\*' at position 2"):
        build_genome(path, tmp_path / "genome")
    assert [entry.name for entry in tmp_path.iterdir()] == ["bad.fa"]
    with pytest.raises(DataError, match="there is no FASTA file"):
        build_genome(tmp_path / "absent.fa", tmp_path / "genome")


@pytest.mark.parametrize("name", ["codes.npy", "contigs.parquet", "n_runs.parquet", "manifest.json"])
@pytest.mark.parametrize("damage", ["truncated", "absent", "changed"])
def test_damaged_folders_are_data_errors(folder, name, damage):
    path = folder / name
    whole = path.read_bytes()
    if damage == "absent":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(whole[:-3])
    else:
        path.write_bytes(whole[:-3] + b"\x04\x04\x04")
    with pytest.raises(DataError, match=r"build it again|no genome folder"):
        open_genome(folder, verify=True)


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(DataError, match="is no genome folder"):
        open_genome(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format": 99}')
    with pytest.raises(DataError, match="format 1"):
        open_genome(tmp_path)


def test_genome_in_memory_equals_the_built_one(folder):
    built = open_genome(folder)
    made = genome_from_codes({name: built.fetch(name) for name in ("one", "two")})
    assert np.array_equal(made.codes, built.codes)
    assert made.n_runs.equals(built.n_runs)
    assert made.contigs.drop("description").equals(built.contigs.drop("description"))


@pytest.mark.parametrize(
    ("sequence", "runs"),
    [("", []), ("ACGT", []), ("NNN", [[0, 3]]), ("NACNNGN", [[0, 1], [3, 5], [6, 7]])],
)
def test_find_n_runs(sequence, runs):
    assert find_n_runs(encode(sequence)).tolist() == runs


@pytest.mark.real_data
@pytest.mark.parametrize(
    "name",
    ["EUK/Saccharomyces_cerevisiae_S288C", "PRO/Escherichia_coli_K12_MG1655", "EUK/Arabidopsis_thaliana_1pct"],
)
def test_real_genomes_equal_what_pysam_reads(shared_data, tmp_path, name):
    path = shared_data / "genomes" / f"{name}.fna.gz"
    genome = build_genome(path, tmp_path / "genome")
    as_n = str.maketrans("RYSWKMBDHV", "N" * 10)
    with pysam.FastxFile(str(path)) as records:
        expected = {record.name: record.sequence.upper().translate(as_n) for record in records}
    assert genome.contigs.get_column("name").to_list() == list(expected)
    for contig, sequence in expected.items():
        assert decode(genome.fetch(contig)) == sequence
    counts = read_alphabet_counts(tmp_path / "genome")
    assert counts.bases + counts.n + counts.iupac == sum(map(len, expected.values())) == genome.codes.size
    lengths = genome.n_runs.get_column("end") - genome.n_runs.get_column("start")
    assert lengths.sum() == counts.n + counts.iupac


def test_random_access_to_the_codes_equals_an_indexed_fasta(tmp_path):
    pyfaidx = pytest.importorskip("pyfaidx")
    rng = np.random.default_rng(0)
    bases = decode(rng.integers(0, 5, size=2_000, dtype=np.uint8))
    path = tmp_path / "genome.fa"
    path.write_text(">a\n" + "\n".join(bases[start : start + 60] for start in range(0, 2_000, 60)) + "\n")
    packed = tmp_path / "genome.fa.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    genome = build_genome(packed, tmp_path / "genome")
    with pyfaidx.Fasta(str(path), as_raw=True) as reader:
        for start, end in np.sort(rng.integers(0, 2_001, size=(50, 2)), axis=1).tolist():
            assert decode(genome.fetch("a", start, end)) == (reader["a"][start:end] if end > start else "")
