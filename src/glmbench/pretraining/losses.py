"""What a step computes: a network wrapped so that its head sees what is asked only, and the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from glmbench.networks.packing import PackedLanguageModel, Packing
from glmbench.training.batches import Batch

if TYPE_CHECKING:
    from transformers import PreTrainedModel, T5ForConditionalGeneration

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
    """A T5 that writes what its encoder's sentinels stand for; the head is applied to real decoder tokens only.

    As in T5 1.1 the head reads unscaled states, tied to the embeddings or not, which a test holds to transformers' own
    loss. A configuration that scales them (`scale_decoder_outputs`, T5 1.0) is obeyed.
    """

    def __init__(self, network: PreTrainedModel) -> None:
        super().__init__()
        self.network = network

    def forward(self, ids: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
        """Logits, float (decoder tokens, vocabulary), of rows (batch, longest) with -100 as the labels' padding."""
        t5 = cast("T5ForConditionalGeneration", self.network)
        read = t5.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        states: Tensor = t5.decoder(
            input_ids=t5.prepare_decoder_input_ids_from_labels(labels),
            encoder_hidden_states=read,
            encoder_attention_mask=mask,
            use_cache=False,
        ).last_hidden_state
        asked = states[labels != NO_LABEL]
        if t5.config.scale_decoder_outputs:
            asked = asked * t5.config.d_model**-0.5
        logits: Tensor = t5.lm_head(asked)
        return logits


def base_loss(module: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy over asked bases, in nats, of a network that gives an output or logits over four bases."""
    output = module(*batch.inputs)
    logits: Tensor = output if isinstance(output, Tensor) else output.logits
    return cross_entropy(logits.flatten(0, -2).float(), batch.targets)
