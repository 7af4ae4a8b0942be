from __future__ import annotations

import pytest

from glmbench.networks.alibi import alibi_slopes


def test_twelve_heads_are_in_the_order_of_the_released_checkpoint() -> None:
    expected = [0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625, 0.70711, 0.35355, 0.17678, 0.08839]
    assert alibi_slopes(12) == pytest.approx(expected, abs=5e-6)


@pytest.mark.parametrize("heads", [1, 2, 4, 8, 16])
def test_a_power_of_two_is_one_geometric_series(heads: int) -> None:
    assert alibi_slopes(heads) == tuple(2 ** (-8 * k / heads) for k in range(1, heads + 1))


@pytest.mark.parametrize("heads", range(1, 40))
def test_every_head_has_its_own_slope(heads: int) -> None:
    slopes = alibi_slopes(heads)
    assert len(set(slopes)) == heads
    assert 0 < min(slopes) <= max(slopes) < 1
