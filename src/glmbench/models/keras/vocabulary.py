"""How bases become a Keras network's input, and which of its outputs are which base. No file says; people must."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import UsageError
from glmbench.sequences.alphabet import N

PAD = 5
"""The code of a place where the window reaches beyond the sequence."""
BASES = "acgt"
DEFAULTS = {4: "acgt", 5: "acgtn"}
"""deepG's vocabularies by their number of letters."""


@dataclass(frozen=True)
class Vocabulary:
    """The letters of a network in the order of its columns, lower case; deepG's default is `acgt`.

    Raises:
        UsageError: a base is missing, or a letter stands twice.
    """

    letters: str

    def __post_init__(self) -> None:
        if set(BASES) - set(self.letters) or len(set(self.letters)) != len(self.letters):
            raise UsageError(f"vocabulary is {self.letters!r}, wanted the letters a, c, g, t and others, each once")

    @property
    def columns(self) -> list[int]:
        """Columns of A, C, G, T."""
        return [self.letters.index(base) for base in BASES]

    def one_hot(self, width: int) -> NDArray[np.float32]:
        """Rows of codes 0 to 5, (6, width): bases, N, padding.

        N is the letter n where the vocabulary has one, or the one column beyond the vocabulary (a mask), else zero;
        padding is always zero, as deepG's.
        """
        rows = np.zeros((6, width), dtype=np.float32)
        rows[range(4), self.columns] = 1
        if "n" in self.letters:
            rows[N, self.letters.index("n")] = 1
        elif width == len(self.letters) + 1:
            rows[N, -1] = 1
        return rows

    def tokens(self, known: int | None) -> NDArray[np.float32]:
        """Tokens of codes 0 to 5, (6,): deepG counts letters from 1, then N and the mask; 0 is padding.

        Args:
            known: tokens that the network knows, 0 among them. Without one for N, N is 0.

        Raises:
            UsageError: it does not know all letters.
        """
        unknown = len(self.letters) + 1
        if known is not None and known < unknown:
            raise UsageError(f"vocabulary is {self.letters!r}, and the network knows tokens 0 to {known - 1} alone")
        tokens = [*(column + 1 for column in self.columns), unknown if known is None or known > unknown else 0, 0]
        return np.array(tokens, dtype=np.float32)
