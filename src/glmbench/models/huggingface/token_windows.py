"""Windows over the tokens of sequences that are longer than a context, each between the special tokens of an input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glmbench.models.huggingface.reader import Reader
from glmbench.training.batches import Encoded


@dataclass(frozen=True)
class EncodedTokens(Encoded):
    """Token ids, with special tokens unless there are windows.

    Attributes:
        windowed: of sequences in windows, tokens that all windows of each example hold together, int64 (examples,);
            special tokens are still to be put around them. None: not in windows.
    """

    windowed: NDArray[np.int64] | None = field(default=None, kw_only=True)

    @property
    def work(self) -> NDArray[np.int64]:
        """See `Encoded.work`."""
        return self.lengths if self.windowed is None else self.windowed


@dataclass(frozen=True)
class Windows:
    """Some sequences in windows.

    Attributes:
        ids: int64 (windows, length), padded on the right.
        mask: 0 at padding; None: no padding.
        owners: of which sequence each is a part, ascending, int64 (windows,).
        starts: the first token of each within its sequence.
        tokens: how many tokens of its sequence each has.
    """

    ids: Tensor
    mask: Tensor | None
    owners: NDArray[np.int64]
    starts: NDArray[np.int64]
    tokens: NDArray[np.int64]


@dataclass(frozen=True)
class TokenWindows:
    """How sequences go in windows: in the fewest that cover all and overlap enough, evenly placed.

    Attributes:
        room: tokens of a sequence in a window at most.
        overlap: share of `room`, at least, that a window has in common with the next.
        before: special tokens before those of the sequence.
        after: special tokens after them.
        pad: id that fills padded rows.
    """

    room: int
    overlap: float
    before: Sequence[int]
    after: Sequence[int]
    pad: int

    @classmethod
    def of(cls, reader: Reader, overlap: float, pad: int) -> TokenWindows | None:
        """Windows as long as a reader's context; None: it reads any length."""
        return None if reader.room is None else cls(reader.room, overlap, reader.prefix, reader.suffix, pad)

    def starts(self, tokens: int) -> list[int]:
        """The first token of each window of a sequence."""
        if tokens <= self.room:
            return [0]
        step = max(1, int(self.room * (1 - self.overlap)))
        last = -(-(tokens - self.room) // step)
        return [round(window * (tokens - self.room) / last) for window in range(last + 1)]

    def work(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tokens that all windows of each sequence hold together, special ones included."""
        special = len(self.before) + len(self.after)
        counts = np.array([len(self.starts(tokens)) for tokens in lengths.tolist()], np.int64)
        return np.where(counts == 1, lengths + special, counts * (self.room + special))

    def cut(self, encoded: Encoded, rows: NDArray[np.integer]) -> Windows:
        """The windows of the given examples, whose codes are token ids without special ones."""
        pieces: list[NDArray[np.int64]] = []
        owners: list[int] = []
        starts: list[int] = []
        for owner, row in enumerate(rows.tolist()):
            tokens = encoded.values[encoded.offsets[row] : encoded.offsets[row + 1]]
            for start in self.starts(len(tokens)):
                own = tokens[start : start + self.room]
                pieces.append(np.concatenate((self.before, own, self.after)).astype(np.int64))
                owners.append(owner)
                starts.append(start)
        windows = Encoded.from_arrays(pieces)
        ids = torch.from_numpy(windows.matrix(np.arange(len(pieces)), fill=self.pad).astype(np.int64))
        return Windows(
            ids,
            padding_mask(windows.lengths, ids.shape[1]),
            np.array(owners, np.int64),
            np.array(starts, np.int64),
            windows.lengths - len(self.before) - len(self.after),
        )


def padding_mask(lengths: NDArray[np.integer], width: int) -> Tensor | None:
    """1 at tokens and 0 at padding, int64 (rows, width); None where there is none."""
    if np.all(lengths == width):
        return None
    return torch.from_numpy((np.arange(width) < lengths[:, None]).astype(np.int64))
