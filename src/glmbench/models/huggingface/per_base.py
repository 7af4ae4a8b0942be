"""A copy of a pre-trained network that classifies every base: a small head on the states of the tokens that cover it.

A base takes the mean of the states of its tokens (overlapping k-mers: up to k of them), and, where tokens hold several
bases, a learned vector for its place in the token; then a hidden layer with GELU and a linear one. A sequence beyond
the context goes in windows that overlap, and a token that lies in several has the mean of its states.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from inspect import signature
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from glmbench.errors import Unsupported
from glmbench.models.huggingface.reader import Reader
from glmbench.models.huggingface.token_windows import EncodedTokens, TokenWindows, Windows, padding_mask
from glmbench.training.batches import Encoded

if TYPE_CHECKING:
    from glmbench.models.huggingface.network import LoadedNetwork

_PLACES = 64
"""Places in a token that have a vector of their own; later ones share the last."""
_CHUNK = 2048
_NOTHING = (np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.uint8))


@dataclass(frozen=True)
class EncodedSpans(EncodedTokens):
    """Token ids, and for every base which tokens cover it.

    Attributes:
        bases: int64 (examples + 1,), where the bases of each example begin in the arrays below.
        first: int32 (all bases,), the first id of the example that covers a base.
        last: int32 (all bases,), the last one.
        place: uint8 (all bases,), the place of a base in the first token that covers it.
    """

    bases: NDArray[np.int64]
    first: NDArray[np.int32]
    last: NDArray[np.int32]
    place: NDArray[np.uint8]


@dataclass(frozen=True)
class BaseCollate:
    """Sequences as token ids, with the tokens of every base.

    Attributes:
        reader: of the model; its context is the longest input.
        pad: id that fills padded rows.
        too_long: what becomes of longer sequences: an error, or windows.
        overlap: share of a window, at least, that it has in common with the next.
    """

    reader: Reader
    pad: int
    too_long: Literal["refuse", "window"] = "refuse"
    overlap: float = 0.25

    def limited(
        self, length: int | None, too_long: Literal["refuse", "truncate", "window"] | None, overlap: float
    ) -> BaseCollate:
        """The same for at most so many tokens, special ones included; None: what the model reads.

        Raises:
            Unsupported: longer sequences were to be cut: bases would be left without an answer. Or the model reads
                fewer tokens, or only special tokens would be left.
        """
        if too_long == "truncate":
            raise Unsupported(
                'too_long = "truncate" goes with labels of sequences: with labels by base, some would be left without '
                'an answer; set too_long = "window"'
            )
        return replace(self, reader=self.reader.shortened(length), too_long=too_long or self.too_long, overlap=overlap)

    def encode(self, sequences: Sequence[str]) -> EncodedSpans:
        """Token ids and spans.

        Raises:
            Unsupported: a sequence is longer than the context.
            DataError: a sequence has no token.
        """
        ids: list[NDArray[np.int32]] = []
        covers: list[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint8]]] = []
        windows = self._windows()
        reader, room = self.reader.limited(None, "truncate"), self.reader.room
        too_long = 0
        before = 0 if windows else len(reader.prefix)
        for start in range(0, len(sequences), _CHUNK):
            some = sequences[start : start + _CHUNK]
            for text, piece in zip(some, reader.read(some).pieces, strict=True):
                too_long += windows is None and room is not None and piece.tokens > room
                own = piece.ids[len(reader.prefix) :][: piece.tokens] if windows else piece.ids
                ids.append(np.array(own, np.int32))
                covers.append(_cover(piece.starts, piece.ends, len(text), before))
        if too_long:
            raise Unsupported(
                f"{too_long:,} of {len(sequences):,} sequences have more than {self.reader.context} tokens, the most "
                'that this training reads; set too_long = "window" in the recipe to read them in windows that overlap, '
                "or take a model with a longer context"
            )
        encoded = Encoded.from_arrays(ids)
        bases = np.concatenate(([0], np.cumsum([len(first) for first, _, _ in covers]))).astype(np.int64)
        first, last, place = (np.concatenate(parts) for parts in zip(*covers, strict=True)) if covers else _NOTHING
        windowed = windows.work(encoded.lengths) if windows else None
        return EncodedSpans(encoded.values, encoded.offsets, bases, first, last, place, windowed=windowed)

    def batch(
        self, encoded: Encoded, rows: NDArray[np.integer]
    ) -> tuple[Tensor, Tensor | None, Tensor, Tensor, Tensor, Tensor | None]:
        """Arguments of `PerBaseNetwork.forward`."""
        assert isinstance(encoded, EncodedSpans)
        first, last, place = (
            self._by_base(encoded, rows, values) for values in (encoded.first, encoded.last, encoded.place)
        )
        if (windows := self._windows()) is not None:
            cut = windows.cut(encoded, rows)
            return cut.ids, cut.mask, first, last, place, _slots(cut, len(windows.before), int(last.max()) + 1)
        ids = torch.from_numpy(encoded.matrix(rows, fill=self.pad).astype(np.int64))
        return ids, padding_mask(encoded.lengths[rows], ids.shape[1]), first, last, place, None

    def notes(self, sequences: Sequence[str]) -> dict[str, int | float]:
        """Tokens of sequences; see `models.reporting.NotesInput`."""
        tokens = unknown = 0
        cut: list[int] = []
        windows = self._windows()
        for start in range(0, len(sequences), _CHUNK):
            reading = self.reader.limited(None, "truncate").read(sequences[start : start + _CHUNK])
            tokens, unknown = tokens + reading.tokens, unknown + reading.unknown
            if windows is not None:
                cut += [len(windows.starts(piece.tokens)) for piece in reading.pieces]
        return {
            "sequences": len(sequences),
            "tokens": tokens,
            "unknown_tokens": unknown,
            "truncated": 0,
            **({} if windows is None else {"in_windows": sum(count > 1 for count in cut), "windows": sum(cut)}),
        }

    def _windows(self) -> TokenWindows | None:
        """How long sequences go in; None: not in windows."""
        return TokenWindows.of(self.reader, self.overlap, self.pad) if self.too_long == "window" else None

    def _by_base(self, encoded: EncodedSpans, rows: NDArray[np.integer], values: NDArray[Any]) -> Tensor:
        one = Encoded(values, encoded.bases)
        return torch.from_numpy(one.matrix(rows, fill=0).astype(np.int64))


def _slots(windows: Windows, before: int, longest: int) -> Tensor:
    """Where the states of windows belong among those of whole sequences, int64 (windows, length).

    Token t of sequence s is at s * longest + t; special tokens and padding are at the place after the last.
    """
    in_window = np.arange(windows.ids.shape[1]) - before
    token = windows.starts[:, None] + in_window
    covers_bases = (in_window >= 0) & (in_window < windows.tokens[:, None]) & (token < longest)
    nowhere = (int(windows.owners[-1]) + 1) * longest
    return torch.from_numpy(np.where(covers_bases, windows.owners[:, None] * longest + token, nowhere))


def _cover(
    starts: NDArray[np.int64], ends: NDArray[np.int64], length: int, before: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint8]]:
    """First and last token of each base, special ones before them counted, and its place in the first."""
    base = np.arange(length)
    first = np.searchsorted(ends, base, side="right")
    last = np.searchsorted(starts, base, side="right") - 1
    place = np.minimum(base - starts[first], _PLACES - 1)
    return (first + before).astype(np.int32), (last + before).astype(np.int32), place.astype(np.uint8)


def make_per_base(loaded: LoadedNetwork, outputs: int, seed: int) -> PerBaseNetwork:
    """A copy of the pre-trained body under a fresh head for single bases, on the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return PerBaseNetwork(loaded.body, outputs)


class PerBaseNetwork(nn.Module):
    """A body and a head on the states of tokens, as bases see them."""

    def __init__(self, body: nn.Module, outputs: int) -> None:
        super().__init__()
        self.body = copy.deepcopy(body).cpu().requires_grad_(True)
        dim = int(cast(Any, body).config.hidden_size)
        self.head = BaseHead(dim, outputs)
        self.fresh = frozenset({"head"})
        """Names of modules that are not pre-trained."""
        accepted = signature(body.forward).parameters
        self._masks = "attention_mask" in accepted
        self._fixed: dict[str, Any] = {"use_cache": False} if "use_cache" in accepted else {}

    def forward(
        self,
        ids: Tensor,
        mask: Tensor | None,
        first: Tensor,
        last: Tensor,
        place: Tensor,
        slots: Tensor | None = None,
    ) -> Tensor:
        """Scores (batch, longest, outputs) of every base; beyond the end of shorter sequences they mean nothing.

        Args:
            ids: int64 (batch, tokens), or of windows (windows, tokens).
            mask: 0 at padding; None: no padding.
            first: the first token of each base, int64 (batch, longest).
            last: the last token of each base.
            place: of each base in its first token.
            slots: of windows, where the states of their tokens belong; see `_slots`. None: there are no windows.
        """
        states = self._states(ids, mask)
        if slots is not None:
            states = _assembled(states, slots, len(last), int(last.max()) + 1)
        if torch.equal(first, last):
            of_base = _taken(states, first)
        else:  # the mean over a range, as a difference of sums from the left
            sums = functional.pad(states.float().cumsum(1), (0, 0, 1, 0))
            of_base = (_taken(sums, last + 1) - _taken(sums, first)) / (last - first + 1)[..., None]
        scores: Tensor = self.head(of_base, place)
        return scores

    def _states(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        if not self._masks and mask is not None:
            raise Unsupported("a network that knows no padding cannot be trained on bases of sequences of many lengths")
        masked = {"attention_mask": torch.ones_like(ids) if mask is None else mask} if self._masks else {}
        output: Any = self.body(input_ids=ids, **masked, **self._fixed)
        return cast(Tensor, output[0] if isinstance(output, tuple) else output.last_hidden_state)


class BaseHead(nn.Module):
    """A hidden layer with GELU and a linear layer, on the state of a base and a vector for its place in its token."""

    def __init__(self, dim: int, outputs: int) -> None:
        super().__init__()
        self.places = nn.Embedding(_PLACES, dim)
        self.dense = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, outputs)
        nn.init.normal_(self.places.weight, std=0.02)

    def forward(self, states: Tensor, place: Tensor) -> Tensor:
        """Scores (batch, longest, outputs)."""
        out: Tensor = self.out(functional.gelu(self.dense(states + self.places(place))))
        return out


def _assembled(states: Tensor, slots: Tensor, sequences: int, tokens: int) -> Tensor:
    """States (sequences, tokens, dim) from those of windows, the mean where a token is in several."""
    flat, count = slots.flatten(), sequences * tokens + 1
    total = states.new_zeros(count, states.shape[2]).index_add(0, flat, states.flatten(0, 1))
    mean = total / torch.bincount(flat, minlength=count).clamp(min=1)[:, None]
    return mean[:-1].view(sequences, tokens, -1)


def _taken(states: Tensor, tokens: Tensor) -> Tensor:
    """States (batch, longest, dim) of one token for every base."""
    return states.gather(1, tokens[..., None].expand(-1, -1, states.shape[2]))
