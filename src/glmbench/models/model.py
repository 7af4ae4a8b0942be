"""The noun Model: sequences in, numbers out. A model is any object with a card and one or more capabilities.

Capabilities are small protocols, checked by `isinstance`; a method names the one it needs, and `conformance` tries
whether an adapter keeps what a protocol says. Sequences are strings of any case; letters other than ACGT stand for an
unknown base. Probabilities are natural logarithms over A, C, G, T in this order.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from glmbench.training.batches import Collate

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from torch import nn

Pair = tuple[str, str]
Input = str | Pair
"""What a task may ask about: a sequence, or two that belong together."""
Pool = Literal["mean", "cls", "max"]
Reach = Literal["left", "both"]
"""Which side of a base a model reads to predict it."""


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
    """SHA-256 of what its files and code decide: weights, configuration, tokenizer, code version. What the options of
    the reference decide (layer, pooling, what is hidden, context), the reference holds: both together give the numbers.
    """
    description: str = ""
    tokenizer: str | None = None
    context: int | None = None
    """Longest input in tokens (in bp where one token is one base); None: any."""
    input_length: int | None = None
    """The one length in bp that it reads; None: any up to the context."""
    parameters: int | None = None
    """Number of weights of the whole network, heads that were loaded included; None for feature maps."""
    strands: Literal["forward", "both"] = "forward"
    pretraining: dict[str, Any] = Field(default_factory=dict)
    """What is known of its pre-training data (species, source), for contamination flags."""
    licence: str | None = None
    weights: Literal["given", "fresh"] = "given"
    """What a training of it starts from: weights that the model has (of a pre-training, or drawn when it was loaded),
    or weights drawn from the training's own seed."""
    outputs: tuple[str, ...] = ()
    """Names of the columns of `predict`, where it names them."""
    several_labels: bool = False
    """Whether the columns of `predict` are labels that do not exclude each other."""
    pairs: bool = False
    """Whether `predict` takes pairs of sequences."""


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
class PredictsBases(Model, Protocol):
    """A language model as a predictor of single bases."""

    @property
    def reach(self) -> Reach:
        """`left`: from the bases before it alone. `both`: from both sides, the base itself hidden."""

    def fill(self, sequences: Sequence[str], positions: Sequence[int]) -> NDArray[np.float32]:
        """Log probabilities of the base at one position of each sequence, float32 (n, 4); each row sums to 1.

        What stands at the position makes no difference: it is hidden together with all that would give it away.
        Questions that come to the same input of the network are asked once. Positions are 0-based.

        Raises:
            Unsupported: a sequence is longer than the context, and the reference does not say what to do then.
            DataError: a position lies outside its sequence.
        """

    def scan(self, sequences: Sequence[str]) -> list[NDArray[np.float32]]:
        """Log probabilities of every base of each sequence, float32 (length, 4) each, from one pass over it.

        With reach `left` the row of a base depends on the bases before it alone and equals `fill`. With reach `both`
        nothing is hidden: the network has seen the base that it speaks of (single-pass scoring).

        Raises:
            Unsupported: as `fill`; or single passes say nothing of single bases, as tokens are longer.
        """


@runtime_checkable
class ScoresSequences(Model, Protocol):
    """A model that says how likely a whole sequence is."""

    def log_likelihood(self, sequences: Sequence[str]) -> NDArray[np.float64]:
        """Log likelihood in nats, float64 (batch,): of a left-to-right model the sum over the tokens of the sequence.

        Of a masked language model the pseudo-log-likelihood: the sum over its bases of the log probability that `fill`
        gives the base that is there; unknown bases count for nothing.

        Raises:
            Unsupported: as `PredictsBases.fill`.
        """


@runtime_checkable
class Predicts(Model, Protocol):
    """A model that answers: a classifier, a regressor, a fitted head."""

    def predict(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        """Scores of shape (batch, classes), rows of probabilities; or (batch, 1) for a regression.

        Of labels that do not exclude each other, (batch, labels), a probability each. What was fitted to pairs takes
        pairs.
        """


@runtime_checkable
class PredictsEachBase(Model, Protocol):
    """A model that classifies every base of a sequence."""

    def predict_bases(self, sequences: Sequence[str]) -> list[NDArray[np.float32]]:
        """Probabilities of the classes, float32 (length, classes) for each sequence."""


@dataclass(frozen=True)
class States:
    """What one layer makes of one sequence.

    Attributes:
        values: float32 (places, dim), or (1, dim) of a layer that has no places left.
        starts: int64 (places,), the first base that each place stands for, 0-based; -1 for special tokens.
        ends: int64 (places,), the base after its last: spans are half-open. -1 for special tokens.
    """

    values: NDArray[np.float32]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


@runtime_checkable
class Inspectable(Model, Protocol):
    """A model whose inner states can be read, and held."""

    def layers(self) -> tuple[str, ...]:
        """Names of the layers, first to last."""

    def states(self, sequences: Sequence[str], layer: str) -> list[States]:
        """What a layer makes of each sequence. Spans of tokens that cut the sequence cover it exactly, in order."""

    def clamped(self, layer: str, unit: int, value: float) -> AbstractContextManager[None]:
        """Within the context, a unit (last axis) of a layer has this value at every place, whatever the input."""


@runtime_checkable
class CountsPasses(Protocol):
    """A model that counts its work."""

    @property
    def passes(self) -> int:
        """Inputs that went through the network since it was loaded: token rows, windows, batch rows."""


@runtime_checkable
class Trainable(Model, Protocol):
    """A model whose weights a method may train."""

    def trainable(self, outputs: int, *, seed: int, per_base: bool = False) -> tuple[nn.Module, Collate]:
        """A fresh module with a head of `outputs` outputs, its weights drawn from `seed`, and its collate.

        Args:
            outputs: of the head.
            seed: of all weights that are not given.
            per_base: the head gives (batch, longest, outputs), those of every base, and not (batch, outputs).

        Raises:
            Unsupported: the model has no head for single bases.
        """
