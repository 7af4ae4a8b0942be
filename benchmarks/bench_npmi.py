"""Counts of all n-grams, n = 1..10, of a sequence: against collections.Counter over slices of the string."""

from __future__ import annotations

from collections import Counter

import numpy as np

from glmbench.sequences.alphabet import decode
from glmbench.sequences.kmers import kmer_names
from glmbench.sequences.markov import fit_markov, sample_markov
from glmbench.sequences.ngrams import NGramCounts, count_ngrams
from harness import Measurement, race

OURS, THEIRS, LONGEST, SEED = 20_000_000, 400_000, 10, 0


def measure() -> Measurement:
    rng = np.random.default_rng(SEED)
    model = fit_markov(rng.integers(0, 4, size=2_000, dtype=np.uint8), 3)
    codes = sample_markov(model, 1, OURS, rng)[0]
    part = decode(codes[:THEIRS])
    assert _same(count_ngrams([codes[:THEIRS]], LONGEST), _counter(part))
    raced = race(
        "npmi",
        lambda: count_ngrams([codes], LONGEST),
        lambda: _counter(part),
        amount=1.0,
        unit="Mbp/s",
        what_is_theirs="collections.Counter over the slices of a string, one pass for each n",
        rounds=5,
        note=f"per base: ours counts {OURS / 1e6:g} Mbp, theirs {THEIRS / 1e6:g} Mbp of it, where the counts are equal",
    )
    ours, theirs = raced.ours * OURS / 1e6, raced.theirs * THEIRS / 1e6
    return Measurement("npmi", ours, theirs, ours / theirs, raced.unit, raced.what_is_theirs, raced.note)


def _counter(text: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for n in range(1, LONGEST + 1):
        counts.update(text[i : i + n] for i in range(len(text) - n + 1))
    return counts


def _same(ours: NGramCounts, theirs: Counter[str]) -> bool:
    found = {
        name: int(count)
        for n in range(1, LONGEST + 1)
        for name, count in zip(kmer_names(n), ours.of(n), strict=True)
        if count
    }
    return found == theirs
