"""Schedules by hand."""

from __future__ import annotations

import math

import pytest

from glmbench.training.schedule import Schedule


def test_linear_by_hand() -> None:
    schedule = Schedule("linear", warmup=3)
    multipliers = [schedule.multiplier(step, 8) for step in range(8)]
    assert multipliers == pytest.approx([0.25, 0.5, 0.75, 1.0, 0.75, 0.5, 0.25, 0.0])


def test_cosine_by_hand() -> None:
    schedule = Schedule("cosine", warmup=1, final=0.2)
    multipliers = [schedule.multiplier(step, 6) for step in range(6)]
    half = math.sqrt(0.5)
    shape = [1.0, (1 + half) / 2, 0.5, (1 - half) / 2, 0.0]
    assert multipliers == pytest.approx([0.5, *(0.2 + 0.8 * s for s in shape)])


def test_constant_after_warm_up() -> None:
    schedule = Schedule("constant", warmup=2)
    assert [schedule.multiplier(step, 5) for step in range(5)] == pytest.approx([1 / 3, 2 / 3, 1, 1, 1])


def test_inverse_square_root_by_hand() -> None:
    schedule = Schedule("inverse-sqrt", warmup=3)
    multipliers = [schedule.multiplier(step, 99) for step in (0, 2, 3, 15, 35)]
    assert multipliers == pytest.approx([0.25, 0.75, 1.0, 1 / 2, 1 / 3])


def test_warm_up_stable_decay_by_hand() -> None:
    schedule = Schedule("wsd", warmup=2, final=0.1, decay=0.3)
    multipliers = [schedule.multiplier(step, 10) for step in range(10)]
    assert multipliers == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 1, 1, 0.7, 0.4, 0.1])


@pytest.mark.parametrize("shape", ["constant", "linear", "cosine", "inverse-sqrt", "wsd"])
@pytest.mark.parametrize(("warmup", "steps"), [(0, 1), (5, 5), (9, 4), (0, 2)])
def test_stays_between_zero_and_one(shape: str, warmup: int, steps: int) -> None:
    schedule = Schedule(shape, warmup=warmup)
    assert all(0 <= schedule.multiplier(step, steps) <= 1 for step in range(steps))
