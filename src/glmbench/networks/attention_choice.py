"""What a configuration says about attention; imports no torch."""

from __future__ import annotations

from typing import Literal

from glmbench.errors import UsageError

Backend = Literal["sdpa", "flash", "varlen", "flex"]
Choice = Literal["auto", "sdpa", "flash", "varlen", "flex"]


def check_heads(dim: int, heads: int) -> None:
    """Refuse heads that do not divide the features.

    Raises:
        UsageError: they do not.
    """
    if heads < 1 or dim % heads:
        raise UsageError(f"{heads} heads of {dim} features: wanted a number of heads that divides the features")
