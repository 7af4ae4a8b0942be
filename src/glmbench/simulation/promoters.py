"""Promoters: ordered motifs with variable spacers on a background, at a place that is not told.

Matrices are our own, written down from consensus sequences and percentages in the literature named beside each; what a
percentage leaves is shared evenly by the other bases.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from glmbench.sequences.markov import MarkovModel
from glmbench.simulation.layouts import Emitter, Layout, LayoutMixture
from glmbench.simulation.motifs import PositionWeightMatrix, matrix_from_consensus

# Percentages of 263 E. coli promoters, as compared by Wösten et al. 1998 (J. Bacteriol. 180:594, table 3).
MINUS_35 = matrix_from_consensus("minus_35", "TTGACA", (78, 82, 68, 58, 51, 55))
MINUS_10 = matrix_from_consensus("minus_10", "TATAAT", (82, 90, 52, 59, 49, 89))

# Consensus TATAWAWR and YYANWYY as in Bucher 1990 (J. Mol. Biol. 212:563); the percentages are our assumption.
TATA_BOX = matrix_from_consensus("tata_box", "TATAWAWR", (85, 92, 92, 92, 92, 90, 85, 75))
INITIATOR = matrix_from_consensus("initiator", "YYANWYY", (75, 85, 92, 100, 80, 80, 75))


@dataclass(frozen=True, eq=False)
class MotifSyntax:
    """Motifs in a fixed order, with a distribution of spacer lengths between each and the next.

    Attributes:
        motifs: from 5' to 3'.
        spacers: for each neighbouring pair, probabilities by spacer length in bp.
    """

    motifs: tuple[PositionWeightMatrix, ...]
    spacers: tuple[dict[int, float], ...]

    def __post_init__(self) -> None:
        if len(self.spacers) != len(self.motifs) - 1:
            raise ValueError(f"{len(self.motifs)} motifs have {len(self.motifs) - 1} spacers, got {len(self.spacers)}")

    def sharpened(self, power: float) -> MotifSyntax:
        """The same syntax with every matrix sharpened (`PositionWeightMatrix.sharpened`)."""
        return MotifSyntax(tuple(motif.sharpened(power) for motif in self.motifs), self.spacers)

    def layouts(self, length: int, background: str) -> tuple[list[Layout], list[float]]:
        """All placements in a sequence of `length` bp with their probabilities.

        Spacers are drawn first, then the start, uniformly over the places where everything fits.

        Raises:
            ValueError: the longest arrangement does not fit.
        """
        layouts: list[Layout] = []
        weights: list[float] = []
        for chosen in product(*(spacer.items() for spacer in self.spacers)):
            inner: list[tuple[str, int]] = [(self.motifs[0].name, len(self.motifs[0]))]
            for motif, (gap, _) in zip(self.motifs[1:], chosen, strict=True):
                inner += [(background, gap), (motif.name, len(motif))]
            starts = length - sum(size for _, size in inner) + 1
            if starts < 1:
                raise ValueError(f"motifs and spacers take {length - starts + 1} bp, the sequence has {length}")
            probability = float(np.prod([weight for _, weight in chosen])) / starts
            for start in range(starts):
                layouts.append(((background, start), *inner, (background, starts - 1 - start)))
                weights.append(probability)
        return layouts, weights


# Spacers of sigma-70 promoters are 17 bp, one or two more or less (see the table cited above); the weights are ours.
SIGMA70 = MotifSyntax((MINUS_35, MINUS_10), ({15: 0.1, 16: 0.2, 17: 0.4, 18: 0.2, 19: 0.1},))

# The TATA box lies at about -31 to -24 and the initiator at -2 to +5, so 21 bp apart; the weights are ours.
CORE_PROMOTER = MotifSyntax((TATA_BOX, INITIATOR), ({20: 0.2, 21: 0.3, 22: 0.3, 23: 0.2},))

SYNTAXES = {"sigma70": SIGMA70, "core-promoter": CORE_PROMOTER}


def syntax_on_background(syntax: MotifSyntax, background: MarkovModel, length: int) -> LayoutMixture:
    """Sequences of `length` bp of background with one instance of `syntax` at a random place."""
    return mixture_of_syntaxes({syntax: 1.0}, background, length)


def mixture_of_syntaxes(weights: dict[MotifSyntax, float], background: MarkovModel, length: int) -> LayoutMixture:
    """Sequences of `length` bp of background with one instance of one of several syntaxes, which share their motifs."""
    emitters: dict[str, Emitter] = {"background": background}
    layouts: list[Layout] = []
    probabilities: list[float] = []
    for syntax, weight in weights.items():
        emitters |= {motif.name: motif for motif in syntax.motifs}
        ways, conditional = syntax.layouts(length, "background")
        layouts += ways
        probabilities += [weight * probability for probability in conditional]
    return LayoutMixture(emitters, tuple(layouts), np.array(probabilities))


def scrambled_syntaxes(syntax: MotifSyntax, spacers: tuple[int, ...]) -> dict[MotifSyntax, float]:
    """Decoys of a two-motif syntax: its motifs in reverse order with its own spacers, or in order with wrong `spacers`.

    Half of the decoys are of each kind, so they hold the same motifs as the syntax and differ from it by grammar alone.

    Raises:
        ValueError: the syntax has other than two motifs, or a spacer is also one of its own.
    """
    if len(syntax.motifs) != 2 or set(spacers) & set(syntax.spacers[0]) or not spacers:
        raise ValueError(f"want two motifs and spacers other than {sorted(syntax.spacers[0])}, got {spacers}")
    reversed_order = MotifSyntax(syntax.motifs[::-1], syntax.spacers)
    wrong_spacing = MotifSyntax(syntax.motifs, ({gap: 1 / len(spacers) for gap in spacers},))
    return {reversed_order: 0.5, wrong_spacing: 0.5}
