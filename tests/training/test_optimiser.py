"""Optimisers against their definitions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from glmbench.training.optimiser import adafactor, adam, adamw


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 1))


def step(module: nn.Module, optimiser: torch.optim.Optimizer, rate: float | None = None) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate or group["lr"]
    optimiser.zero_grad()
    module(torch.ones(2, 3)).sum().backward()
    optimiser.step()


@pytest.mark.parametrize(("decay", "sizes"), [("matrices", [(2, 0.5), (4, 0.0)]), ("all", [(6, 0.5)])])
def test_what_is_decayed(decay: str, sizes: list[tuple[int, float]]) -> None:
    optimiser = adamw(network(), lr=0.1, weight_decay=0.5, decay=decay)
    assert [(len(group["params"]), group["weight_decay"]) for group in optimiser.param_groups] == sizes


@pytest.mark.parametrize(("coupling", "share"), [("lr", 0.25 * 0.02), ("schedule", 0.25 * 0.02 / 0.1)])
def test_how_much_a_step_at_a_fifth_of_the_rate_decays(coupling: str, share: float) -> None:
    plain, decayed = network(), network()
    step(plain, adamw(plain, lr=0.1, weight_decay=0.0), 0.02)
    before = [p.detach().clone() for p in decayed.parameters()]
    step(decayed, adamw(decayed, lr=0.1, weight_decay=0.25, decay="all", coupling=coupling), 0.02)
    for first, a, b in zip(before, plain.parameters(), decayed.parameters(), strict=True):
        torch.testing.assert_close(a - b, first * share, rtol=1e-4, atol=1e-7)


def test_betas_and_eps_arrive() -> None:
    (group,) = adamw(network(), lr=0.1, weight_decay=0.0, betas=(0.9, 0.98), eps=1e-6, decay="all").param_groups
    assert (group["betas"], group["eps"], group["fused"]) == ((0.9, 0.98), 1e-6, True)
    assert adam(network(), lr=0.1).param_groups[0]["eps"] == 1e-7


def test_adafactor_s_rate_is_capped_by_the_inverse_root_of_the_step() -> None:
    weights = []
    for rate in (1.0, 100.0):  # at step 1 the cap is 1
        module = network()
        step(module, adafactor(module, lr=rate))
        weights.append(torch.cat([p.flatten() for p in module.parameters()]))
    assert torch.equal(*weights)


def test_frozen_parameters_are_left_out() -> None:
    module = network()
    module[0].weight.requires_grad_(False)
    for optimiser in (adamw(module, lr=0.1, weight_decay=0.1), adam(module, lr=0.1), adafactor(module)):
        assert sum(len(group["params"]) for group in optimiser.param_groups) == 5
