"""GeneMask's spans around the best k-mers, against the uniform masking of transformers' collator."""

from __future__ import annotations

import numpy as np
import torch

from bench_uniform_masking import NAMES, SPECIAL, VOCABULARY, K, race_collator
from glmbench.pretraining.objectives.corruption import Corruption
from glmbench.pretraining.objectives.genemask import GeneMask
from glmbench.pretraining.objectives.ranks import Ranks
from harness import Measurement

PROBABILITY = 0.0188
"""Hides .150 of 510 tokens, as the collator does."""


def measure() -> Measurement:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        ranks = np.zeros(VOCABULARY, dtype=np.int32)
        ranks[len(NAMES) :] = np.random.default_rng(0).permutation(4**K) + 1
        objective = GeneMask(Corruption(SPECIAL, VOCABULARY), K, Ranks("npmi", ranks), PROBABILITY)
        return race_collator("genemask_masking", objective)
    finally:
        torch.set_num_threads(threads)
