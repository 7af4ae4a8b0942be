"""What loading a checkpoint gives: a frozen network, and what stands on top of its states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import nn

Objective = Literal["masked", "causal"]


@dataclass(frozen=True)
class LoadedNetwork:
    """A checkpoint's network in float32, in evaluation mode, without gradients, on the CPU.

    Attributes:
        body: gives hidden states: an encoder, or the stack of a decoder.
        objective: what its language-model head was trained for; None where the checkpoint has no such head.
        head: called with states (n, dim) of the last layer, gives logits (n, vocabulary); None where `objective` is.
        classifier: the whole network with a classification head, called with `input_ids` and `attention_mask`, whose
            output has `logits` (batch, labels); `body` is a part of it. None where the checkpoint has no such head.
        flanks: the whole network where it predicts one base from a window beside or around it, by
            `base_log_probabilities` (GenomeNet); `body` is a part of it. Else None.
        make_classifier: a fresh network with this body's architecture under the architecture's own classification head
            of so many outputs, drawn from torch's generator; None where there is none that masks can be given to.
        decoder: whether it is a decoder, so that its last token alone has seen the whole sequence.
    """

    body: nn.Module
    objective: Objective | None = None
    head: nn.Module | None = None
    classifier: nn.Module | None = None
    flanks: nn.Module | None = None
    make_classifier: Callable[[int], nn.Module] | None = None
    decoder: bool = False
