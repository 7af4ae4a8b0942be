"""Rotary position embeddings (RoPE; Su et al., 2021): queries and keys turned by an angle that grows with position."""

from __future__ import annotations

import torch
from torch import Tensor


def rotary_angles(positions: Tensor, dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosine and sine, float32 (tokens, dim / 2), of every pair of features at `positions`, int (tokens,)."""
    powers = torch.arange(0, dim, 2, device=positions.device, dtype=torch.float32) / dim
    angles = positions[:, None].float() * theta**-powers
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Features of x, (tokens, …, dim), turned in pairs (i, i + dim / 2), computed in float32; same dtype as x."""
    between = [1] * (x.dim() - 2)
    cosine, sine = (t.view(len(t), *between, -1) for t in (cosine, sine))
    first, second = x.float().chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1).to(x.dtype)
