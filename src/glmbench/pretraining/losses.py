"""What a step computes: a network wrapped so that its head sees what is asked only, and the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from glmbench.networks.packing import PackedLanguageModel, Packing
from glmbench.training.batches import Batch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NO_LABEL = -100
"""What transformers takes for padding among labels."""


class MaskedModel(nn.Module):
    """A packed network that is asked about some tokens only: the head is never applied to the others."""

    def __init__(self, network: PackedLanguageModel) -> None:
        super().__init__()
        self.network = network

    def forward(self, ids: Tensor, packing: Packing, positions: Tensor) -> Tensor:
        """Logits, float (masked, vocabulary)."""
        return self.network.head(self.network.packed_states(ids, packing, positions))


def token_loss(module: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy over the tokens asked about, in nats."""
    logits: Tensor = module(*batch.inputs)
    return cross_entropy(logits.float(), batch.targets)


class SpanModel(nn.Module):
    """A T5 that writes what its encoder's sentinels stand for; the head is applied to real decoder tokens only."""

    def __init__(self, network: PreTrainedModel) -> None:
        super().__init__()
        self.network = network

    def forward(self, ids: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
        """Logits, float (decoder tokens, vocabulary), of rows (batch, longest) with -100 as the labels' padding."""
        logits: Tensor = self.network(input_ids=ids, attention_mask=mask, labels=labels).logits
        return logits[labels != NO_LABEL]


def base_loss(module: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy over asked bases, in nats, of a network that gives an output or logits over four bases."""
    output = module(*batch.inputs)
    logits: Tensor = output if isinstance(output, Tensor) else output.logits
    return cross_entropy(logits.flatten(0, -2).float(), batch.targets)
