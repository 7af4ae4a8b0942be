from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from glmbench.errors import DataError, UsageError
from glmbench.pretraining.npmi import SCHEMA, score_ngrams
from glmbench.pretraining.rankings import (
    Agreement,
    compare_rankings,
    counts_of_ranking,
    frequency_ranking,
    inverse_ranking,
    permuted_ranking,
    ranks_for_tokens,
    read_ranking,
    write_table,
)
from glmbench.sequences.ngrams import count_ngrams

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@pytest.fixture(scope="module")
def ranking() -> pl.DataFrame:
    """Of 64 3-mers, some of them too rare to have a rank."""
    rng = np.random.default_rng(1)
    codes = rng.choice(4, size=2_000, p=[0.5, 0.1, 0.1, 0.3]).astype(np.uint8)
    table = score_ngrams(count_ngrams([codes], 3), 3, min_count=12)
    assert 0 < table["rank"].null_count() < 32
    return table


def ranked(table: pl.DataFrame) -> list[str]:
    return table.drop_nulls("rank").sort("rank")["ngram"].to_list()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_written_tables_are_read_back(ranking, tmp_path, suffix):
    path = tmp_path / f"npmi.{suffix}"
    write_table(path, ranking)
    back = read_ranking(path)
    assert dict(back.schema) == SCHEMA
    assert back.sort("ngram").equals(ranking.sort("ngram"))


def test_another_suffix_is_refused(ranking, tmp_path):
    with pytest.raises(UsageError, match=r"\.csv or \.parquet"):
        write_table(tmp_path / "npmi.txt", ranking)
    assert list(tmp_path.iterdir()) == []


def test_ranks_of_token_ids(ranking):
    vocabulary = (*SPECIAL, *ranking["ngram"].reverse())
    ranks = ranks_for_tokens(ranking, vocabulary)
    assert ranks.dtype == np.int32
    known = ranking["rank"].drop_nulls().len()
    best = ranking["ngram"][0]
    assert ranks[vocabulary.index(best)] == 1
    assert set(ranks[:5]) == {known + 2}
    unranked = [vocabulary.index(word) for word in ranking.filter(pl.col("rank").is_null())["ngram"]]
    assert set(ranks[unranked]) == {known + 1}
    assert sorted(ranks[ranks <= known]) == list(range(1, known + 1))


def test_ranks_of_another_tokenizer_are_refused(ranking):
    with pytest.raises(DataError, match="3-mers and the tokenizer has none; use the tokenizer kmer-3"):
        ranks_for_tokens(ranking, (*SPECIAL, "A", "C", "G", "T", "ACGT"))


def test_controls_rank_the_same_ngrams_otherwise(ranking):
    names = ranked(ranking)
    assert ranked(inverse_ranking(ranking)) == names[::-1]
    by_count = frequency_ranking(ranking).drop_nulls("rank")
    assert by_count["count"].is_sorted(descending=True)
    assert sorted(by_count["ngram"]) == sorted(names)
    permuted = permuted_ranking(ranking, seed=0)
    assert sorted(ranked(permuted)) == sorted(names)
    assert ranked(permuted) != names
    assert permuted.equals(permuted_ranking(ranking, seed=0))
    assert not permuted.equals(permuted_ranking(ranking, seed=1))
    for control in (inverse_ranking(ranking), frequency_ranking(ranking), permuted):
        assert dict(control.schema) == SCHEMA
        assert control.drop("rank").sort("ngram").equals(ranking.drop("rank").sort("ngram"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "cannot be read"),
        ("ngram,score\nACG,1\n", "lacks the columns count"),
        ("ACG,7,1", "no n-grams"),
        ("ACG,7,1\nACGT,7,2", "n-grams of 3 and 4 bases"),
        ("ACN,7,1", "'ACN'"),
        ("ACG,7,1\nACG,7,2", "ACG twice"),
        ("ACG,7,1\nACT,7,3", "without a gap"),
        ("A,7,1\nC,7,2", "ranks single bases"),
        ("ACG,7,\nACT,7,", "has no ranks"),
        ("ACG,many,1", "wrong type"),
    ],
)
def test_tables_that_are_none_are_refused(tmp_path: Path, content: str, message: str):
    path = tmp_path / "ranks.csv"
    if content[:3].isupper():
        rows = content.splitlines() if message != "no n-grams" else []
        rows = [",".join((name, count, "1,1,1,1", rank)) for name, count, rank in (row.split(",") for row in rows)]
        content = "\n".join([",".join(SCHEMA), *rows, ""])
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_ranking(path)


def test_agreement_of_rankings(ranking):
    known = ranking["rank"].drop_nulls().len()
    assert compare_rankings(ranking, ranking) == Agreement(known, pytest.approx(1.0), 1.0, 0, 1.0)
    inverse = compare_rankings(ranking, inverse_ranking(ranking))
    assert inverse.spearman == pytest.approx(-1.0)
    assert inverse.largest_shift == known - 1
    words = ranking.drop_nulls("rank").head(4)
    swapped = words.with_columns(rank=pl.Series([2, 1, 3, 4], dtype=pl.Int32))
    assert compare_rankings(words, swapped) == Agreement(4, pytest.approx(0.8), 0.5, 1, 1.0)
    # Ranks are taken among the shared n-grams: without the best, the others stand at the same places.
    assert compare_rankings(ranking, ranking.tail(-1)).identical == 1.0
    assert compare_rankings(ranking, ranking.clear()).shared == 0


def test_counts_need_every_kmer(ranking):
    assert np.array_equal(np.sort(counts_of_ranking(ranking).of(3)), np.sort(ranking["count"]))
    with pytest.raises(DataError, match="1 of the 64 3-mers are not in the table"):
        counts_of_ranking(ranking.head(63))


@pytest.mark.real_data
def test_the_released_table_is_recognised(shared_data):
    released = read_ranking(shared_data / "genemask/Data-A_norm-pmi-score-ranking.csv")
    assert dict(released.schema) == SCHEMA
    assert released.row(0) == pytest.approx(
        ("CCTCCC", 446_610, 5.34657087, 1.51780009, 2.84914592, 2.10307619, 1), abs=1e-7
    )
    assert (released["npmi"] < 0).sum() == 536
