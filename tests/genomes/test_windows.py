from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmbench.errors import DataError
from glmbench.genomes.codes import build_genome, genome_from_codes
from glmbench.genomes.windows import random_windows, regular_windows
from glmbench.sequences.alphabet import encode

sequences = st.lists(st.text("ACGTN", min_size=0, max_size=25), min_size=1, max_size=5)


def genome_of(*contigs):
    return genome_from_codes({f"contig{number}": encode(contig) for number, contig in enumerate(contigs)})


def possible(contigs, width, avoid_n):
    return {
        (f"contig{number}", start, start + width)
        for number, contig in enumerate(contigs)
        for start in range(len(contig) - width + 1)
        if not (avoid_n and "N" in contig[start : start + width])
    }


@settings(deadline=None, max_examples=80)
@given(sequences, st.integers(1, 9), st.booleans())
def test_random_windows_are_drawn_from_all_possible_ones(contigs, width, avoid_n):
    genome, wanted = genome_of(*contigs), possible(contigs, width, avoid_n)
    if not wanted:
        with pytest.raises(DataError, match=f"no window of {width} bases"):
            random_windows(genome, width, 5, np.random.default_rng(0), avoid_n=avoid_n)
        return
    windows = random_windows(genome, width, 40 * len(wanted), np.random.default_rng(0), avoid_n=avoid_n)
    intervals = windows.intervals().rows()
    assert set(intervals) == wanted
    for codes, (contig, start, end) in zip(windows.codes[:20], intervals, strict=False):
        assert np.array_equal(codes, genome.fetch(contig, start, end))


def test_every_start_is_equally_likely():
    contigs = ["ACGTNNACGTACGTA", "ACG", "NACGTACN"]
    drawn = random_windows(genome_of(*contigs), 3, 30_000, np.random.default_rng(0)).intervals().rows()
    wanted = possible(contigs, 3, avoid_n=True)
    expected = 30_000 / len(wanted)
    counts = Counter(drawn)
    chi_square = sum((counts[each] - expected) ** 2 / expected for each in wanted)
    degrees = len(wanted) - 1
    assert chi_square < degrees + 4 * (2 * degrees) ** 0.5


@settings(deadline=None, max_examples=80)
@given(sequences, st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_regular_windows_equal_a_plain_loop(contigs, width, step, avoid_n):
    windows = regular_windows(genome_of(*contigs), width, step, avoid_n=avoid_n)
    wanted = sorted(each for each in possible(contigs, width, avoid_n) if each[1] % step == 0)
    assert windows.intervals().rows() == wanted
    assert windows.codes.shape == (len(wanted), width)
    for codes, (contig, start, end) in zip(windows.codes, wanted, strict=True):
        assert np.array_equal(codes, windows.genome.fetch(contig, start, end))


def test_regular_windows_by_hand():
    windows = regular_windows(genome_of("AACCGGT", "AC", "TTTT"), 3, 2)
    assert windows.codes.tolist() == [[0, 0, 1], [1, 1, 2], [2, 2, 3], [3, 3, 3]]
    assert windows.intervals().rows() == [("contig0", 0, 3), ("contig0", 2, 5), ("contig0", 4, 7), ("contig2", 0, 3)]


def test_the_generator_decides():
    genome = genome_of("ACGTACGTACGTAAACCC")
    first, again, other = (random_windows(genome, 4, 50, np.random.default_rng(seed)).start for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_windows_of_a_built_genome_are_writable_copies(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_text(">a\nACGTACGT\n")
    windows = random_windows(build_genome(path, tmp_path / "genome"), 8, 2, np.random.default_rng(0))
    windows.codes[0] = 4
    assert windows.codes[1].tolist() == [0, 1, 2, 3, 0, 1, 2, 3]


@pytest.mark.parametrize(("width", "step"), [(0, 1), (3, 0)])
def test_arguments_out_of_range(width, step):
    with pytest.raises(ValueError, match="at least 1 base"):
        regular_windows(genome_of("ACGT"), width, step)


@pytest.mark.real_data
def test_random_windows_of_yeast_equal_an_indexed_fasta(shared_data, tmp_path):
    pyfaidx = pytest.importorskip("pyfaidx")
    import gzip

    plain = tmp_path / "yeast.fa"
    source = shared_data / "genomes" / "EUK" / "Saccharomyces_cerevisiae_S288C.fna.gz"
    plain.write_bytes(gzip.decompress(source.read_bytes()))
    windows = random_windows(build_genome(source, tmp_path / "yeast"), 500, 300, np.random.default_rng(0))
    with pyfaidx.Fasta(str(plain), as_raw=True) as reader:
        for codes, (contig, start, end) in zip(windows.codes, windows.intervals().rows(), strict=True):
            assert np.array_equal(codes, encode(reader[contig][start:end]))
    assert windows.intervals().get_column("contig").n_unique() == 17
