"""Counts of all 6-mers in 500-bp sequences, from strings to a table: against scikit-learn's CountVectorizer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer

from glmbench.sequences.alphabet import decode, encode_batch
from glmbench.sequences.kmers import kmer_counts, kmer_names
from glmbench.sequences.markov import fit_markov, sample_markov
from harness import Measurement, race

SEQUENCES, LENGTH, K, SEED = 2_000, 500, 6, 0


def measure() -> Measurement:
    rng = np.random.default_rng(SEED)
    model = fit_markov(rng.integers(0, 4, size=2_000, dtype=np.uint8), 3)
    sequences = [decode(codes) for codes in sample_markov(model, SEQUENCES, LENGTH, rng)]
    vectorizer = CountVectorizer(analyzer="char", ngram_range=(K, K), lowercase=False, vocabulary=kmer_names(K))

    def ours() -> NDArray[np.uint16]:
        return kmer_counts(encode_batch(sequences), K, dtype=np.uint16)

    assert np.array_equal(vectorizer.transform(sequences).toarray(), ours())
    return race(
        "kmer_features",
        ours,
        lambda: vectorizer.transform(sequences),
        amount=SEQUENCES,
        unit="sequences/s",
        what_is_theirs='sklearn CountVectorizer(analyzer="char", ngram_range=(6, 6), vocabulary=all 4,096).transform',
        note=f"{SEQUENCES} sequences of {LENGTH} bp; ours encodes the strings too and gives a dense uint16 table",
    )
