"""What a slow model can say about its work, beyond its numbers. Both are optional: test with `isinstance`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@runtime_checkable
class NotesInput(Protocol):
    """A model that can say what became of sequences on their way in."""

    def notes(self, sequences: Sequence[Any]) -> dict[str, int | float]:
        """Counts for a result's details: tokens, unknown tokens, sequences beyond the context, tokens cut.

        Depends on the sequences alone, not on what was embedded before or came from a cache.
        """


@runtime_checkable
class ReportsProgress(Protocol):
    """A model that embeds slowly enough to report how far it is."""

    def embed_reporting(self, sequences: Sequence[str], advance: Callable[[int], None]) -> NDArray[np.float32]:
        """As `embed`, calling `advance` with the number of sequences finished since the last call."""
