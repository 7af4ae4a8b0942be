from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmbench.sequences import ngrams
from glmbench.sequences.alphabet import encode, encode_batch
from glmbench.sequences.encoding import reverse_complement
from glmbench.sequences.kmers import kmer_counts, kmer_names, reverse_complement_kmers
from glmbench.sequences.ngrams import NGramCounts, count_ngrams, marginalise

genomes = st.lists(st.text("ACGTN", max_size=60), max_size=5)


def counted(contigs: list[str], n: int) -> Counter[str]:
    windows = (contig[i : i + n] for contig in contigs for i in range(len(contig) - n + 1))
    return Counter(window for window in windows if "N" not in window)


def named(counts: NGramCounts, n: int) -> dict[str, int]:
    return {name: int(count) for name, count in zip(kmer_names(n), counts.of(n), strict=True) if count}


def test_counts_by_hand():
    counts = count_ngrams([encode("AACANAC"), encode("C")], longest=3)
    assert named(counts, 3) == {"AAC": 1, "ACA": 1}
    assert named(counts, 2) == {"AA": 1, "AC": 2, "CA": 1}
    assert named(counts, 1) == {"A": 4, "C": 3}
    assert counts.total(2) == 4


@settings(deadline=None, max_examples=40)
@given(genomes, st.integers(1, 6))
def test_every_order_equals_a_counter(contigs, longest):
    counts = count_ngrams(map(encode, contigs), longest)
    assert counts.longest == longest
    for n in range(1, longest + 1):
        assert named(counts, n) == counted(contigs, n)


@settings(deadline=None, max_examples=30)
@given(genomes, st.integers(1, 7))
def test_pieces_change_nothing(contigs, piece):
    batch = encode_batch(contigs)
    whole = count_ngrams(batch, 5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ngrams, "_PIECE", piece)
        patch.setattr(ngrams, "_ROOM", 2 * piece)  # so that the small counter is emptied often
        pieces = count_ngrams(batch, 5)
    assert all(np.array_equal(a, b) for a, b in zip(whole.orders, pieces.orders, strict=True))


@settings(deadline=None, max_examples=20)
@given(genomes, genomes)
def test_genomes_and_strands_add(one, two):
    together = count_ngrams(map(encode, one + two), 4)
    added = count_ngrams(map(encode, one), 4) + count_ngrams(map(encode, two), 4)
    strands = together + count_ngrams([encode(reverse_complement(contig)) for contig in one + two], 4)
    for n in range(1, 5):
        assert np.array_equal(together.of(n), added.of(n))
        assert np.array_equal(strands.of(n), strands.of(n)[reverse_complement_kmers(n)])


def test_long_sequence_equals_the_counter_of_single_sequences():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 5, size=50_000, dtype=np.uint8)
    codes[1_000:30_000] %= 4
    counts = count_ngrams([codes])
    assert counts.longest == 10
    for n in (1, 4, 8):
        assert np.array_equal(counts.of(n), kmer_counts(codes, n, dtype=np.int64)[0])


def test_marginals_without_ends_lack_the_ends_only():
    codes = encode("ACGTTGCA")
    counts = count_ngrams([codes], 3)
    bare = marginalise(counts.of(3))
    assert int((counts.of(2) - bare.of(2)).sum()) == 1  # the last two bases
    assert int((counts.of(1) - bare.of(1)).sum()) == 2


def test_what_was_not_counted_is_refused():
    with pytest.raises(ValueError, match="from 1 to 12"):
        count_ngrams([encode("ACGT")], 13)
    counts = count_ngrams([encode("ACGT")], 3)
    with pytest.raises(ValueError, match="4 bases were not counted, only 1 to 3"):
        counts.of(4)
    with pytest.raises(ValueError, match="do not add"):
        counts + count_ngrams([encode("ACGT")], 2)
