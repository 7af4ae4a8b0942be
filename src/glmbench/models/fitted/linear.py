"""A linear model on frozen features, as a predictor: the answer of `probe`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import DataError
from glmbench.models.fitted.target import Kind
from glmbench.models.model import Embeds, Input, ModelCard

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Features = NDArray[np.float64]
Normalise = Literal["standardise", "l2", "none"]

CHUNK = 16_384
"""Sequences embedded at a time to predict: memory does not grow with their number."""
SPARSE_BELOW = 0.25
"""Share of non-zero features below which dense features are solved as sparse ones: same numbers, fewer products."""


@dataclass(frozen=True)
class Scaling:
    """What features go through before the linear model.

    Attributes:
        normalise: `standardise`: unit variance of each feature; `l2`: unit length of each row; `none`.
        mean: of each feature, (dim,), of standardised dense features; sparse ones are not centred and stay sparse.
        scale: standard deviation of each feature over the training rows, 1 where it is 0.
    """

    normalise: Normalise
    mean: Features | None = None
    scale: Features | None = None

    @classmethod
    def of(cls, normalise: Normalise, features: Features | csr_matrix) -> Scaling:
        """Learnt on the features of training rows."""
        if normalise != "standardise":
            return cls(normalise)
        from scipy.sparse import issparse
        from sklearn.preprocessing import StandardScaler

        found = StandardScaler(with_mean=not issparse(features)).fit(features)
        return cls(normalise, None if issparse(features) else found.mean_, found.scale_)

    def apply(self, features: Features | csr_matrix) -> Features | csr_matrix:
        """The features as the linear model sees them."""
        if self.normalise == "l2":
            from sklearn.preprocessing import normalize

            unit: Features | csr_matrix = normalize(features)
            return unit
        if self.scale is None:
            return features
        from scipy.sparse import csr_matrix, issparse

        if self.mean is None:  # learnt on sparse features: whatever comes later is scaled like them
            return csr_matrix(csr_matrix(features).multiply(1 / self.scale))
        dense = features.toarray() if issparse(features) else features
        scaled: Features = (dense - self.mean) / self.scale
        return scaled


@dataclass(frozen=True)
class Weights:
    """A fitted linear model.

    Attributes:
        kind: what its outputs are.
        outputs: how many.
        coefficients: float64 (models, dim): one for two classes and for values, one a class for more, one a label.
        intercepts: float64 (models,).
        classes: of classes, those that training had, in ascending order; others get probability 0.
    """

    kind: Kind
    outputs: int
    coefficients: Features
    intercepts: Features
    classes: tuple[int, ...] = ()

    def answers(self, features: Features | csr_matrix) -> NDArray[np.float32]:
        """Float32 (rows, outputs): probabilities of classes or of labels, or values."""
        from scipy.special import expit, softmax

        decision = np.asarray(features @ self.coefficients.T) + self.intercepts
        if self.kind == "values":
            return decision.astype(np.float32)
        if self.kind == "labels":
            return np.asarray(expit(decision), np.float32)
        if len(self.classes) == 2:
            positive = expit(decision)
            seen = np.hstack([1 - positive, positive])
        else:
            seen = softmax(decision, axis=1)
        scores = np.zeros((len(decision), self.outputs), np.float32)
        scores[:, list(self.classes)] = seen
        return scores


class LinearPredictor:
    """A fitted probe: embeds, scales, and answers with probabilities or values.

    The two features of a pair stand side by side.
    """

    def __init__(self, model: Embeds, scaling: Scaling, weights: Weights, card: ModelCard | None = None) -> None:
        self.model, self.scaling, self.weights = model, scaling, weights
        self._card = card

    @property
    def card(self) -> ModelCard:
        """The card of the model whose features are probed, or the one that it was read with."""
        return self.model.card if self._card is None else self._card

    def predict(self, sequences: Sequence[Input]) -> NDArray[np.float32]:
        """Probabilities (batch, classes), zero for a class that was absent from training; or values (batch, 1).

        Raises:
            DataError: sequences where pairs are wanted, or the reverse.
        """
        if len(sequences) > CHUNK:
            parts = (sequences[start : start + CHUNK] for start in range(0, len(sequences), CHUNK))
            return np.concatenate([self.predict(part) for part in parts])
        features = features_of(self.model, sequences)
        if features.shape[1] != self.weights.coefficients.shape[1]:
            raise DataError(
                f"the linear model was fitted to {self.weights.coefficients.shape[1]} features, these inputs give "
                f"{features.shape[1]}; one fitted to pairs of sequences wants pairs"
            )
        return self.weights.answers(self.scaling.apply(features))


def features_of(model: Embeds, sequences: Sequence[Input]) -> Features | csr_matrix:
    """Features of sequences, or of both of each pair side by side: float64, and sparse where most are zero."""
    if not sequences or isinstance(sequences[0], str):
        return _solver_form(model.embed(cast("Sequence[str]", sequences)))
    from scipy.sparse import csr_matrix, hstack, issparse

    sides = [_solver_form(model.embed([pair[side] for pair in sequences])) for side in (0, 1)]
    if any(issparse(side) for side in sides):
        return csr_matrix(hstack([csr_matrix(side) for side in sides]))
    return np.hstack(cast("list[Features]", sides))


def _solver_form(features: NDArray[np.float32] | csr_matrix) -> Features | csr_matrix:
    """Double precision, and sparse where most features are zero."""
    from scipy.sparse import csr_matrix, issparse

    if issparse(features):
        return features.astype(np.float64)
    if not np.isfinite(features).all():
        raise ValueError(f"the model gave {np.count_nonzero(~np.isfinite(features))} features that are NaN or infinite")
    if features.size and np.count_nonzero(features) < SPARSE_BELOW * features.size:
        return csr_matrix(features, dtype=np.float64)
    return np.asarray(features, np.float64)
