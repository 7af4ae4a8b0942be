"""The noun Model: sequences in, numbers out. A model is any object with a card and one or more capabilities.

Capabilities are small protocols, checked by `isinstance`; a method names the one it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from glmbench.training.batches import Collate

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from torch import nn

Pool = Literal["mean", "cls", "max"]


class ModelCard(BaseModel):
    """What a result keeps of the model it came from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reference: str
    """The reference it was loaded by, `SCHEME:LOCATOR[@REVISION][?key=value&…]`, in canonical form."""
    name: str
    """Short name for tables and figures."""
    kind: Literal["model", "control", "stand-in"] = "model"
    """A control: k-mers, one-hot, random weights. A stand-in: a small checkpoint that shows a real one's place."""
    fingerprint: str
    """SHA-256 of everything that decides its numbers: weights, configuration, tokenizer, code version."""
    description: str = ""
    tokenizer: str | None = None
    context: int | None = None
    """Longest input in tokens (in bp where one token is one base); None: any."""
    parameters: int | None = None
    """Number of weights; None for feature maps."""
    strands: Literal["forward", "both"] = "forward"
    pretraining: dict[str, Any] = Field(default_factory=dict)
    """What is known of its pre-training data (species, source), for contamination flags."""
    licence: str | None = None


@runtime_checkable
class Model(Protocol):
    """Anything with a card."""

    @property
    def card(self) -> ModelCard:
        """The card of the loaded model."""


@runtime_checkable
class Embeds(Model, Protocol):
    """A model that turns a sequence into a vector."""

    def embed(self, sequences: Sequence[str]) -> NDArray[np.float32] | csr_matrix:
        """Features of shape (batch, dim): dense float32, or a SciPy CSR matrix where most are zero.

        Layer and pooling are part of the model reference (`?layer=-1&pool=mean`), so a result's address holds them.
        """


@runtime_checkable
class Predicts(Model, Protocol):
    """A model that answers: a classifier, a regressor, a fitted head."""

    def predict(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        """Scores of shape (batch, classes), rows of probabilities; or (batch, 1) for a regression."""


@runtime_checkable
class Trainable(Model, Protocol):
    """A model whose weights a method may train."""

    def trainable(self, outputs: int, *, seed: int) -> tuple[nn.Module, Collate]:
        """A fresh module with a head of `outputs` outputs, its weights drawn from `seed`, and its collate."""
