"""The cost record."""

from __future__ import annotations

import pytest
import torch

from glmbench.training.cost import Meter, measured_matmul_peak, with_utilisation

CPU = torch.device("cpu")


def test_speed_with_and_without_waiting_over_an_interruption() -> None:
    first = Meter(CPU)
    first.step(2.0, 100)
    first.batches(1.5, 600)
    second = Meter(CPU, first.state())
    second.step(3.0, 200)
    second.batches(0.5, 1200)
    cost = second.record()
    assert (cost.units, cost.bases, cost.step_s, cost.waiting_s) == (300, 1800, 3.0, 2.0)
    assert cost.units_per_s == pytest.approx(300 / 5)
    assert cost.model_units_per_s == pytest.approx(300 / 3)
    assert second.units_per_s == pytest.approx(200 / 3)
    assert cost.flop_utilisation is None


def test_utilisation_by_hand() -> None:
    meter = Meter(CPU)
    assert with_utilisation(meter.record(), flops_per_unit=10, peak_flops=100).flop_utilisation is None
    meter.step(2.0, 8)
    assert with_utilisation(meter.record(), flops_per_unit=10, peak_flops=100).flop_utilisation == pytest.approx(0.4)


def test_the_peak_is_at_least_what_one_product_took() -> None:
    a = torch.ones(256, 256)
    peak = measured_matmul_peak(CPU, "fp32", size=256, seconds=0.01)
    assert 1e6 < peak < 1e15
    assert torch.mm(a, a)[0, 0] == 256
