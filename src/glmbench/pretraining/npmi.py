"""Pointwise mutual information of n-grams: how much more often bases occur together than their parts explain.

Two definitions, both from n-gram counts f and natural logarithms:

`reference`, as the ranking that GeneMask (Roy et al., ECAI 2023) released was made; its code is not public, this was
recovered from the released values. One denominator for every order, p(w) = f(w) / T with T the number of unigrams and
bigrams together. PMI(w) = ln p(w) less the largest sum of ln p over ways to cut w into parts of one or two bases.
n-grams that occur less often than a minimum of c (101) are left out, and NPMI(w) = PMI(w) ln f(w) / (ln f(w) + ln c):
despite its name a discount for rare n-grams, not the normalised PMI of collocations that lies between -1 and 1.

`levine`, PMI_n of Levine et al. (PMI-Masking, ICLR 2021): p(w) = f(w) / number of n-grams of that order, and all ways
to cut w but the whole; n-grams below the minimum are left out, nothing is discounted.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from glmbench.errors import DataError
from glmbench.sequences.alphabet import BASES
from glmbench.sequences.kmers import kmer_names
from glmbench.sequences.ngrams import NGramCounts

Definition = Literal["reference", "levine"]
Floats = NDArray[np.float64]

MIN_COUNT = 101
_LONGEST_REFERENCE_PART = 2

SCHEMA = {
    "ngram": pl.String,
    "count": pl.Int64,
    "naive_pmi": pl.Float64,
    "two_part_pmi": pl.Float64,
    "pmi": pl.Float64,
    "npmi": pl.Float64,
    "rank": pl.Int32,
}
"""Columns of a table of n-grams, best rank first. Without a score (too few occurrences) all but `ngram` and `count` are
null."""


def score_ngrams(
    counts: NGramCounts, k: int = 6, definition: Definition = "reference", min_count: int = MIN_COUNT
) -> pl.DataFrame:
    """Score and rank the n-grams of `k` bases.

    Args:
        counts: of a genome, to order `k` at least.
        k: 2 or more.
        definition: see the module.
        min_count: n-grams that occur less often have no score and no rank; 1 or more.

    Returns:
        4^k rows of `SCHEMA`, by rank, those without one last: `naive_pmi` compares with single bases; `two_part_pmi` is
        the least over cuts into two parts (`reference` misses the last cut, before the last base, as the released
        values do); `pmi` the least over cuts into allowed parts; `npmi` decides the rank, 1 the highest. Equal scores
        rank by count, then by alphabet.

    Raises:
        DataError: no n-gram of `k` bases occurs `min_count` times.
        ValueError: `k` or `min_count` is out of range.
    """
    if not 2 <= k <= counts.longest:
        raise ValueError(f"k is {k}, it must be from 2 to {counts.longest}, the longest n-gram that was counted")
    if min_count < 1:
        raise ValueError(f"the minimum count is {min_count}, it must be at least 1")
    frequency = counts.of(k)
    scored = frequency >= min_count
    if not scored.any():
        raise DataError(
            f"none of the {counts.total(k):,} {k}-mers occurs {min_count} times (the most frequent: "
            f"{int(frequency.max())}); give more sequence, a smaller k or a smaller minimum count"
        )
    logs = _log_probabilities(counts, k, definition)
    pmi, npmi = _scores(logs, frequency, k, definition, min_count)
    with np.errstate(invalid="ignore"):  # n-grams that never occur; they have no score
        naive = logs[-1] - _best_cut(logs, k, "naive")
        two_parts = logs[-1] - _best_two_parts(logs, k, skip_last=definition == "reference" and k > 2)
    columns = {"naive_pmi": naive, "two_part_pmi": two_parts, "pmi": pmi, "npmi": npmi}
    order = np.lexsort((np.arange(4**k), -frequency, -np.where(scored, npmi, -np.inf)))
    ranks = np.empty(4**k, dtype=np.int32)
    ranks[order] = np.arange(1, 4**k + 1)
    known = pl.col("count") >= min_count
    table = pl.DataFrame({"ngram": kmer_names(k), "count": frequency, **columns, "rank": ranks}, schema=SCHEMA)
    return table.sort("rank").with_columns(pl.when(known).then(pl.col(name)) for name in (*columns, "rank"))


def describe_order(
    counts: NGramCounts, n: int, definition: Definition = "reference", min_count: int = MIN_COUNT
) -> dict[str, Any]:
    """What there is of the n-grams of one order, without a table of them.

    Returns:
        `n`, `ngrams` (how many), `distinct`, `ranked` (how many reach the minimum count), `negative` (their share
        with a negative NPMI) and `best`, the n-gram of rank 1. The last three are None for single bases, the last
        two where none is ranked.
    """
    frequency = counts.of(n)
    row = {"n": n, "ngrams": counts.total(n), "distinct": int((frequency > 0).sum())}
    unscored = {"ranked": None, "negative": None, "best": None}
    if n == 1:
        return row | unscored
    scored = np.flatnonzero(frequency >= min_count)
    if not scored.size:
        return row | unscored | {"ranked": 0}
    npmi = _scores(_log_probabilities(counts, n, definition), frequency, n, definition, min_count)[1][scored]
    top = scored[npmi == npmi.max()]
    best = int(top[np.argmax(frequency[top])])  # of equal scores the most frequent, then the first, as in the table
    name = "".join(BASES[best >> 2 * place & 3] for place in range(n - 1, -1, -1))
    return row | {"ranked": int(scored.size), "negative": float((npmi < 0).mean()), "best": name}


def _scores(
    logs: list[Floats], frequency: NDArray[np.int64], k: int, definition: Definition, min_count: int
) -> tuple[Floats, Floats]:
    """PMI and NPMI of every k-mer, (4^k,) each; of those that never occur NaN or without meaning."""
    with np.errstate(invalid="ignore"):
        pmi = logs[-1] - _best_cut(logs, k, definition)
        return pmi, pmi * _discount(frequency, min_count) if definition == "reference" else pmi


def _log_probabilities(counts: NGramCounts, k: int, definition: Definition) -> list[Floats]:
    """Natural logarithms of p for the orders 1..k; -inf for n-grams that never occur."""
    pooled = counts.total(1) + counts.total(2)
    with np.errstate(divide="ignore"):
        return [
            np.log(counts.of(n) / (pooled if definition == "reference" else max(counts.total(n), 1)))
            for n in range(1, k + 1)
        ]


def _best_cut(logs: list[Floats], k: int, parts: Literal["reference", "levine", "naive"]) -> Floats:
    """The largest sum of log p over cuts of every k-mer into allowed parts, (4^k,); the whole is no part.

    Built order by order: the best cut of an n-mer ends in some last part, before which stands the best cut of its
    prefix, whole prefixes among them where they are allowed parts.
    """
    longest_part = min({"reference": _LONGEST_REFERENCE_PART, "levine": k, "naive": 1}[parts], k - 1)
    best = [logs[0]]
    for n in range(2, k + 1):
        cut = np.full(4**n, -np.inf)
        for last in range(1, min(n - 1, longest_part) + 1):
            _raise_to(cut, best[n - last - 1], logs[last - 1])
        best.append(np.maximum(cut, logs[n - 1]) if n <= longest_part else cut)
    return best[-1]


def _best_two_parts(logs: list[Floats], k: int, *, skip_last: bool) -> Floats:
    best = np.full(4**k, -np.inf)
    for first in range(1, k - 1 if skip_last else k):
        _raise_to(best, logs[first - 1], logs[k - first - 1])
    return best


def _raise_to(best: Floats, heads: Floats, tails: Floats) -> None:
    """Raise `best` (heads x tails,) to every sum of a head and a tail, in place."""
    table = best.reshape(heads.size, tails.size)
    np.maximum(table, heads[:, None] + tails[None, :], out=table)


def _discount(frequency: NDArray[np.int64], min_count: int) -> Floats:
    """What NPMI is of PMI, (4^k,): near 1/2 at the minimum count and higher above it; 1 where the minimum is 1."""
    log = np.log(np.maximum(frequency, 1))
    whole = log + np.log(min_count)
    return np.asarray(np.divide(log, whole, out=np.ones_like(log), where=whole > 0))
