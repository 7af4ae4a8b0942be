import gzip
import json

import numpy as np
import polars as pl
import pytest

from glmbench.errors import DataError, UsageError
from glmbench.pretraining.corpus import Source, build_corpus, open_corpus
from glmbench.pretraining.held_out import HeldOut, subtract
from glmbench.sequences.alphabet import AlphabetPolicy, decode

GENBANK = """\
LOCUS       PLASMID                   12 bp    DNA     circular BCT 01-JAN-2020
DEFINITION  A small plasmid.
ACCESSION   PLASMID
VERSION     PLASMID.1
FEATURES             Location/Qualifiers
     source          1..12
ORIGIN
        1 acgtacgtnn ac
//
"""


def random_dna(bases, seed=0):
    return decode(np.random.default_rng(seed).integers(0, 4, bases).astype(np.uint8))


def write(path, **contigs):
    path.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in contigs.items()))
    return path


@pytest.fixture
def yeast(tmp_path):
    first = "NN" + random_dna(20_000) + "N" * 7 + random_dna(10_000, 1)
    return write(tmp_path / "yeast.fa", I=first, II=random_dna(8_000, 2))


@pytest.fixture
def phage(tmp_path):
    return write(tmp_path / "phage.fna", I=random_dna(5_000, 3))


def test_stretches_by_hand(yeast, phage, tmp_path):
    corpus = build_corpus([yeast, phage], tmp_path / "corpus", held_out=HeldOut(contigs=("yeast:I",)))
    assert corpus.species == ("phage", "yeast")
    assert corpus.training.rows() == [(0, "I", 0, 5_000), (1, "II", 0, 8_000)]
    assert corpus.held_out.rows() == [(1, "I", 2, 20_002), (1, "I", 20_009, 30_009)]
    assert corpus.training_bases == 13_000
    assert [decode(codes) for codes in corpus.codes(corpus.held_out)] == [random_dna(20_000), random_dna(10_000, 1)]


def test_manifest(yeast, tmp_path):
    build_corpus([Source(yeast, "S. cerevisiae")], tmp_path / "corpus", held_out=HeldOut(contigs=("II",)))
    manifest = json.loads((tmp_path / "corpus" / "manifest.json").read_text())
    (file,) = manifest["files"]
    wanted = {"name": "yeast.fa", "species": "S. cerevisiae", "contigs": 2, "bases": 38_000, "n": 9, "held_out": 8_000}
    assert {key: file[key] for key in wanted} == wanted
    assert manifest["bases"] == {"training": 30_000, "held_out": 8_000}
    assert manifest["request"]["held_out"]["contigs"] == ["II"]


def test_a_contig_name_without_species_fits_every_species(yeast, phage, tmp_path):
    corpus = build_corpus([yeast, phage], tmp_path / "corpus", held_out=HeldOut(contigs=("I",)))
    assert corpus.training.rows() == [(1, "II", 0, 8_000)]


@pytest.mark.parametrize("name", ["phage.fna", "phage"])
def test_a_whole_file_or_species(yeast, phage, tmp_path, name):
    corpus = build_corpus([yeast, phage], tmp_path / "corpus", held_out=HeldOut(files=(name,)))
    assert corpus.held_out.rows() == [(0, "I", 0, 5_000)]
    assert set(corpus.training["shard"]) == {1}


def test_blocks_are_a_fraction_and_never_overlap_what_is_trained_on(yeast, tmp_path):
    corpus = build_corpus([yeast], tmp_path / "corpus", held_out=HeldOut(fraction=0.2, block=1_024, seed=5))
    held_out = int((corpus.held_out["end"] - corpus.held_out["start"]).sum())
    assert abs(held_out - 0.2 * 38_000) <= 1_024
    assert corpus.training_bases + held_out == 38_000
    covered = {name: np.zeros(30_009, dtype=int) for name in ("I", "II")}
    for table in (corpus.training, corpus.held_out):
        for _, contig, start, end in table.rows():
            assert start < end
            covered[contig][start:end] += 1
    assert covered["I"].max() == covered["II"].max() == 1


def test_blocks_of_a_file_do_not_depend_on_the_others(yeast, phage, tmp_path):
    wanted = HeldOut(fraction=0.1)
    alone = build_corpus([yeast], tmp_path / "alone", held_out=wanted).held_out
    both = build_corpus([yeast, phage], tmp_path / "both", held_out=wanted).held_out
    assert both.filter(shard=1).drop("shard").equals(alone.drop("shard"))
    other = build_corpus([yeast], tmp_path / "seed", held_out=HeldOut(fraction=0.1, seed=1)).held_out
    assert not other.equals(alone)


def test_a_corpus_too_small_for_blocks_gives_a_quarter_at_most(tmp_path):
    corpus = build_corpus([write(tmp_path / "tiny.fa", one="ACGT" * 100)], tmp_path / "corpus")
    assert corpus.held_out.rows() == [(0, "one", 300, 400)]


def test_nothing_held_out(yeast, tmp_path):
    assert build_corpus([yeast], tmp_path / "corpus", held_out=HeldOut(fraction=0)).held_out.is_empty()


def test_everything_held_out(yeast, tmp_path):
    with pytest.raises(DataError, match="nothing is left to train on"):
        build_corpus([yeast], tmp_path / "corpus", held_out=HeldOut(files=("yeast",)))
    assert not (tmp_path / "corpus").exists()


@pytest.mark.parametrize("wanted", [HeldOut(contigs=("chr3",)), HeldOut(files=("human",))])
def test_names_that_fit_nothing(yeast, tmp_path, wanted):
    with pytest.raises(UsageError, match=r"no (contig chr3|file or species human); there are"):
        build_corpus([yeast], tmp_path / "corpus", held_out=wanted)


def test_the_same_input_is_opened_again_and_another_refused(yeast, phage, tmp_path):
    built = build_corpus([yeast, phage], tmp_path / "corpus")
    again = build_corpus([phage, yeast], tmp_path / "corpus")
    assert again.content_hash() == built.content_hash() == open_corpus(tmp_path / "corpus").content_hash()
    with pytest.raises(DataError, match="a corpus of other inputs than asked for"):
        build_corpus([yeast], tmp_path / "corpus")
    with pytest.raises(DataError, match="a corpus of other held_out than asked for"):
        build_corpus([yeast, phage], tmp_path / "corpus", held_out=HeldOut(seed=1))


def test_a_folder_of_files_in_every_form(tmp_path, yeast):
    folder = tmp_path / "genomes"
    folder.mkdir()
    (folder / "a.fa.gz").write_bytes(gzip.compress(yeast.read_bytes()))
    (folder / "b.gbk.gz").write_bytes(gzip.compress(GENBANK.encode()))
    (folder / "b.gff3").write_text("not read")
    corpus = build_corpus([folder], tmp_path / "corpus", held_out=HeldOut(fraction=0))
    assert corpus.species == ("a", "b")
    assert corpus.training.filter(shard=1).rows() == [(1, "PLASMID.1", 0, 8), (1, "PLASMID.1", 10, 12)]
    assert decode(corpus.shards[1].fetch("PLASMID.1")) == "ACGTACGTNNAC"


BAD = {
    "empty": (b"", "bad.fa is empty"),
    "no sequence": (b">one\n>two\nACGT\n", "contig one has no bases"),
    "all N": (b">one\nNNNN\n", "bad.fa has no known base"),
    "protein": (b">one\nMKTAYIAKQR\n", "letter 'I' at position 5 .* looks like protein"),
    "protein of ambiguity codes": (b">one\nMKRVSYDAGH\n", "is this protein"),
    "duplicate names": (b">one\nACGT\n>one\nACGT\n", "the name one again; give every record a name of its own"),
    "truncated gzip": (gzip.compress(b">one\n" + random_dna(10_000).encode())[:900], "truncated or corrupt gzip"),
    "no FASTA": (b"ACGT\n", "is not FASTA"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_files(tmp_path, what):
    content, message = BAD[what]
    (tmp_path / "bad.fa").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        build_corpus([tmp_path / "bad.fa"], tmp_path / "corpus")
    assert str(tmp_path / "bad.fa") in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["bad.fa"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            GENBANK.replace("ORIGIN", "CONTIG      join(X.1:1..12)").replace("        1 acgtacgtnn ac\n", ""),
            "no sequence",
        ),
        (GENBANK[:250], "is not a whole GenBank file"),
        ("nothing", "is not GenBank"),
    ],
)
def test_bad_genbank(tmp_path, content, message):
    (tmp_path / "bad.gbk").write_text(content)
    with pytest.raises(DataError, match=message):
        build_corpus([tmp_path / "bad.gbk"], tmp_path / "corpus")


def test_lower_case_is_read_and_noted_or_refused_as_the_policy_says(tmp_path):
    path = write(tmp_path / "soft.fa", one=random_dna(2_000).lower())
    corpus = build_corpus([path], tmp_path / "corpus", held_out=HeldOut(fraction=0))
    assert corpus.training_bases == 2_000
    assert corpus.notes == ("soft.fa: all letters are lower case, so nothing is known of masked repeats",)
    with pytest.raises(DataError, match="all letters are read as N"):
        build_corpus([path], tmp_path / "other", policy=AlphabetPolicy(lower_case="n"))


def test_the_same_sequences_twice(yeast, tmp_path):
    copy = tmp_path / "copy.fa.gz"
    copy.write_bytes(gzip.compress(yeast.read_bytes()))
    with pytest.raises(DataError, match="holds the same sequences as"):
        build_corpus([yeast, copy], tmp_path / "corpus")


def test_a_damaged_corpus(yeast, tmp_path):
    build_corpus([yeast], tmp_path / "corpus")
    (tmp_path / "corpus" / "training.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"training\.parquet is missing or changed"):
        open_corpus(tmp_path / "corpus")
    with pytest.raises(DataError, match="is no corpus"):
        open_corpus(tmp_path)


def test_missing_files_and_empty_folders(tmp_path):
    with pytest.raises(UsageError, match="there is no file"):
        build_corpus([tmp_path / "none.fa"], tmp_path / "corpus")
    with pytest.raises(UsageError, match="holds no FASTA or GenBank file"):
        build_corpus([tmp_path], tmp_path / "corpus")


def test_subtract_by_hand():
    schema = ["shard", "contig", "start", "end"]
    whole = pl.DataFrame([(0, "a", 0, 10), (0, "a", 12, 20), (1, "a", 0, 5)], schema=schema, orient="row")
    taken = pl.DataFrame([(0, "a", 0, 3), (0, "a", 15, 17), (0, "a", 17, 20)], schema=schema, orient="row")
    assert subtract(whole, taken).rows() == [(0, "a", 3, 10), (0, "a", 12, 15), (1, "a", 0, 5)]


@pytest.mark.real_data
def test_real_genomes(shared_data, tmp_path):
    corpus = build_corpus(
        [shared_data / "genomes" / "PRO" / "Mycoplasma_mycoides.gbk.gz", shared_data / "genomes" / "VIR"],
        tmp_path / "corpus",
    )
    assert len(corpus.shards) == 17
    by_file = {file["species"]: file for file in corpus.manifest["files"]}
    assert by_file["Mycoplasma_mycoides"]["known"] == 1_084_586
    assert by_file["Enterobacteria_phage_lambda"]["known"] == 48_502
    assert by_file["Mycoplasma_mycoides"]["held_out"] == pytest.approx(0.02 * 1_084_586, rel=0.05)
