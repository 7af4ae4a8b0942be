"""Shuffled sequences as a null model: same base counts, or same counts of all dinucleotides.

Every N stays where it is, and each run of bases between Ns is shuffled by itself, so a gap of an assembly stays a gap.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np

from glmbench.sequences.alphabet import EncodedBatch, flatten
from glmbench.sequences.typing import Codes

Sequences = TypeVar("Sequences", EncodedBatch, Codes)


def shuffle_bases(sequences: Sequences, rng: np.random.Generator) -> Sequences:
    """Permute the bases of each sequence uniformly: base counts are kept, everything else is lost.

    Args:
        sequences: a batch, codes (n, length), or one sequence (length,); it is not changed.
        rng: decides the outcome alone.

    Returns:
        The same kind and shape.
    """
    return _shuffled(sequences, rng, keep_pairs=False)


def shuffle_dinucleotides(sequences: Sequences, rng: np.random.Generator) -> Sequences:
    """Draw uniformly among the sequences that have exactly the same dinucleotide counts, first and last base.

    A sequence is an Eulerian path over its dinucleotides (Altschul and Erickson, 1985, Mol Biol Evol 2:526). Drawing
    the last edge out of every base as a uniform spanning tree (Wilson, 1996, STOC) makes the path uniform without
    rejection.

    Args:
        sequences: a batch, codes (n, length), or one sequence (length,); it is not changed.
        rng: decides the outcome alone.

    Returns:
        The same kind and shape.
    """
    return _shuffled(sequences, rng, keep_pairs=True)


def _shuffled(sequences: Sequences, rng: np.random.Generator, *, keep_pairs: bool) -> Sequences:
    from glmbench.sequences.shuffle_kernels import shuffle_runs

    codes, offsets = flatten(sequences)
    codes = codes.copy()
    shuffle_runs(rng, codes, offsets, keep_pairs)
    if isinstance(sequences, EncodedBatch):
        return replace(sequences, codes=codes)
    return codes.reshape(sequences.shape)
