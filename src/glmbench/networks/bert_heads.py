"""BERT's pooler and masked-LM head, under the names that its descendants' checkpoints have for them."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional


class HeadSizes(Protocol):
    """What a head reads of a configuration."""

    hidden_size: int
    vocab_size: int
    layer_norm_eps: float


class Pooler(nn.Module):
    """The first token through a dense layer and tanh; pre-training does not train it."""

    def __init__(self, config: HeadSizes) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, states: Tensor) -> Tensor:
        """(batch, dim) of (batch, length, dim)."""
        return torch.tanh(self.dense(states[:, 0]))


class Transform(nn.Module):
    """The dense layer of the head."""

    def __init__(self, config: HeadSizes) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, states: Tensor) -> Tensor:
        """(n, dim) to (n, dim)."""
        out: Tensor = self.LayerNorm(functional.gelu(self.dense(states)))
        return out


class Predictions(nn.Module):
    """States to logits; the decoder's weight is the token embeddings', its bias is its own."""

    def __init__(self, config: HeadSizes) -> None:
        super().__init__()
        self.transform = Transform(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)

    def forward(self, states: Tensor) -> Tensor:
        """Float32 logits (n, vocabulary) of states (n, dim)."""
        logits: Tensor = self.decoder(self.transform(states))
        return logits.float()


class MaskedLMHead(nn.Module):
    """A level in the names of parameters."""

    def __init__(self, config: HeadSizes) -> None:
        super().__init__()
        self.predictions = Predictions(config)
