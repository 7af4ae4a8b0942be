from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from objective_samples import FIRST, SPECIAL, corruption, kmer_tokens, ragged, ranks

from glmbench.errors import UsageError
from glmbench.pretraining.objectives.calibration import Counted, calibrated
from glmbench.pretraining.objectives.contiguous import ContiguousMasking
from glmbench.pretraining.objectives.curricula import CMStep
from glmbench.pretraining.objectives.fractions import Realised, realised
from glmbench.pretraining.objectives.genemask import GeneMask, RandomSpans
from glmbench.pretraining.objectives.global_pmi import GlobalPMI
from glmbench.pretraining.objectives.objective import MaskingObjective
from glmbench.pretraining.objectives.released import ReleasedGeneMask
from glmbench.pretraining.objectives.uniform import UniformMasking
from glmbench.tokenizers.tokenizer import Tokens, with_ends


def test_a_run_of_r_sixmers_hides_r_minus_5_bases() -> None:
    tokens = ragged([[FIRST] * 40, [FIRST] * 20])  # 45 + 25 bases; [CLS] is token 0
    assert realised(tokens, np.arange(10, 21)) == Realised(11 / 60, 6 / 70)
    assert realised(tokens, np.arange(10, 15)) == Realised(5 / 60, 0)
    assert realised(tokens, np.array([1, 40, 43])) == Realised(3 / 60, 3 / 70)  # ends of sequences have one token
    assert realised(tokens, np.empty(0, np.int64)) == Realised(0, 0)
    assert realised(ragged([[]]), np.empty(0, np.int64)) == Realised(0, 0)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_equals_a_count_of_bases_one_by_one(data: st.DataObject) -> None:
    widths = st.lists(st.integers(1, 5), max_size=12)
    step = data.draw(st.sampled_from([0, 1]))  # tokens end to end, or one a base
    rows = data.draw(st.lists(widths, min_size=1, max_size=3))
    spans = [[(i, i + 4) if step else (sum(row[:i]), sum(row[: i + 1])) for i in range(len(row))] for row in rows]
    lengths = np.array([len(row) for row in rows])
    flat = np.array([span for row in spans for span in row], dtype=np.int32).reshape(-1, 2)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    tokens = with_ends(Tokens(np.full(len(flat), FIRST, np.int32), offsets, flat[:, 0], flat[:, 1]), SPECIAL)
    positions = np.array(sorted(data.draw(st.sets(st.integers(0, len(tokens.ids) - 1)))), dtype=np.int64)
    positions = positions[tokens.ends[positions] > tokens.starts[positions]]
    every, shown = set(), set()
    for row in range(len(tokens)):
        for i in range(tokens.offsets[row], tokens.offsets[row + 1]):
            bases = {(row, base) for base in range(tokens.starts[i], tokens.ends[i])}
            every |= bases
            shown |= set() if i in positions else bases
    got = realised(tokens, positions)
    assert got.tokens == len(positions) / max(len(flat), 1)
    assert got.nucleotides == pytest.approx((len(every) - len(shown)) / max(len(every), 1))


def objectives() -> list[MaskingObjective]:
    how, table = corruption(), ranks()
    return [
        UniformMasking(how),
        ContiguousMasking(how, 6, 0.025),
        GeneMask(how, 6, table, 0.0176),
        RandomSpans(how, 6, 0.0176),
        GlobalPMI(how, 6, table, 0.0136),
        ReleasedGeneMask(how, 6, table, "released-2025-03", 0.0176),
    ]


@pytest.mark.parametrize("objective", objectives(), ids=lambda objective: objective.name)
@pytest.mark.parametrize(("of", "target"), [("tokens", 0.15), ("nucleotides", 0.07)])
def test_calibrated_objectives_hit_the_target_on_fresh_tokens_too(
    objective: MaskingObjective, of: Counted, target: float
) -> None:
    sample, fresh = kmer_tokens(400, 510), kmer_tokens(400, 510, seed=9)
    found = calibrated(objective, sample, target, of=of)
    for tokens, seed, tolerance in ((sample, 0, 0.001), (fresh, 1, 0.01)):
        hidden = realised(tokens, found.mask(tokens, np.random.default_rng(seed)).positions)
        assert getattr(hidden, of) == pytest.approx(target, abs=tolerance)


def test_genemask_needs_a_probability_of_0188_for_fifteen_per_cent() -> None:
    found = calibrated(objectives()[2], kmer_tokens(2000, 510), 0.15)
    assert found.settings()["probability"] == pytest.approx(0.0188, abs=0.0003)


def test_both_parts_of_a_curriculum_are_calibrated() -> None:
    found = calibrated(CMStep(objectives()[1], objectives()[4]), kmer_tokens(400, 510), 0.1)
    assert isinstance(found, CMStep)
    assert found.easy.settings()["probability"] < 0.025
    assert found.hard.settings()["probability"] < 0.0136


def test_what_cannot_be_reached_is_said() -> None:
    half_unknown = ragged([[FIRST, SPECIAL.unknown] * 100] * 20)
    with pytest.raises(UsageError, match=r"cannot hide 90\.0% of the tokens .* is 50\.0%"):
        calibrated(UniformMasking(corruption()), half_unknown, 0.9)
    with pytest.raises(UsageError, match="larger sample"):
        calibrated(GeneMask(corruption(), 6, ranks(), 0.0176), kmer_tokens(1, 20), 0.15)
    with pytest.raises(UsageError, match="between 0 and 1"):
        calibrated(UniformMasking(corruption()), half_unknown, 15)
