"""From a model to a network with a head for a target: the same way when it is trained and when it is read again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from glmbench.errors import Unsupported
from glmbench.models.fitted.adapters import LoraRecipe, add_adapters
from glmbench.models.fitted.target import Target
from glmbench.models.model import Trainable
from glmbench.training.batches import Collate

if TYPE_CHECKING:
    from torch import nn

TooLong = Literal["refuse", "truncate", "window"]
Pairing = Literal["pair", "concatenate"]
"""How a pair of sequences goes to a network: as its tokenizer joins two, or one after the other as one sequence."""


@runtime_checkable
class LimitsLength(Collate, Protocol):
    """A collate whose inputs can be kept shorter than the model's context."""

    def limited(self, length: int | None, too_long: TooLong | None, overlap: float) -> Collate:
        """The same for at most so many tokens, and what becomes of longer sequences (None: as the reference says)."""


@dataclass(frozen=True)
class Form:
    """What of a recipe decides the network and its inputs.

    Attributes:
        max_length: longest input in tokens, special ones included; None: the context of the model.
        too_long: what becomes of longer sequences; `refuse` leaves it to the model's reference.
        overlap: share of a window, at least, that it has in common with the next.
        pairing: how two sequences that belong together go in.
        lora: adapters, which train in place of the pre-trained weights.
    """

    max_length: int | None = None
    too_long: TooLong = "refuse"
    overlap: float = 0.25
    pairing: Pairing = "pair"
    lora: LoraRecipe | None = None


def build(model: Trainable, target: Target, form: Form, seed: int) -> tuple[nn.Module, Collate, dict[str, Any]]:
    """A network with a head drawn from `seed`, its collate, and what is worth keeping of its adapters.

    Raises:
        Unsupported: the model has no such head, or no tokens to count.
        UsageError: a target of adapters is not there.
    """
    module, collate = model.trainable(target.outputs, seed=seed, per_base=target.kind == "bases")
    details = {} if form.lora is None else add_adapters(module, form.lora, seed)
    if isinstance(collate, LimitsLength):
        too_long = None if form.too_long == "refuse" else form.too_long
        return module, collate.limited(form.max_length, too_long, form.overlap), details
    if form.max_length is not None or form.too_long == "window":
        raise Unsupported(f"{model.card.reference} has no tokens to count; leave max_length out of the recipe")
    return module, collate, details
