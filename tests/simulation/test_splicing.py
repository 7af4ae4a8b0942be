from __future__ import annotations

import numpy as np
import pytest

from glmbench.simulation.chains import dinucleotide_chain
from glmbench.simulation.splicing import (
    ACCEPTOR,
    DONOR,
    DONOR_EXON_BASES,
    INTRON_ACCEPTOR,
    INTRON_DONOR,
    splice_site_classes,
)

EXON, INTRON = dinucleotide_chain(0.55), dinucleotide_chain(0.4)


def test_consensus_around_the_cuts():
    assert DONOR.consensus[1:] == "AGGTAAGT"
    assert DONOR.consensus[DONOR_EXON_BASES:] == INTRON_DONOR.consensus == "GTAAGT"
    assert INTRON_ACCEPTOR.consensus[-3:] == "CAG"
    assert ACCEPTOR.consensus.endswith("CAGG")


def test_pyrimidine_tract_before_the_acceptor():
    assert (ACCEPTOR.probabilities[:12, [1, 3]].sum(axis=1) > 0.7).all()


def test_sites_lie_at_the_cut():
    donors, acceptors, neither = (
        classes.sample(np.random.default_rng(1), 300) for classes in splice_site_classes(EXON, INTRON, 60, 0)
    )
    assert (donors[:, 30] == 2).all()
    assert (donors[:, 31] == 3).mean() > 0.95
    assert (acceptors[:, 28:30] == [0, 2]).all()
    gt = (neither[:, 30:32] == [2, 3]).all(axis=1)
    ag = (neither[:, 28:30] == [0, 2]).all(axis=1)
    assert (gt | ag).all()
    assert 0.4 < gt.mean() < 0.65


def test_jitter_moves_the_cut_evenly():
    donors = splice_site_classes(EXON, INTRON, 60, 2)[0]
    codes, layouts = donors.sample_with_layouts(np.random.default_rng(2), 2000)
    cuts = np.array([layout[0][1] + DONOR_EXON_BASES for layout in donors.layouts])[layouts]
    assert sorted(set(cuts)) == [28, 29, 30, 31, 32]
    assert (codes[np.arange(2000), cuts] == 2).all()
    assert np.bincount(cuts)[28:].min() > 320


def test_sites_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="no room"):
        splice_site_classes(EXON, INTRON, 40, 10)
