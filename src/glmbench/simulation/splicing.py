"""Splice sites: weight matrices of donors and acceptors, and sequences around one.

The matrices are rounded by us from the well-known vertebrate consensus, MAG|GTRAGT at donors and a pyrimidine tract
followed by NYAG|G at acceptors (Shapiro & Senapathy 1987, Nucleic Acids Res. 15:7155; GC donors near 1 %: Burset et al.
2001, Nucleic Acids Res. 29:255).
"""

from __future__ import annotations

import numpy as np

from glmbench.sequences.markov import MarkovModel
from glmbench.simulation.layouts import Emitter, Layout, LayoutMixture
from glmbench.simulation.motifs import PositionWeightMatrix

DONOR_EXON_BASES = 3
"""Positions of `DONOR` before the cut."""

ACCEPTOR_EXON_BASES = 1
"""Positions of `ACCEPTOR` after the cut."""

DONOR = PositionWeightMatrix(
    "donor",
    np.array([
        [0.34, 0.36, 0.18, 0.12],  # -3
        [0.60, 0.13, 0.12, 0.15],  # -2
        [0.09, 0.03, 0.80, 0.08],  # -1
        [0.00, 0.00, 1.00, 0.00],  # +1
        [0.00, 0.01, 0.00, 0.99],  # +2
        [0.54, 0.03, 0.40, 0.03],  # +3
        [0.71, 0.08, 0.12, 0.09],  # +4
        [0.07, 0.05, 0.82, 0.06],  # +5
        [0.16, 0.16, 0.20, 0.48],  # +6
    ]),
)  # fmt: skip

_TRACT_BASES = 12
_TRACT = [0.12, 0.32, 0.12, 0.44]

ACCEPTOR = PositionWeightMatrix(
    "acceptor",
    np.array([
        *[_TRACT] * _TRACT_BASES,  # -16 … -5
        [0.24, 0.28, 0.21, 0.27],  # -4
        [0.05, 0.65, 0.01, 0.29],  # -3
        [1.00, 0.00, 0.00, 0.00],  # -2
        [0.00, 0.00, 1.00, 0.00],  # -1
        [0.25, 0.14, 0.50, 0.11],  # +1
    ]),
)  # fmt: skip

# Decoys of what every site has: a bare GT and a bare AG.
_BARE_GT = PositionWeightMatrix("bare_gt", np.eye(4)[[2, 3]])
_BARE_AG = PositionWeightMatrix("bare_ag", np.eye(4)[[0, 2]])

INTRON_DONOR = PositionWeightMatrix("donor", DONOR.probabilities[DONOR_EXON_BASES:])
INTRON_ACCEPTOR = PositionWeightMatrix("acceptor", ACCEPTOR.probabilities[:-ACCEPTOR_EXON_BASES])
"""The parts of the matrices inside the intron, for genes whose exon bases are fixed by codons."""


def splice_site_classes(exon: MarkovModel, intron: MarkovModel, length: int, jitter: int) -> tuple[LayoutMixture, ...]:
    """Distributions of donor, acceptor, and neither, sequences of `length` bp.

    The cut lies at length // 2, moved by up to `jitter` bp either way, uniformly. "Neither" is exon or intron
    throughout and has, with equal probability, a bare GT or a bare AG where a site would have it, so that finding these
    is not enough.

    Raises:
        ValueError: a site would not fit at the largest jitter.
    """
    cuts = range(length // 2 - jitter, length // 2 + jitter + 1)
    if jitter < 0 or cuts[0] < len(ACCEPTOR) or length - cuts[-1] < len(DONOR):
        raise ValueError(f"a cut at {length // 2} ± {jitter} leaves no room for the sites in {length} bp")
    chains = {"exon": exon, "intron": intron}
    emitters: dict[str, Emitter] = {motif.name: motif for motif in (DONOR, ACCEPTOR, _BARE_GT, _BARE_AG)}
    emitters |= chains

    def mixture(layouts: list[Layout]) -> LayoutMixture:
        return LayoutMixture(emitters, tuple(layouts), np.full(len(layouts), 1 / len(layouts)))

    donors = [_around("exon", DONOR, "intron", cut - DONOR_EXON_BASES, length) for cut in cuts]
    acceptors = [_around("intron", ACCEPTOR, "exon", cut + ACCEPTOR_EXON_BASES - len(ACCEPTOR), length) for cut in cuts]
    decoys = [_around(chain, _BARE_GT, chain, cut, length) for cut in cuts for chain in chains]
    decoys += [_around(chain, _BARE_AG, chain, cut - len(_BARE_AG), length) for cut in cuts for chain in chains]
    return mixture(donors), mixture(acceptors), mixture(decoys)


def _around(before: str, site: PositionWeightMatrix, after: str, start: int, length: int) -> Layout:
    """A layout with one motif at `start` between two stretches of background."""
    return (before, start), (site.name, len(site)), (after, length - start - len(site))
