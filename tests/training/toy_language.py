"""A toy of masked language modelling: micro-batches with different numbers of targets, one without any."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from glmbench.training.batches import Batch

LENGTH = 13
"""Batches in an epoch: odd, so that its end falls within steps of two micro-batches."""


class Language:
    """Tokens of which the network is asked some at random positions: none in every sixth batch."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.fail_at = fail_at

    def __len__(self) -> int:
        return LENGTH

    def content_hash(self) -> str:
        return "language"

    def epoch(self, number: int, *, start: int = 0, every: int = 1) -> Iterator[Batch]:
        for index in range(start, LENGTH, every):
            if self.fail_at is not None and number * LENGTH + index >= self.fail_at:
                raise KeyboardInterrupt
            rng = np.random.default_rng([number, index])
            ids = rng.integers(0, 8, (4, 10))
            masked = int(rng.integers(1, 12)) if index % 6 != 2 else 0
            positions = np.sort(rng.choice(40, masked, replace=False))
            targets = torch.from_numpy(ids.reshape(-1)[positions] // 2)
            yield Batch((torch.from_numpy(ids), torch.from_numpy(positions)), targets, size=40, bases=100 + index)


class Network(nn.Module):
    """Enough of one to have matrices, norms and dropout, and a channels-last weight."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.embedding = nn.Embedding(8, 16)
        self.convolution = nn.Conv2d(16, 16, (1, 3), padding=(0, 1)).to(memory_format=torch.channels_last)
        self.norm = nn.LayerNorm(16)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(16, 4)

    def forward(self, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Logits (masked, 4)."""
        x = self.convolution(self.embedding(ids).permute(0, 2, 1)[:, :, None])[:, :, 0].permute(0, 2, 1)
        logits: torch.Tensor = self.head(self.dropout(self.norm(x).reshape(-1, 16)[positions]))
        return logits


def loss(module: nn.Module, batch: Batch) -> torch.Tensor:
    return functional.cross_entropy(module(*batch.inputs), batch.targets)


def held_out(module: nn.Module) -> float:
    batches = [batch for batch in Language().epoch(1000) if batch.weight]
    return float(np.mean([loss(module, batch).item() for batch in batches]))
