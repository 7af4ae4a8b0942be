"""Networks that change the way they attend while they run.

BigBird leaves block-sparse attention for good at the first row that is too short for it, so that what it gives would
depend on what it was asked before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import nn

from glmbench.networks.quiet import quiet

_FULL = "original_full"


class AttentionType:
    """Keeps a network, for each row, at the attention that one fresh from its checkpoint has for this row alone.

    Args:
        module: what switches, with `attention_type` and `set_attention_type`.
        stated: what config.json says.
    """

    def __init__(self, module: nn.Module, stated: str) -> None:
        self._module, self._stated = cast(Any, module), stated
        self._longest_in_full = 0
        """Longest row that the network was seen to switch at."""

    @contextmanager
    def of_rows(self, length: int) -> Iterator[None]:
        """Within the context, rows of this one length may be run."""
        wanted = _FULL if length <= self._longest_in_full else self._stated
        # The new attention takes over the weights of the old one; what it would make of its own is never used.
        with torch.device("meta"):
            self._module.set_attention_type(wanted)
        # Where it switches by itself, it says so, which would mislead, and draws weights that nobody uses.
        with quiet(), torch.random.fork_rng(devices=[]):
            yield
        if wanted != self._module.attention_type:
            self._longest_in_full = length


def attention_type(network: nn.Module) -> AttentionType | None:
    """What keeps the attention of a network, or of a part of it, as stated; None where it does not change."""
    for module in network.modules():
        stated = getattr(getattr(module, "config", None), "attention_type", _FULL)
        if hasattr(module, "set_attention_type") and hasattr(module, "attention_type") and stated != _FULL:
            return AttentionType(module, stated)
    return None
