"""What transformers' callers expect of a network: losses and output objects, the same for all our encoders."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers.modeling_outputs import MaskedLMOutput, SequenceClassifierOutput
from transformers.utils.generic import ModelOutput

from glmbench.errors import Unsupported
from glmbench.networks.unpadding import Rows

IGNORED = -100
"""The label of a token that nothing is asked about, as everywhere in transformers."""


def masked_lm_output(
    packed_logits: Tensor, labels: Tensor | None, rows: Rows, states: tuple[Tensor, ...] | None
) -> MaskedLMOutput:
    """Logits of a padded batch (0 at padding), and the mean loss of the labels that are not -100."""
    loss = None
    if labels is not None:
        loss = functional.cross_entropy(packed_logits.float(), rows.pack(labels), ignore_index=IGNORED)
    return MaskedLMOutput(loss=loss, logits=rows.pad(packed_logits), hidden_states=states)


def classifier_output(
    logits: Tensor, labels: Tensor | None, states: tuple[Tensor, ...] | None
) -> SequenceClassifierOutput:
    """Scores (batch, classes) with the loss that the labels ask for.

    One output is regression by mean squared error; integer labels (batch,) are classes; float labels (batch, classes)
    are independent yes-or-no questions.
    """
    loss = None
    if labels is not None:
        scores = logits.float()
        if scores.shape[1] == 1:
            loss = functional.mse_loss(scores[:, 0], labels.flatten().float())
        elif labels.dtype in (torch.int64, torch.int32):
            loss = functional.cross_entropy(scores, labels.long())
        else:
            loss = functional.binary_cross_entropy_with_logits(scores, labels.float())
    return SequenceClassifierOutput(loss=loss, logits=logits, hidden_states=states)


def as_asked(output: ModelOutput, return_dict: bool | None, config: Any) -> Any:
    """The output as an object, or as a tuple where the caller or the configuration wants one."""
    wanted = config.return_dict if return_dict is None else return_dict
    return output if wanted else output.to_tuple()


def wants_states(asked: bool | None, config: Any) -> bool:
    """Whether the states of all layers are to be returned."""
    return bool(config.output_hidden_states if asked is None else asked)


def refuse_unsupported(inputs_embeds: Tensor | None, output_attentions: bool | None) -> None:
    """Take the arguments that wrappers of the field (peft) always pass, and refuse what packed attention cannot give.

    Raises:
        Unsupported: embeddings are given instead of ids, or attention weights are asked for.
    """
    if inputs_embeds is not None:
        raise Unsupported("this network reads input_ids; embeddings in their place (inputs_embeds) are not supported")
    if output_attentions:
        raise Unsupported("attention weights are never computed as a matrix here; leave output_attentions out")
