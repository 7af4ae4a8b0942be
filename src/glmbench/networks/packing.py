"""Packing: sequences of different lengths end to end in one row, so that nothing is ever computed for padding."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Packing:
    """Where sequences lie in a row of tokens.

    Attributes:
        lengths: tokens of each sequence; none is 0.
        offsets: int32 (sequences + 1,) on the device of the tokens; sequence i is `offsets[i]` to before
            `offsets[i + 1]`.
    """

    lengths: tuple[int, ...]
    offsets: Tensor

    @classmethod
    def from_offsets(cls, offsets: NDArray[np.int64]) -> Packing:
        """The packing of `tokenizers.tokenizer.Tokens.offsets`, on the CPU."""
        bounds = torch.from_numpy(offsets)
        return cls(tuple(bounds.diff().tolist()), bounds.to(torch.int32))

    @property
    def tokens(self) -> int:
        """Tokens of all sequences."""
        return sum(self.lengths)

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence."""
        return max(self.lengths)

    @property
    def uniform(self) -> bool:
        """Whether all sequences have one length, so that (tokens, …) can be viewed as (sequences, length, …)."""
        return len(set(self.lengths)) == 1

    @property
    def runs(self) -> list[tuple[int, int]]:
        """Sequences of one length side by side: how many, and their length."""
        return [(len(list(run)), length) for length, run in groupby(self.lengths)]

    def to(self, device: torch.device, *, non_blocking: bool = False) -> Packing:
        """The same on a device."""
        return Packing(self.lengths, self.offsets.to(device, non_blocking=non_blocking))


class PackedLanguageModel(Protocol):
    """A network over packed tokens: what pre-training and the frozen evaluation ask of masked language models.

    Such a network is also a `transformers.PreTrainedModel` whose usual `forward` takes (batch, length) and gives the
    same states: packed and padded are two views of one function.
    """

    def packed_states(self, ids: Tensor, packing: Packing, asked: Tensor | None = None) -> Tensor:
        """Last hidden states, float (tokens, dim), of ids, int64 (tokens,); no sequence sees another.

        With `asked`, int64 (n,), those of the tokens at these places only, (n, dim): what the last layer does after
        attention is not computed for the others.
        """

    def head(self, states: Tensor) -> Tensor:
        """Logits over the vocabulary, float (n, vocabulary), of any states (n, dim)."""
