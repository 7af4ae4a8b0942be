from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmbench.pretraining.motif_ranks import (
    COMPARISONS,
    MOTIF_SCHEMA,
    SUMMARY_SCHEMA,
    motif_kmers,
    rank_motifs,
    repeat_kmers,
    shuffled_motifs,
    summarise_motifs,
)
from glmbench.pretraining.npmi import SCHEMA
from glmbench.pretraining.rankings import read_ranking
from glmbench.sequences.alphabet import AlphabetPolicy, encode
from glmbench.sequences.encoding import reverse_complement
from glmbench.sequences.kmers import canonical_kmer_names, kmer_names
from glmbench.sequences.ngrams import count_ngrams
from glmbench.simulation.motif_files import read_motifs
from glmbench.simulation.motifs import PositionWeightMatrix, matrix_from_consensus


def sharp(consensus: str, name: str = "TEST") -> PositionWeightMatrix:
    return matrix_from_consensus(name, consensus, (100.0,) * len(consensus))


def ranking_of(ranks: dict[str, float]) -> pl.DataFrame:
    names = sorted(ranks, key=lambda name: ranks[name])
    columns = {"ngram": names, "rank": range(1, len(names) + 1), "count": [200] * len(names)}
    scores = {name: [0.0] * len(names) for name in ("naive_pmi", "two_part_pmi", "pmi", "npmi")}
    return pl.DataFrame(columns | scores).select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())


def random_ranking(k: int, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return ranking_of({name: float(rng.random()) for name in kmer_names(k)})


def named(kmers: np.ndarray, k: int) -> list[str]:
    return [kmer_names(k)[kmer] for kmer in kmers]


def test_windows_of_the_consensus_that_inform():
    assert named(motif_kmers(sharp("ACGTA"), 3), 3) == ["ACG", "CGT", "GTA"]
    flank = np.full((2, 4), 0.25)
    padded = PositionWeightMatrix("padded", np.vstack([flank, sharp("ACGT").probabilities, flank]))
    # Windows with one flanking base carry 4/3 bits a base, those with two 2/3; an even column reads A.
    assert named(motif_kmers(padded, 3), 3) == ["AAC", "ACG", "CGT", "GTA"]
    assert motif_kmers(sharp("AC"), 3).size == 0
    assert motif_kmers(PositionWeightMatrix("flat", np.full((9, 4), 0.25)), 3).size == 0


def test_repeats_by_definition():
    found = named(np.flatnonzero(repeat_kmers(6)), 6)
    assert len(found) == 4**3 + 4**2 - 4  # periods of 3 and of 2 share the homopolymers
    assert {"AAAAAA", "GTGTGT", "CAGCAG"} <= set(found)
    assert "AACAAA" not in found


def test_repeats_by_lower_case():
    text = "acgga" * 30 + "TTCAGGACTCAATG" * 20
    counts, unmasked = (count_ngrams([encode(text, AlphabetPolicy(lower_case=policy))], 4) for policy in ("upper", "n"))
    found = set(named(np.flatnonzero(repeat_kmers(4, counts, unmasked)), 4))
    assert {"ACGG", "CGGA", "GAAC"} <= found
    assert {reverse_complement(name) for name in found} == found
    assert not {"TTCA", "GACT", "AATG"} & found
    without = repeat_kmers(4, unmasked, unmasked)
    assert np.array_equal(without, repeat_kmers(4))


def scores(ranking: pl.DataFrame, k: int) -> dict[str, float]:
    rank = dict(zip(ranking["ngram"], ranking["rank"], strict=True))
    return {name: (rank[name] + rank[reverse_complement(name)]) / 2 for name in canonical_kmer_names(k)}


@settings(deadline=None, max_examples=15)
@given(st.text("ACGT", min_size=4, max_size=12), st.integers(0, 100))
def test_auc_and_p_are_those_of_scipy(consensus, seed):
    from scipy.stats import mannwhitneyu

    ranking = random_ranking(4, seed)
    units = scores(ranking, 4)
    own = {min(word, reverse_complement(word)) for word in (consensus[i : i + 4] for i in range(len(consensus) - 3))}
    mine = [units[name] for name in own]
    others = [value for name, value in units.items() if name not in own]
    row = rank_motifs([sharp(consensus)], ranking).row(0, named=True)
    wanted = mannwhitneyu(others, mine, method="asymptotic", use_continuity=False)
    assert row["kmers"] == len(own)
    assert row["auc"] == pytest.approx(wanted.statistic / (len(mine) * len(others)))
    assert row["p"] == pytest.approx(wanted.pvalue)


def test_gc_matching_compares_within_one_gc_content():
    """k-mers rank by their GC, and at random within it: nothing is left of a GC-rich motif's high AUC."""
    rng = np.random.default_rng(0)
    aucs = []
    for _ in range(40):
        by_gc = {name: -name.count("G") - name.count("C") + rng.random() / 9 for name in kmer_names(4)}
        aucs.append(rank_motifs([sharp("GCGGCCGC")], ranking_of(by_gc))["auc"].to_list())
    every, matched = np.mean(aucs, axis=0)[:2]
    assert every > 0.93
    assert abs(matched - 0.5) < 0.1


def test_gc_matched_auc_by_hand():
    """AA/TT ranks before AC/GT, which ranks before all others: among ten units it beats 8 of 9, of its GC all three."""
    first = {"AA": 0.0, "TT": 0.1, "AC": 0.2, "GT": 0.3}
    table = rank_motifs([sharp("AC")], ranking_of({name: first.get(name, 1 + ord(name[0])) for name in kmer_names(2)}))
    assert table["auc"][:2].to_list() == pytest.approx([8 / 9, 1.0])


def test_what_has_no_kmers_left_has_no_auc():
    table = rank_motifs([sharp("CACACACA"), sharp("AC", "short")], random_ranking(4))
    assert dict(table.schema) == MOTIF_SCHEMA
    assert table["comparison"].to_list() == [*COMPARISONS, *COMPARISONS]
    assert table["kmers"].to_list() == [2, 2, 0, 0, 0, 0, 0, 0]
    assert table["auc"].is_null().to_list() == [False, False] + [True] * 6
    summary = summarise_motifs(table)
    assert dict(summary.schema) == SUMMARY_SCHEMA
    assert summary["motifs"].to_list() == [0] * 4


def test_summary_is_over_the_motifs_that_every_comparison_has():
    motifs = [sharp("CACACACA"), sharp("ACGGTCAT", "one"), sharp("GGATCTAC", "two")]
    table = rank_motifs(motifs, random_ranking(4))
    summary = summarise_motifs(table)
    assert summary["motifs"].to_list() == [2] * 4
    of_two = table.filter((pl.col("motif") != "TEST") & (pl.col("comparison") == "all"))["auc"]
    row = summary.row(0, named=True)
    assert row["mean_auc"] == pytest.approx(of_two.mean())
    assert of_two.min() <= row["low"] <= row["mean_auc"] <= row["high"] <= of_two.max()
    assert row["above"] == (of_two > 0.5).mean()


def test_shuffled_motifs_keep_their_positions():
    motif = matrix_from_consensus("m", "ACGTAC", (100.0, 90.0, 80.0, 70.0, 60.0, 50.0))
    (shuffled,) = shuffled_motifs([motif], seed=0)
    assert shuffled.name == "m"
    assert not np.array_equal(shuffled.probabilities, motif.probabilities)
    assert np.array_equal(np.sort(shuffled.probabilities, axis=0), np.sort(motif.probabilities, axis=0))
    assert sorted(map(tuple, shuffled.probabilities)) == sorted(map(tuple, motif.probabilities))


def test_corrected_for_the_number_of_motifs():
    from scipy.stats import false_discovery_control

    ranking = random_ranking(5)
    rng = np.random.default_rng(2)
    motifs = [sharp("".join(rng.choice(list("ACGT"), size=9)), f"m{i}") for i in range(8)]
    every = rank_motifs(motifs, ranking).filter(pl.col("comparison") == "all")
    assert np.allclose(every["q"], false_discovery_control(every["p"].to_numpy()))


@pytest.mark.real_data
def test_jaspar_motifs_against_the_released_ranking(shared_data):
    ranking = read_ranking(shared_data / "genemask/Data-A_norm-pmi-score-ranking.csv")
    motifs = read_motifs(shared_data / "motifs/JASPAR2022_vertebrates.pfm.gz")
    table = rank_motifs(motifs[:200], ranking)
    assert table.height == 800
    assert table["auc"].drop_nulls().is_between(0, 1).all()
    assert summarise_motifs(table)["motifs"][0] > 150
