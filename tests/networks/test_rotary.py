from __future__ import annotations

import math

import torch

from glmbench.networks.rotary import rotary_angles, rotate


def test_a_pair_of_features_turns_by_position_times_frequency() -> None:
    cosine, sine = rotary_angles(torch.tensor([3]), 4, theta=100.0)  # frequencies 1 and 1/10
    turned = rotate(torch.tensor([[[1.0, 0.0, 0.0, 2.0]]]), cosine, sine)
    pairs = [math.cos(3), -2 * math.sin(0.3), math.sin(3), 2 * math.cos(0.3)]
    torch.testing.assert_close(turned, torch.tensor([[pairs]]))


def test_products_depend_on_the_distance_alone() -> None:
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 1, 8)

    def product(i: int, j: int) -> torch.Tensor:
        at = (rotary_angles(torch.tensor([position]), 8, theta=50.0) for position in (i, j))
        return (rotate(q, *next(at)) * rotate(k, *next(at))).sum()

    torch.testing.assert_close(product(2, 9), product(30, 37))
    assert abs(product(2, 9) - product(2, 8)) > 1e-3


def test_bf16_is_turned_in_float32() -> None:
    x = torch.randn(5, 2, 8).bfloat16()
    angles = rotary_angles(torch.arange(5) + 900, 8, theta=10.0)
    turned = rotate(x, *angles)
    assert turned.dtype is torch.bfloat16
    assert torch.equal(turned, rotate(x.float(), *angles).bfloat16())
