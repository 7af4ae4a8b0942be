from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from objective_samples import FIRST, SPECIAL, corruption, kmer_tokens, ragged

from glmbench.errors import UsageError
from glmbench.pretraining.objectives.corruption import Corruption
from glmbench.pretraining.objectives.random_kernels import bits
from glmbench.pretraining.objectives.uniform import UniformMasking


def test_the_random_bits_are_splitmix64() -> None:
    state, mask = 1, 2**64 - 1
    for i in range(3):
        state = (state + 0x9E3779B97F4A7C15) & mask
        x = state
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        assert int(bits(np.uint64(1), i)) == x ^ (x >> 31)


def test_hides_the_fraction_and_corrupts_80_10_10() -> None:
    tokens = kmer_tokens(600, 510)
    masked = UniformMasking(corruption()).mask(tokens, np.random.default_rng(0))
    assert len(masked.positions) / (600 * 510) == pytest.approx(0.15, abs=0.002)
    seen = masked.ids[masked.positions]
    shown = np.mean(seen == SPECIAL.mask), np.mean(seen == masked.targets)
    assert shown == pytest.approx((0.8, 0.1), abs=0.005)
    others = seen[(seen != SPECIAL.mask) & (seen != masked.targets)]
    assert others.min() >= FIRST
    counts = np.bincount((others - FIRST) // 256, minlength=16)  # 16 equal parts of the ordinary ids
    assert np.sum((counts - counts.mean()) ** 2 / counts.mean()) < 38  # chi-squared, 15 degrees, p = 0.001


def test_targets_are_the_true_tokens_and_the_rest_is_untouched() -> None:
    tokens = kmer_tokens(20, 100)
    before = tokens.ids.copy()
    masked = UniformMasking(corruption(), 0.3).mask(tokens, np.random.default_rng(1))
    assert np.array_equal(tokens.ids, before)
    assert np.array_equal(masked.targets, tokens.ids[masked.positions])
    rest = np.setdiff1d(np.arange(len(before)), masked.positions)
    assert np.array_equal(masked.ids[rest], before[rest])
    assert np.all(np.diff(masked.positions) > 0)


def test_special_and_unknown_tokens_are_never_hidden() -> None:
    tokens = ragged([[SPECIAL.unknown, 7, SPECIAL.unknown, 9], [SPECIAL.unknown], [], [30]])
    masked = UniformMasking(corruption(), 1.0).mask(tokens, np.random.default_rng(0))
    assert masked.targets.tolist() == [7, 9, 30]


def test_the_generator_decides_alone() -> None:
    objective, tokens = UniformMasking(corruption()), kmer_tokens(5, 80)
    first, second = (objective.mask(tokens, np.random.default_rng(3)) for _ in range(2))
    other = objective.mask(tokens, np.random.default_rng(4))
    assert np.array_equal(first.ids, second.ids)
    assert np.array_equal(first.positions, second.positions)
    assert not np.array_equal(first.positions, other.positions)
    rng = np.random.default_rng(3)
    assert not np.array_equal(objective.mask(tokens, rng).positions, objective.mask(tokens, rng).positions)


@pytest.mark.parametrize("rows", [[], [[]], [[SPECIAL.unknown]]])
def test_nothing_to_hide_gives_empty_arrays(rows: list[list[int]]) -> None:
    masked = UniformMasking(corruption(), 1.0).mask(ragged(rows), np.random.default_rng(0))
    assert masked.positions.shape == masked.targets.shape == (0,)


def test_random_tokens_can_come_from_all_ids() -> None:
    every = replace(corruption(k=1), masked=0.0, random=1.0, replacements="all")
    masked = UniformMasking(every, 1.0).mask(kmer_tokens(10, 100, k=1), np.random.default_rng(0))
    assert set(masked.ids[masked.positions].tolist()) == set(range(FIRST + 4))
    ordinary = replace(every, replacements="ordinary")
    masked = UniformMasking(ordinary, 1.0).mask(kmer_tokens(10, 100, k=1), np.random.default_rng(0))
    assert set(masked.ids[masked.positions].tolist()) == set(range(FIRST, FIRST + 4))


def test_impossible_fractions_are_refused() -> None:
    with pytest.raises(UsageError, match=r"masked=0\.8 and random=0\.3"):
        Corruption(SPECIAL, 9, random=0.3)
