"""Do the k-mers of binding motifs rank high? Their AUC against other k-mers, and what composition and repeats explain.

A k-mer and its reverse complement are one unit: motifs lie on both strands, the two ranks are nearly equal, and
counting both would only make p values too small. The unit's rank is the mean of the two.

The k-mers of a motif are all windows of its consensus, the most probable base at each position, that carry 1 bit of
information a base on average (of 2 bits at most, uniform background); flanks and weak motifs drop out.

AUC is the probability that a k-mer of the motif ranks better than another k-mer (Mann-Whitney U over the number of
pairs; 0.5: no better). GC-matched, each k-mer of the motif is compared with others of its number of G and C, and counts
the same. p is two-sided, by the normal approximation, as if windows were independent; those of one motif overlap, so it
is too small, and q (Benjamini-Hochberg over the motifs that have an AUC) is a way to sort rather than an error rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from glmbench.sequences.kmers import canonical_columns, kmer_names
from glmbench.sequences.ngrams import NGramCounts
from glmbench.simulation.motifs import PositionWeightMatrix

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

MIN_BITS = 1.0
"""Mean information of a window, in bits a base."""
REPEAT_ODDS = 1.5
"""A k-mer whose odds of being soft-masked are this many times those of all k-mers is a repeat k-mer."""
RESAMPLES = 2_000

COMPARISONS = ("all", "GC-matched", "no repeats", "no repeats, GC-matched")
MOTIF_SCHEMA = {
    "motif": pl.String,
    "comparison": pl.String,
    "kmers": pl.Int64,
    "auc": pl.Float64,
    "p": pl.Float64,
    "q": pl.Float64,
}
"""Columns of `rank_motifs`; `kmers` counts those of the motif that the comparison uses, both strands as one."""

DECIDED = 0.05
SUMMARY_SCHEMA = {
    "comparison": pl.String,
    "motifs": pl.Int64,
    "median_auc": pl.Float64,
    "mean_auc": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "above": pl.Float64,
    "ranked_high": pl.Int64,
    "ranked_low": pl.Int64,
}


def repeat_kmers(k: int, counts: NGramCounts | None = None, unmasked: NGramCounts | None = None) -> Flags:
    """Which k-mers stand for repeats.

    All that repeat one, two or three bases (AAAAAA, GTGTGT, CAGCAG); and, from a genome whose repeats are in lower
    case, those that are found there: the odds of an occurrence to touch lower case are `REPEAT_ODDS` times or more
    those of all occurrences together, over both strands.

    Args:
        k: bases.
        counts: of the genome, to order `k` at least; None where no genome says.
        unmasked: the same with lower case read as N.

    Returns:
        bool (4^k,).
    """
    digits = np.arange(4**k)[:, None] // 4 ** np.arange(k - 1, -1, -1) % 4
    repeats = np.zeros(4**k, dtype=np.bool_)
    for period in range(1, min(3, k // 2) + 1):
        repeats |= (digits[:, period:] == digits[:, :-period]).all(axis=1)
    if counts is None or unmasked is None:
        return repeats
    fold = canonical_columns(k)
    upper = np.bincount(fold, weights=unmasked.of(k)) + 0.5
    lower = np.bincount(fold, weights=counts.of(k) - unmasked.of(k)) + 0.5
    if counts.total(k) == unmasked.total(k):
        return repeats
    enriched = lower / upper >= REPEAT_ODDS * lower.sum() / upper.sum()
    return np.asarray(repeats | enriched[fold])


def motif_kmers(motif: PositionWeightMatrix, k: int, min_bits: float = MIN_BITS) -> NDArray[np.int64]:
    """The k-mers of a motif's consensus on its own strand, int64 in base 4, ascending; see the module for which."""
    probabilities = motif.probabilities
    if len(motif) < k:
        return np.empty(0, dtype=np.int64)
    logs = np.log2(probabilities, out=np.zeros_like(probabilities), where=probabilities > 0)
    bits = 2 + (probabilities * logs).sum(axis=1)
    windows = np.lib.stride_tricks.sliding_window_view
    kmers = windows(probabilities.argmax(axis=1), k) @ 4 ** np.arange(k - 1, -1, -1)
    return np.unique(kmers[windows(bits, k).mean(axis=1) >= min_bits])


def shuffled_motifs(motifs: Sequence[PositionWeightMatrix], seed: int = 0) -> list[PositionWeightMatrix]:
    """The motifs with their positions in random order: a control of the same bases and information."""
    rng = np.random.default_rng(seed)
    return [PositionWeightMatrix(motif.name, motif.probabilities[rng.permutation(len(motif))]) for motif in motifs]


def rank_motifs(
    motifs: Sequence[PositionWeightMatrix], ranking: pl.DataFrame, repeats: Flags | None = None
) -> pl.DataFrame:
    """Compare the ranks of every motif's k-mers with those of other k-mers, in the ways of `COMPARISONS`.

    Args:
        motifs: any number; those without an informative window get rows with `kmers` 0 and nothing else.
        ranking: rows of `npmi.SCHEMA`; k-mers without a rank share the worst.
        repeats: bool (4^k,) of `repeat_kmers`; None for those that need no genome.

    Returns:
        Rows of `MOTIF_SCHEMA`, motifs in their order. `auc`, `p`, `q` are null where the motif has no k-mer left, or
        none of the same GC to compare with.
    """
    from scipy.stats import false_discovery_control

    k = len(ranking["ngram"][0])
    fold = canonical_columns(k)
    ranks = _unit_ranks(ranking, k)
    gc = np.array([name.count("G") + name.count("C") for name in kmer_names(k)])[_first_of_units(fold)]
    kept = ~(repeat_kmers(k) if repeats is None else repeats)[_first_of_units(fold)]
    every, one = np.ones(ranks.size, dtype=np.bool_), np.zeros(ranks.size, dtype=np.int64)
    settings = zip(COMPARISONS, ((every, one), (every, gc), (kept, one), (kept, gc)), strict=True)
    units = [np.unique(fold[motif_kmers(motif, k)]) for motif in motifs]
    tables = []
    for comparison, (among, strata) in settings:
        standings = _Standings.of(ranks, among, strata)
        results = [standings.auc(own[among[own]]) for own in units]
        p = np.array([result[2] for result in results], dtype=np.float64)
        q = np.full(len(p), np.nan)
        if np.isfinite(p).any():
            q[np.isfinite(p)] = false_discovery_control(p[np.isfinite(p)])
        columns = {
            "motif": [motif.name for motif in motifs],
            "comparison": [comparison] * len(motifs),
            "kmers": [result[0] for result in results],
            "auc": [result[1] for result in results],
            "p": p,
            "q": q,
        }
        tables.append(pl.DataFrame(columns, schema=MOTIF_SCHEMA).with_columns(pl.col("auc", "p", "q").fill_nan(None)))
    at = pl.Series("at", np.tile(np.arange(len(motifs)), len(tables)))
    return pl.concat(tables).with_columns(at).sort("at", maintain_order=True).drop("at")


def summarise_motifs(table: pl.DataFrame, seed: int = 0) -> pl.DataFrame:
    """One row a comparison, over the motifs that `rank_motifs` found an AUC for in every comparison: the same ones.

    Returns:
        Rows of `SUMMARY_SCHEMA`: `motifs` that are summarised; `median_auc`; `mean_auc` with `low` and `high`, its
        95 % percentile interval over resampled motifs (families of like motifs make it too narrow); `above`, the share
        of AUCs above 0.5; `ranked_high` and `ranked_low`, how many have q < 0.05 and rank better, or worse, than other
        k-mers.
    """
    shape = (-1, len(COMPARISONS))
    aucs, q = (table[name].cast(pl.Float64).fill_null(np.nan).to_numpy().reshape(shape) for name in ("auc", "q"))
    complete = np.isfinite(aucs).all(axis=1)
    aucs, q = aucs[complete], q[complete]
    if not len(aucs):
        rows = [{"comparison": each, "motifs": 0, "ranked_high": 0, "ranked_low": 0} for each in COMPARISONS]
        return pl.DataFrame(rows, schema=SUMMARY_SCHEMA)
    drawn = np.random.default_rng(seed).integers(len(aucs), size=(RESAMPLES, len(aucs)))
    low, high = np.quantile(np.stack([aucs[rows].mean(axis=0) for rows in drawn]), (0.025, 0.975), axis=0)
    columns = {
        "comparison": COMPARISONS,
        "motifs": [len(aucs)] * len(COMPARISONS),
        "median_auc": np.median(aucs, axis=0),
        "mean_auc": aucs.mean(axis=0),
        "low": low,
        "high": high,
        "above": (aucs > 0.5).mean(axis=0),
        "ranked_high": ((q < DECIDED) & (aucs > 0.5)).sum(axis=0),
        "ranked_low": ((q < DECIDED) & (aucs < 0.5)).sum(axis=0),
    }
    return pl.DataFrame(columns, schema=SUMMARY_SCHEMA)


def _unit_ranks(ranking: pl.DataFrame, k: int) -> Floats:
    """The mean rank of every k-mer and its reverse complement, float (canonical k-mers,)."""
    worst = ranking["rank"].drop_nulls().len() + 1
    names = pl.DataFrame({"ngram": kmer_names(k)})
    ranks = names.join(ranking, on="ngram", how="left", maintain_order="left")["rank"].fill_null(worst).to_numpy()
    fold = canonical_columns(k)
    return np.asarray(np.bincount(fold, weights=ranks) / np.bincount(fold))


def _first_of_units(fold: NDArray[np.int64]) -> NDArray[np.int64]:
    """A k-mer of every unit: what holds for both strands is read there."""
    return np.unique(fold, return_index=True)[1]


@dataclass(frozen=True, slots=True, eq=False)
class _Standings:
    """How units stand among the others of their stratum, ready for any number of motifs.

    Attributes:
        standing: float (units,), mid-rank within the stratum, the best unit highest; 0 for units left out.
        strata: int64 (units,).
        sizes: int64 (strata,), units that take part.
        spread: float (strata,): the variance of U is this times n (size - n) for n units.
    """

    standing: Floats
    strata: NDArray[np.int64]
    sizes: NDArray[np.int64]
    spread: Floats

    @staticmethod
    def of(ranks: Floats, among: Flags, strata: NDArray[np.int64]) -> _Standings:
        from scipy.stats import rankdata

        standing = np.zeros(ranks.size)
        sizes = np.bincount(strata[among], minlength=strata.max() + 1)
        spread = np.zeros(sizes.size)
        for stratum in np.flatnonzero(sizes > 1):
            own = among & (strata == stratum)
            standing[own] = rankdata(-ranks[own])
            size = int(sizes[stratum])
            tied = np.unique(ranks[own], return_counts=True)[1].astype(np.float64)
            spread[stratum] = (size + 1 - (tied**3 - tied).sum() / (size * (size - 1))) / 12
        return _Standings(standing, strata, sizes, spread)

    def auc(self, units: NDArray[np.int64]) -> tuple[int, float, float]:
        """Number of units compared, AUC and two-sided p of these units against the others; NaN where there are none.

        Over strata, AUCs are averaged by the number of these units in each; units without others drop out.
        """
        from scipy.stats import norm

        n = np.bincount(self.strata[units], minlength=self.sizes.size)
        used = (n > 0) & (self.sizes > n)
        if not used.any():
            return 0, np.nan, np.nan
        sums = np.bincount(self.strata[units], weights=self.standing[units], minlength=self.sizes.size)[used]
        n, others, spread = n[used], (self.sizes - n)[used], self.spread[used]
        weights = n / n.sum()
        auc = float((weights * (sums - n * (n + 1) / 2) / (n * others)).sum())
        deviation = float(np.sqrt((weights**2 * spread / (n * others)).sum()))
        return int(n.sum()), auc, float(2 * norm.sf(abs(auc - 0.5) / deviation)) if deviation > 0 else 1.0
