"""A user's own Python function as a model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import DataError, UsageError
from glmbench.models.model import ModelCard
from glmbench.models.reference import ModelReference
from glmbench.storage.hashing import sha256_json

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Embedding = Callable[[list[str]], Any]
"""list of sequences -> array-like (batch, dim), or a SciPy sparse matrix of that shape."""


class CallableModel:
    """An `Embeds` around a function; see `from_callable`."""

    def __init__(self, function: Embedding, card: ModelCard) -> None:
        self._function, self._card = function, card

    @property
    def card(self) -> ModelCard:
        """The card made by `from_callable`."""
        return self._card

    def embed(self, sequences: Sequence[str]) -> NDArray[np.float32] | csr_matrix:
        """What the function returns, as float32 (batch, dim) or CSR.

        Raises:
            DataError: it returned another shape, or values that are not finite.
        """
        from scipy.sparse import csr_matrix, issparse

        returned = self._function(list(sequences))
        if issparse(returned):
            features: csr_matrix = csr_matrix(cast(Any, returned), dtype=np.float32)
            self._check(features.shape, features.data, len(sequences))
            return features
        dense = np.asarray(returned, dtype=np.float32)
        self._check(dense.shape, dense, len(sequences))
        return dense

    def _check(self, shape: tuple[int, ...], values: NDArray[np.float32], count: int) -> None:
        if len(shape) != 2 or shape[0] != count:
            raise DataError(
                f"model {self.card.name!r} returned shape {shape} for {count} sequences, wanted ({count}, dim)"
            )
        if not np.isfinite(values).all():
            bad = int((~np.isfinite(values)).sum())
            raise DataError(f"model {self.card.name!r} returned {bad} values that are NaN or infinite")


def from_callable(
    function: Embedding, *, name: str, version: str, description: str = "", context: int | None = None
) -> CallableModel:
    """Make a model of a function from sequences to vectors.

    The fingerprint is the hash of `name`, `version` and, where Python can find it, the function's source. What the
    function closes over or loads (weights, other functions) is not seen: raise `version` when that changes, or old
    results will be taken for the new model's.

    Args:
        function: takes a list of sequences, returns an array-like or sparse matrix (batch, dim), row i for sequence i.
        name: for tables and the reference `callable:NAME@VERSION`.
        version: names everything that decides the numbers and is not in the function's source.
        description: one line for the report.
        context: longest sequence in bp, if there is one.

    Raises:
        UsageError: name or version is empty, or has characters that a reference cannot hold.
    """
    for what, value in (("name", name), ("version", version)):
        if not value or not all(character.isalnum() or character in "._-" for character in value):
            raise UsageError(f"{what} {value!r}: wanted letters, digits, '.', '_' and '-'")
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        source = None
    card = ModelCard(
        reference=str(ModelReference("callable", name, version)),
        name=name,
        fingerprint=sha256_json(["callable", name, version, source]),
        description=description,
        context=context,
    )
    return CallableModel(function, card)
