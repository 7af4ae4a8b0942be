"""Rankings of k-mers for masking: written and read as a table, turned into ranks of token ids, and their controls."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from glmbench.errors import DataError, UsageError
from glmbench.pretraining.npmi import MIN_COUNT, SCHEMA
from glmbench.sequences.alphabet import BASES
from glmbench.sequences.kmers import kmer_names
from glmbench.sequences.ngrams import NGramCounts, marginalise
from glmbench.storage.atomic import atomic_path

TOP = 100
"""How many of the best n-grams `compare_rankings` looks for in the other ranking."""

_RELEASED = {
    "naive.pmi": "naive_pmi",
    "true.pmi": "two_part_pmi",
    "dp.true.pmi": "pmi",
    "norm_dp_true_pmi": "npmi",
    "norm_pmi_rank_rel": "rank",
}
"""Columns of the table that GeneMask released (`Data-A_norm-pmi-score-ranking.csv`) and our names for them."""


def require_table_suffix(path: Path) -> None:
    """Refuse a file name that `write_table` cannot serve.

    Raises:
        UsageError: the suffix is neither .csv nor .parquet.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise UsageError(f"{path}: a table is written as .csv or .parquet; give such a name")


def write_table(path: Path, table: pl.DataFrame) -> None:
    """Write a table of n-grams or motifs whole or not at all; the suffix says how.

    Raises:
        UsageError: the suffix is neither .csv nor .parquet.
    """
    require_table_suffix(path)
    with atomic_path(path) as temporary:
        if path.suffix == ".csv":
            table.write_csv(temporary)
        else:  # by way of memory: what polars says of a full disk is no OSError
            buffer = io.BytesIO()
            table.write_parquet(buffer)
            temporary.write_bytes(buffer.getbuffer())


def read_ranking(path: Path) -> pl.DataFrame:
    """Read a table of n-grams: our .csv or .parquet, or the CSV that GeneMask released, told apart by its columns.

    Returns:
        Rows of `npmi.SCHEMA`, by rank. Counts of the released table, which has none, are recovered from its scores.

    Raises:
        DataError: no such file or table, n-grams of several lengths or of one base, one twice, one with other letters,
            no rank at all, or ranks that are not 1, 2, 3, …
    """
    try:
        table = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path, infer_schema_length=None)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path} cannot be read as a table of n-grams: {error}") from error
    if {"ngram", *_RELEASED} <= set(table.columns):
        table = table.rename(_RELEASED).with_columns(count=_recovered_counts(table, path))
    missing = [name for name in SCHEMA if name not in table.columns]
    if missing:
        raise DataError(
            f"{path} lacks the columns {', '.join(missing)}; a table of `glmbench npmi --out`, or the one that "
            "GeneMask released, was wanted"
        )
    try:
        table = table.select(pl.col(name).cast(dtype) for name, dtype in SCHEMA.items())
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path} has a column of the wrong type: {error}") from error
    _check(table, path)
    return table.sort("rank", nulls_last=True)


def _recovered_counts(released: pl.DataFrame, path: Path) -> NDArray[np.int64]:
    """Counts from scores: NPMI / PMI = ln f / (ln f + ln 101), solved for f, which then is whole within 1e-6."""
    ratio = (released["norm_dp_true_pmi"] / released["dp.true.pmi"]).to_numpy()
    exact = np.exp(ratio * math.log(MIN_COUNT) / (1 - ratio))
    counts = np.rint(exact)
    if not np.isfinite(exact).all() or np.abs(exact - counts).max() > 1e-3:
        raise DataError(f"{path}: its scores give no whole counts, so it is not the table that GeneMask released")
    return np.asarray(counts, dtype=np.int64)


def _check(table: pl.DataFrame, path: Path) -> None:
    if table.is_empty():
        raise DataError(f"{path} has no n-grams")
    lengths = table["ngram"].str.len_bytes().unique().to_list()
    odd = table.filter(~pl.col("ngram").fill_null("").str.contains(f"^[{BASES}]+$"))["ngram"].head(1).to_list()
    twice = table.filter(table["ngram"].is_duplicated())["ngram"].head(1).to_list()
    ranks = table["rank"].drop_nulls().sort().to_list()
    if odd or len(lengths) != 1:
        found = f"{odd[0]!r}" if odd else f"n-grams of {' and '.join(map(str, sorted(lengths)))} bases"
        raise DataError(f"{path} has {found}; upper-case A, C, G, T of one length were wanted")
    if lengths == [1]:
        raise DataError(f"{path} ranks single bases; n-grams of two bases or more were wanted")
    if twice:
        raise DataError(f"{path} has {twice[0]} twice")
    if not ranks:
        raise DataError(f"{path} has no ranks: every n-gram is below its minimum count; count more sequence")
    if ranks != list(range(1, len(ranks) + 1)):
        raise DataError(f"{path}: ranks must be 1, 2, 3, … without a gap or a tie")


def counts_of_ranking(ranking: pl.DataFrame) -> NGramCounts:
    """Counts of all orders from a table that lists every k-mer, shorter ones by sums over what follows them.

    Raises:
        DataError: a k-mer is not listed.
    """
    k = len(ranking["ngram"][0])
    names = pl.DataFrame({"ngram": kmer_names(k)})
    counts = names.join(ranking, on="ngram", how="left", maintain_order="left")["count"]
    if counts.null_count():
        raise DataError(f"{counts.null_count()} of the {4**k:,} {k}-mers are not in the table; all were wanted")
    return marginalise(counts.to_numpy().astype(np.int64))


def ranks_for_tokens(ranking: pl.DataFrame, vocabulary: Sequence[str]) -> NDArray[np.int32]:
    """The rank of every token id, for masking by rank.

    Args:
        ranking: rows of `npmi.SCHEMA`.
        vocabulary: the token of every id, of the overlapping k-mer tokenizer.

    Returns:
        int32 (vocabulary,): 1 is best. k-mers without a rank share the next one after all ranks; tokens that are no
        k-mers (special ones) have one that is worse still.

    Raises:
        DataError: no token is an n-gram of the table: another k.
    """
    best_to_worst = dict(zip(ranking["ngram"], ranking["rank"], strict=True))
    k = len(ranking["ngram"][0])
    unranked = ranking["rank"].drop_nulls().len() + 1
    special = unranked + 1
    is_kmer = [len(token) == k and set(token) <= set(BASES) for token in vocabulary]
    if not any(is_kmer):
        raise DataError(f"the ranking is of {k}-mers and the tokenizer has none; use the tokenizer kmer-{k}")
    ranks = [
        (best_to_worst.get(token) or unranked) if kmer else special
        for token, kmer in zip(vocabulary, is_kmer, strict=True)
    ]
    return np.array(ranks, dtype=np.int32)


def frequency_ranking(ranking: pl.DataFrame) -> pl.DataFrame:
    """The same table ranked by count, the most frequent first: a control. Equal counts rank by alphabet."""
    ranked = ranking.sort("count", "ngram", descending=[True, False])
    return _ranked(ranked)


def inverse_ranking(ranking: pl.DataFrame) -> pl.DataFrame:
    """The same table with its ranks turned round, the worst first: a control. n-grams without a rank stay without."""
    return _ranked(ranking.sort("rank", descending=True, nulls_last=True))


def permuted_ranking(ranking: pl.DataFrame, seed: int) -> pl.DataFrame:
    """The same table with its ranks dealt out at random: a control."""
    known = ranking.sort("rank", "ngram", nulls_last=True)
    scored = known["rank"].drop_nulls().len()
    order = np.random.default_rng(seed).permutation(scored)
    return _ranked(pl.concat([known.head(scored)[order], known.tail(-scored) if scored else known]))


def _ranked(in_order: pl.DataFrame) -> pl.DataFrame:
    """Give the n-grams that have a rank the ranks 1, 2, 3, … as they stand."""
    known = pl.col("rank").is_not_null()
    return in_order.with_columns(pl.when(known).then(known.cum_sum()).cast(pl.Int32).alias("rank")).sort(
        "rank", nulls_last=True
    )


@dataclass(frozen=True, slots=True)
class Agreement:
    """How alike two rankings of the same n-grams are, over those that both rank.

    Attributes:
        shared: how many n-grams these are; the other figures are over their ranks among themselves.
        spearman: rank correlation; NaN for fewer than two.
        identical: share that stand at the same place.
        largest_shift: the most places that one has moved.
        shared_top: share of the top 100 that are in the top 100 of the other (of all, where they are fewer).
    """

    shared: int
    spearman: float
    identical: float
    largest_shift: int
    shared_top: float


def compare_rankings(a: pl.DataFrame, b: pl.DataFrame) -> Agreement:
    """Compare two tables of n-grams by rank."""
    both = a.drop_nulls("rank").join(b.drop_nulls("rank"), on="ngram", suffix="_b")
    one, two = (both[name].rank().cast(pl.Int64).to_numpy() for name in ("rank", "rank_b"))
    if not one.size:
        return Agreement(0, math.nan, math.nan, 0, math.nan)
    top = min(TOP, one.size)
    shift = np.abs(one - two)
    spearman = float(np.corrcoef(one, two)[0, 1]) if one.size > 1 else math.nan
    shared_top = int(((one <= top) & (two <= top)).sum()) / top
    return Agreement(one.size, spearman, float((shift == 0).mean()), int(shift.max()), shared_top)


def strand_shift(ranking: pl.DataFrame) -> float | None:
    """The median difference in rank between an n-gram and its reverse complement.

    Over the pairs of different n-grams that both have a rank; those that are their own complement (ACGT) are left out.
    None where there is no such pair.
    """
    complement = pl.col("ngram").str.reverse().str.replace_many(list(BASES), list(reversed(BASES)))
    ranked = ranking.drop_nulls("rank").select("ngram", "rank", complement=complement)
    pairs = ranked.join(ranked, left_on="ngram", right_on="complement", suffix="_other")
    pairs = pairs.filter(pl.col("ngram") < pl.col("complement"))
    return None if pairs.is_empty() else float(np.median((pairs["rank"] - pairs["rank_other"]).abs().to_numpy()))
