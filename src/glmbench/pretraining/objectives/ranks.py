"""Ranks of tokens: which k-mer a span is laid around when there is a choice. 1 is best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import UsageError
from glmbench.storage.hashing import sha256_bytes


@dataclass(frozen=True, eq=False)
class Ranks:
    """A rank for every id.

    Attributes:
        name: what ranks them: `npmi`, `permuted`, `inverse`, `frequency`.
        values: int32 (vocabulary,); those of special ids are never looked at.
    """

    name: str
    values: NDArray[np.int32]

    def settings(self) -> dict[str, Any]:
        """As plain values."""
        return {"name": self.name, "sha256": sha256_bytes(np.ascontiguousarray(self.values, "<i4").tobytes())}


def check_one_per_token(values: NDArray[np.integer[Any]], vocabulary: int) -> None:
    """Refuse what cannot be the ranks of a vocabulary.

    Raises:
        UsageError: there is not one integer for every id.
    """
    if values.shape != (vocabulary,) or values.dtype.kind not in "iu":
        raise UsageError(
            f"Got ranks of shape {values.shape} and type {values.dtype}; a vocabulary of {vocabulary} tokens wants "
            "one integer for each, 1 for the best. Make them for the same tokenizer."
        )
