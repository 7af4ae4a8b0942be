from __future__ import annotations

import math
from functools import cache
from itertools import combinations

import numpy as np
import polars as pl
import pytest

from glmbench.errors import DataError
from glmbench.pretraining.npmi import SCHEMA, Definition, describe_order, score_ngrams
from glmbench.pretraining.rankings import counts_of_ranking, read_ranking
from glmbench.sequences.alphabet import encode
from glmbench.sequences.kmers import kmer_names
from glmbench.sequences.ngrams import NGramCounts, count_ngrams

RELEASED = "genemask/Data-A_norm-pmi-score-ranking.csv"


@pytest.fixture(scope="module")
def counts() -> NGramCounts:
    rng = np.random.default_rng(3)
    return count_ngrams([rng.choice(4, size=6_000, p=[0.4, 0.1, 0.2, 0.3]).astype(np.uint8)], 5)


def cuts(word: str) -> list[list[str]]:
    """Every way to cut a word into two parts or more."""
    places = range(1, len(word))
    return [
        [word[a:b] for a, b in zip((0, *chosen), (*chosen, len(word)), strict=True)]
        for number in range(1, len(word))
        for chosen in combinations(places, number)
    ]


def scored_by_hand(word: str, counts: NGramCounts, definition: Definition, min_count: int) -> dict[str, float]:
    """The definitions as the module's text has them, one n-gram at a time."""

    @cache
    def log_p(part: str) -> float:
        count = counts.of(len(part))[kmer_names(len(part)).index(part)]
        pooled = counts.total(1) + counts.total(2)
        return math.log(count / (pooled if definition == "reference" else counts.total(len(part))))

    def pmi(allowed: list[list[str]]) -> float:
        return min(log_p(word) - sum(map(log_p, cut)) for cut in allowed)

    every = cuts(word)
    two = [cut for cut in every if len(cut) == 2]
    if definition == "reference":
        two = [cut for cut in two if len(word) == 2 or len(cut[1]) > 1]
        every = [cut for cut in every if max(map(len, cut)) <= 2]
    frequency = math.log(counts.of(len(word))[kmer_names(len(word)).index(word)])
    discount = frequency / (frequency + math.log(min_count)) if definition == "reference" else 1.0
    return {
        "naive_pmi": pmi([list(word)]),
        "two_part_pmi": pmi(two),
        "pmi": pmi(every),
        "npmi": pmi(every) * discount,
    }


@pytest.mark.parametrize("definition", ["reference", "levine"])
@pytest.mark.parametrize("k", [2, 3, 5])
def test_scores_equal_a_search_over_all_cuts(counts, definition, k):
    table = score_ngrams(counts, k, definition, min_count=3)
    assert dict(table.schema) == SCHEMA
    known = table.filter(pl.col("rank").is_not_null())
    assert known.height >= min(4**k, 200)
    for row in known.iter_rows(named=True):
        for name, value in scored_by_hand(row["ngram"], counts, definition, 3).items():
            assert row[name] == pytest.approx(value, abs=1e-9), (row["ngram"], name)
    assert known["npmi"].is_sorted(descending=True)
    assert known["rank"].to_list() == list(range(1, known.height + 1))


def test_by_hand():
    """ACACAC: 6 unigrams (A 3, C 3), 5 bigrams (AC 3, CA 2); pooled denominator 11."""
    table = score_ngrams(count_ngrams([encode("ACACAC")], 2), 2, min_count=2)
    ac, ca = table.row(0, named=True), table.row(1, named=True)
    assert (ac["ngram"], ac["count"], ca["ngram"], ca["count"]) == ("AC", 3, "CA", 2)
    assert ac["pmi"] == pytest.approx(math.log(3 / 11) - 2 * math.log(3 / 11))
    assert ac["npmi"] == pytest.approx(ac["pmi"] * math.log(3) / (math.log(3) + math.log(2)))
    assert ca["npmi"] == pytest.approx((math.log(2 / 11) - 2 * math.log(3 / 11)) / 2)
    levine = score_ngrams(count_ngrams([encode("ACACAC")], 2), 2, "levine", min_count=2)
    assert levine["npmi"][0] == levine["pmi"][0] == pytest.approx(math.log(3 / 5) - 2 * math.log(1 / 2))


def test_rare_ngrams_are_listed_last_without_scores(counts):
    table = score_ngrams(counts, 4, min_count=20)
    rare = table.filter(pl.col("count") < 20)
    assert table.height == 256
    assert 0 < rare.height < 256
    assert rare.equals(table.tail(rare.height))
    assert rare.select(pl.all().exclude("ngram", "count")).null_count().row(0) == (rare.height,) * 5


def test_a_minimum_of_one_discounts_nothing(counts):
    table = score_ngrams(counts, 5, min_count=1).drop_nulls()
    assert table["count"].min() == 1
    assert table["npmi"].equals(table["pmi"].alias("npmi"))


def test_what_cannot_be_scored_is_refused(counts):
    with pytest.raises(ValueError, match="k is 6, it must be from 2 to 5"):
        score_ngrams(counts, 6)
    with pytest.raises(ValueError, match="at least 1"):
        score_ngrams(counts, 3, min_count=0)
    with pytest.raises(DataError, match=r"none of the 2 3-mers occurs 101 times \(the most frequent: 1\)"):
        score_ngrams(count_ngrams([encode("ACGT")], 3), 3)


@pytest.mark.real_data
def test_recomputation_from_the_counts_of_the_released_ranking(shared_data):
    from scipy.stats import spearmanr

    released = read_ranking(shared_data / RELEASED)
    counts = counts_of_ranking(released)
    assert counts.total(6) == 669_128_271
    ours = score_ngrams(counts)
    both = released.join(ours, on="ngram", suffix="_ours", maintain_order="left")
    assert both["count"].equals(both["count_ours"].alias("count"))
    shift = (both["rank"] - both["rank_ours"]).abs()
    assert spearmanr(both["rank"], both["rank_ours"]).statistic > 0.9999998
    assert shift.max() <= 4
    assert (shift == 0).sum() == 3051  # 74.5 % of 4,096; the others stand at most 4 off
    for column, largest in (("pmi", 0.0035), ("npmi", 0.0035), ("two_part_pmi", 0.0035), ("naive_pmi", 0.005)):
        assert (both[column] - both[f"{column}_ours"]).abs().max() < largest, column


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("ngram", "count", "rank"),
    [("CCTCCC", 446_610, 1), ("GGGAGG", 444_846, 2), ("GTGTGT", 423_385, 3), ("AAAAAA", 2_233_290, 7),
     ("TCGCGA", 2_947, 4096)],
)  # fmt: skip
def test_published_counts_and_ranks(shared_data, ngram, count, rank):
    released = read_ranking(shared_data / RELEASED)
    for table in (released, score_ngrams(counts_of_ranking(released))):
        row = table.row(by_predicate=pl.col("ngram") == ngram, named=True)
        assert (row["count"], row["rank"]) == (count, rank)


@pytest.mark.real_data
def test_the_textbook_definition_ranks_otherwise(shared_data):
    released = read_ranking(shared_data / RELEASED)
    levine = score_ngrams(counts_of_ranking(released), definition="levine")
    top = set(released["ngram"].head(100)) & set(levine["ngram"].head(100))
    assert len(top) == 59


@pytest.mark.parametrize("definition", ["reference", "levine"])
@pytest.mark.parametrize(("k", "min_count"), [(2, 1), (3, 101), (5, 5), (5, 10_000)])
def test_an_order_is_described_as_its_table_says(definition: Definition, k: int, min_count: int) -> None:
    codes = np.random.default_rng(k).choice(4, size=3_000, p=[0.4, 0.1, 0.2, 0.3]).astype(np.uint8)
    found = describe_order(count_ngrams([codes], 5), k, definition, min_count)
    assert found["ngrams"] == 3_001 - k
    if min_count == 10_000:
        assert (found["ranked"], found["negative"], found["best"]) == (0, None, None)
        return
    table = score_ngrams(count_ngrams([codes], 5), k, definition, min_count)
    ranked = table.drop_nulls("rank")
    assert found["distinct"] == (table["count"] > 0).sum()
    assert (found["ranked"], found["best"]) == (ranked.height, ranked["ngram"][0])
    assert found["negative"] == pytest.approx((ranked["npmi"] < 0).mean())


def test_equal_scores_are_described_by_count_and_alphabet() -> None:
    counts = count_ngrams([np.array([3, 3, 3, 3, 4, 0, 0, 0, 0], dtype=np.uint8)], 2)
    assert describe_order(counts, 2, "levine", 1)["best"] == score_ngrams(counts, 2, "levine", 1)["ngram"][0] == "AA"
