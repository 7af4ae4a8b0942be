from __future__ import annotations

import numpy as np
import pytest
from objective_samples import corruption, kmer_tokens, ranks

from glmbench.pretraining.objectives.contiguous import ContiguousMasking
from glmbench.pretraining.objectives.curricula import CMGems, CMStep
from glmbench.pretraining.objectives.genemask import GeneMask
from glmbench.pretraining.objectives.global_pmi import GlobalPMI
from glmbench.pretraining.objectives.objective import Situation

TOKENS = kmer_tokens(8, 510)
EASY, HARD = GeneMask(corruption(), 6, ranks(), 0.0176), GlobalPMI(corruption(), 6, ranks(), 0.0136)


@pytest.mark.parametrize(
    ("perplexities", "switched"),
    [
        ((), False),
        ((900.0,), False),
        ((900.0, 500.0, 300.0, 298.9), False),
        ((900.0, 500.0, 499.1), True),
        ((900.0, 500.0, 500.5), True),  # worse by little is a plateau, too
        ((900.0, 500.0, 499.1, 400.0, 300.0), True),  # no way back
    ],
)
def test_cm_gems_switches_once_the_perplexity_stands_still(perplexities: tuple[float, ...], switched: bool) -> None:
    curriculum = CMGems(EASY, HARD)
    situation = Situation(perplexities=perplexities)
    assert curriculum.switched(situation) is switched
    got = curriculum.mask(TOKENS, np.random.default_rng(0), situation)
    wanted = (HARD if switched else EASY).mask(TOKENS, np.random.default_rng(0))
    assert np.array_equal(got.positions, wanted.positions)


def test_cm_step_goes_from_easy_to_hard_in_steps_of_one_per_cent() -> None:
    curriculum = CMStep(ContiguousMasking(corruption(), 6, 0.025), HARD)
    chances = [curriculum.chance(Situation(step, 1000)) for step in (0, 9, 10, 505, 999, 1000, 2000)]
    assert chances == [0, 0, 0.01, 0.5, 0.99, 1, 1]
    assert curriculum.chance(Situation(7, 10)) == 0.7  # a short training too
    for step, chosen in ((0, curriculum.easy), (1000, HARD)):
        rng = np.random.default_rng(3)
        got = curriculum.mask(TOKENS, np.random.default_rng(3), Situation(step, 1000))
        rng.random()  # the draw between the two
        assert np.array_equal(got.positions, chosen.mask(TOKENS, rng).positions)


def test_cm_step_mixes_in_the_middle() -> None:
    curriculum = CMStep(ContiguousMasking(corruption(), 6, 0.025), HARD)
    hard = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        rng.random()
        got = curriculum.mask(TOKENS, np.random.default_rng(seed), Situation(30, 100))
        hard += np.array_equal(got.positions, HARD.mask(TOKENS, rng).positions)
    assert hard / 300 == pytest.approx(0.3, abs=0.09)


def test_settings_hold_both_parts() -> None:
    settings = CMGems(EASY, HARD, threshold=2).settings()
    assert (settings["threshold"], settings["easy"]["name"], settings["hard"]["name"]) == (2, "genemask", "global-pmi")
