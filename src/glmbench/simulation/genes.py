"""Coding sequence: the standard genetic code, codon usage, open reading frames, coding windows in an unknown frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glmbench.sequences.typing import Codes
from glmbench.simulation.chains import Floats, cumulative_probabilities

# NCBI translation table 1, codons in the order of the base codes A C G T.
GENETIC_CODE = "KNKNTTTTRSRSIIMIQHQHPPPPRRRRLLLLEDEDAAAAGGGGVVVV*Y*YSSSS*CWCLFLF"

IS_STOP: NDArray[np.bool_] = np.array([letter == "*" for letter in GENETIC_CODE])

# Human codons per thousand, stops included (Codon Usage Database, Nakamura et al. 2000, Nucleic Acids Res. 28:292).
_HUMAN_PER_THOUSAND = np.array([
    24.4, 19.1, 31.9, 17.0, 15.1, 18.9,  6.1, 13.1, 12.2, 19.5, 12.0, 12.1,  7.5, 20.8, 22.0, 16.0,  # A..
    12.3, 15.1, 34.2, 10.9, 16.9, 19.8,  6.9, 17.5,  6.2, 10.4, 11.4,  4.5,  7.2, 19.6, 39.6, 13.2,  # C..
    29.0, 25.1, 39.6, 21.8, 15.8, 27.7,  7.4, 18.4, 16.5, 22.2, 16.5, 10.8,  7.1, 14.5, 28.1, 11.0,  # G..
     1.0, 15.3,  0.8, 12.2, 12.2, 17.7,  4.4, 15.2,  1.6, 12.6, 13.2, 10.6,  7.7, 20.3, 12.9, 17.6,  # T..
])  # fmt: skip

_BASES_OF_CODON = np.stack(np.unravel_index(np.arange(64), (4, 4, 4)), axis=1).astype(np.uint8)
START_CODON = np.array([0, 3, 2], dtype=np.uint8)
"""ATG."""


def codon_usage(gc_bias: float = 0.0) -> Floats:
    """Probabilities (64,) of the codons inside an open reading frame; stop codons have none.

    `gc_bias` multiplies, within each amino acid, codons that end in G or C by exp(gc_bias): 0 is human usage, and the
    amino-acid composition stays human at any bias.
    """
    weights = np.where(IS_STOP, 0.0, _HUMAN_PER_THOUSAND)
    third_is_gc = np.isin(_BASES_OF_CODON[:, 2], (1, 2))
    biased = weights * np.exp(gc_bias * third_is_gc)
    amino_acids = np.array(list(GENETIC_CODE))
    for letter in np.unique(amino_acids[~IS_STOP]):
        codons = amino_acids == letter
        biased[codons] *= weights[codons].sum() / biased[codons].sum()
    return np.asarray(biased / biased.sum())


def stop_usage() -> Floats:
    """Probabilities (64,) of the three stop codons, as in human genes; all others have none."""
    weights = np.where(IS_STOP, _HUMAN_PER_THOUSAND, 0.0)
    return np.asarray(weights / weights.sum())


def sample_codons(usage: Floats, rng: np.random.Generator, shape: tuple[int, ...]) -> Codes:
    """Independent codons, as codes (*shape[:-1], 3 * shape[-1])."""
    chosen = np.searchsorted(cumulative_probabilities(usage), rng.random(shape), side="right")
    return _BASES_OF_CODON[chosen].reshape(*shape[:-1], -1)


def sample_open_reading_frame(usage: Floats, rng: np.random.Generator, codons: int) -> Codes:
    """One open reading frame, codes (3 * codons,): ATG, codons of `usage`, a stop codon.

    Raises:
        ValueError: fewer than two codons, or `usage` gives a stop codon some probability.
    """
    if codons < 2 or usage[IS_STOP].any():
        raise ValueError(f"want at least 2 codons and a usage without stops, got {codons} codons")
    body = sample_codons(usage, rng, (codons - 2,))
    return np.concatenate([START_CODON, body, sample_codons(stop_usage(), rng, (1,))])


def translate(codes: Codes) -> str:
    """The protein of codes (3n,) read in frame 0, stop codons as `*`."""
    return "".join(GENETIC_CODE[codon] for codon in codon_indices(codes[None, : codes.size // 3 * 3])[0])


def codon_indices(codes: Codes) -> NDArray[np.intp]:
    """Indices (n, length / 3) of the codons of codes (n, length) in frame 0."""
    triplets = codes.reshape(codes.shape[0], -1, 3).astype(np.intp)
    return np.asarray(triplets @ np.array([16, 4, 1], dtype=np.intp))


def frame_averaged_words(usage: Floats, width: int) -> Floats:
    """Distribution (4^width,) of the `width`-mers of an endless stretch of independent codons, averaged over frames.

    It is what a k-mer count sees of coding sequence while the frame is not known.
    """
    codons = -(-(width + 2) // 3)
    long = np.ones(1)
    for _ in range(codons):
        long = np.multiply.outer(long, usage).reshape(-1)
    words = np.zeros(4**width)
    for frame in range(3):
        words += long.reshape(4**frame, 4**width, -1).sum(axis=(0, 2)) / 3
    return words


@dataclass(frozen=True, eq=False)
class CodingWindows:
    """Windows of `length` bp from endless coding sequence of independent codons, in each reading frame equally often.

    The frame is the number of bases before the first whole codon. No window holds its gene's start or stop.
    """

    usage: Floats
    length: int

    def sample(self, rng: np.random.Generator, n: int) -> Codes:
        """Draw `n` windows, codes (n, length)."""
        frames = (rng.random(n) * 3).astype(np.intp)
        codes = sample_codons(self.usage, rng, (n, self.length // 3 + 2))
        starts = (3 - frames) % 3
        return np.take_along_axis(codes, starts[:, None] + np.arange(self.length), axis=1)

    def log_likelihood(self, codes: Codes) -> Floats:
        """Log p(window) (n,), in nats, for codes (n, length); -inf where every frame has a stop codon."""
        frames = np.stack([self._log_likelihood_in_frame(codes, frame) for frame in range(3)])
        return np.asarray(np.logaddexp.reduce(frames, axis=0) - np.log(3))

    def _log_likelihood_in_frame(self, codes: Codes, frame: int) -> Floats:
        by_base = self.usage.reshape(4, 4, 4)
        whole = (self.length - frame) // 3 * 3
        tail = self.length - frame - whole
        with np.errstate(divide="ignore"):
            lead = np.log(by_base.sum(axis=tuple(range(3 - frame))))
            rest = np.log(by_base.sum(axis=tuple(range(tail, 3))))
            per_codon = np.log(self.usage)
        inner = per_codon[codon_indices(codes[:, frame : frame + whole])].sum(axis=1)
        first = lead[tuple(codes[:, :frame].T)]
        last = rest[tuple(codes[:, frame + whole :].T)]
        return np.asarray(inner + first + last)
