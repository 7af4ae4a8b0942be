"""Next base and middle base: which base of a window the GenomeNet networks are asked about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import UsageError


@dataclass(frozen=True, slots=True)
class Asked:
    """A batch of windows.

    Attributes:
        inputs: (rows, tokens), what the network gets.
        targets: (rows,), the token asked about.
    """

    inputs: NDArray[np.integer[Any]]
    targets: NDArray[np.integer[Any]]


@dataclass(frozen=True)
class NextBase:
    """Asks for the token after a window (deepG's `target_right` with one target)."""

    @property
    def name(self) -> str:
        """Short, for tables."""
        return "next-base"

    def ask(self, windows: NDArray[np.integer[Any]]) -> Asked:
        """The last of (rows, tokens) is asked about and not given.

        Raises:
            UsageError: a window has fewer than two tokens.
        """
        if windows.ndim != 2 or windows.shape[1] < 2:
            raise UsageError(f"{self.name} got windows of shape {windows.shape}; give (rows, at least 2 tokens).")
        return Asked(windows[:, :-1], windows[:, -1])

    def settings(self) -> dict[str, Any]:
        """All that decides its targets, as plain values."""
        return {"name": self.name}


@dataclass(frozen=True)
class MiddleBase:
    """Asks for the token in the middle of a window of L + 1 tokens, L even: index L / 2 (0-based), as deepG does.

    The network gets whole windows and does not look at the middle (`networks.genomenet`).
    """

    @property
    def name(self) -> str:
        """Short, for tables."""
        return "middle-base"

    def ask(self, windows: NDArray[np.integer[Any]]) -> Asked:
        """The middle of (rows, tokens) is asked about.

        Raises:
            UsageError: the windows have an even number of tokens, so that none is in the middle, or fewer than three.
        """
        if windows.ndim != 2 or windows.shape[1] < 3 or windows.shape[1] % 2 == 0:
            raise UsageError(f"{self.name} got windows of shape {windows.shape}; give (rows, an odd number from 3 on).")
        return Asked(windows, windows[:, windows.shape[1] // 2])

    def settings(self) -> dict[str, Any]:
        """All that decides its targets, as plain values."""
        return {"name": self.name}
