import gzip
import os
from pathlib import Path

import numpy as np
import pysam
import pytest

from glmbench.errors import DataError
from glmbench.genomes import reference_genome
from glmbench.genomes.reference_genome import FastaGenome, GenomeInMemory, naming_advice


@pytest.fixture(scope="module")
def sequences() -> dict[str, str]:
    rng = np.random.default_rng(0)
    return {name: "".join(rng.choice(list("ACGTacgtN"), size)) for name, size in (("chr1", 1_000), ("chr2", 130))}


@pytest.fixture
def plain(tmp_path: Path, sequences: dict[str, str]) -> Path:
    path = tmp_path / "genome.fa"
    folded = (f">{n}\n" + "\n".join(s[i : i + 60] for i in range(0, len(s), 60)) + "\n" for n, s in sequences.items())
    path.write_text("".join(folded))
    return path


@pytest.fixture
def packed(plain: Path) -> Path:
    path = plain.with_name("genome.fa.gz")
    pysam.tabix_compress(str(plain), str(path))
    return path


def test_plain_bgzip_and_memory_agree(
    plain: Path, packed: Path, sequences: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference_genome, "_BLOCK", 64)
    monkeypatch.setattr(reference_genome, "_BLOCKS", 3)
    genomes = [FastaGenome(plain), FastaGenome(packed), GenomeInMemory(sequences)]
    rng = np.random.default_rng(1)
    for _ in range(100):
        contig = str(rng.choice(list(sequences)))
        start, end = sorted(rng.integers(0, len(sequences[contig]) + 1, 2).tolist())
        for genome in genomes:
            assert genome.fetch(contig, start, end) == sequences[contig][start:end].upper()
    for genome in genomes:
        assert dict(genome.lengths) == {"chr1": 1_000, "chr2": 130}
        with pytest.raises(DataError, match=r"chr2:100-131 .* not within its 130 bases"):
            genome.fetch("chr2", 100, 131)
        with pytest.raises(DataError, match="the genome calls it chr2; rename"):
            genome.fetch("2", 0, 1)


def test_memory_holds_few_blocks(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference_genome, "_BLOCK", 10)
    monkeypatch.setattr(reference_genome, "_BLOCKS", 4)
    genome = FastaGenome(plain)
    for start in range(0, 990, 7):
        genome.fetch("chr1", start, start + 10)
    assert len(genome._blocks) == 4


def test_the_fingerprint_follows_the_file(plain: Path, sequences: dict[str, str]) -> None:
    first = FastaGenome(plain).fingerprint
    assert FastaGenome(plain).fingerprint == first
    os.utime(plain, ns=(1, 1))
    assert FastaGenome(plain).fingerprint != first
    other = {**sequences, "chr2": sequences["chr2"][:-1] + "A"}
    assert GenomeInMemory(sequences).fingerprint == GenomeInMemory(dict(sequences)).fingerprint
    assert len({GenomeInMemory(each).fingerprint for each in (sequences, other)}) == 2


def test_the_index_goes_to_the_cache_where_the_folder_cannot_be_written(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert FastaGenome(plain).fetch("chr1", 0, 3)
    assert not plain.with_name("genome.fa.fai").exists()


def test_another_file_under_the_old_index_is_found_out(plain: Path) -> None:
    FastaGenome(plain)
    later = plain.stat().st_mtime_ns + 10**9
    plain.write_text(">chr1\n" + "A" * 40 + "\n")
    os.utime(plain, ns=(later - 10**9, later - 10**9))
    os.utime(plain.with_name("genome.fa.fai"), ns=(later, later))
    with pytest.raises(DataError, match="remove the index"):
        FastaGenome(plain).fetch("chr1", 0, 900)


def test_gzip_and_absent_files_are_refused(plain: Path) -> None:
    path = plain.with_name("ordinary.fa.gz")
    path.write_bytes(gzip.compress(plain.read_bytes()))
    with pytest.raises(DataError, match="recompress it with `bgzip`"):
        FastaGenome(path)
    with pytest.raises(DataError, match="there is no FASTA file"):
        FastaGenome(plain.with_name("absent.fa"))


@pytest.mark.parametrize(
    ("contig", "known", "advice"),
    [
        ("1", ["chr1", "chr2"], "calls it chr1"),
        ("chr1", ["1", "2"], "calls it 1"),
        ("chrM", ["1", "MT"], "calls it MT"),
        ("MT", ["chr1", "chrM"], "calls it chrM"),
        ("7", ["a", "b", "c", "d", "e", "f"], "the genome has a, b, c, d, e, …"),
    ],
)
def test_advice_on_names(contig: str, known: list[str], advice: str) -> None:
    assert advice in naming_advice(contig, dict.fromkeys(known, 1))
