"""The divergence guard."""

from __future__ import annotations

import math

import pytest

from glmbench.training.guard import DivergenceError, Guard, Smoothed, Watch, finite


def test_the_average_by_hand() -> None:
    smoothed = Smoothed(0.5)
    assert [smoothed.update(x) for x in (4.0, 1.0, 2.0)] == pytest.approx([4.0, 6 / 3, 14 / 7])


def test_a_loss_that_stays_up_is_divergence() -> None:
    watch = Watch(Guard(rise=1.0, steps=3, smoothing=0.0), [3.0, 2.0, 3.5, 3.5, 2.9])
    watch.update(3.1)
    watch.update(4.0)
    with pytest.raises(
        DivergenceError, match=r"up to step 8 .* now 5, .* above its lowest value, 2, for 3 steps; lower"
    ):
        watch.update(5.0)


def test_spikes_and_slow_falls_are_not() -> None:
    watch = Watch(Guard(rise=1.0, steps=3))
    for step in range(500):
        watch.update(8 - step / 100 + (20.0 if step % 100 == 50 else 0.0))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_named(value: float) -> None:
    assert finite(1.5, "loss", 3, 0.1) == 1.5
    with pytest.raises(DivergenceError, match=r"the loss is -?(nan|inf) in step 3 at learning rate 0\.1; lower"):
        finite(value, "loss", 3, 0.1)
