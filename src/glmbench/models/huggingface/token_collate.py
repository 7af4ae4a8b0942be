"""How sequences come to a network that is fine-tuned: token ids, pairs joined, long ones refused, cut or in windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glmbench.errors import Unsupported
from glmbench.models.huggingface.pair_template import PairTemplate
from glmbench.models.huggingface.reader import Overflow, Reader
from glmbench.models.huggingface.token_windows import EncodedTokens, TokenWindows, padding_mask
from glmbench.models.model import Input
from glmbench.training.batches import Encoded

CHUNK = 2048
"""Sequences tokenized at a time: what is kept of each is its ids alone."""

_LEAST_OF_PAIR = 2
"""Tokens of both sequences together that must fit."""

Inputs = tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]


@dataclass(frozen=True)
class EncodedInputs(EncodedTokens):
    """Token ids of sequences or pairs.

    Attributes:
        second: of pairs, at which id of its example the second sequence begins, int64 (examples,).
    """

    second: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class TokenCollate:
    """Sequences, or pairs of them, as token ids with special tokens.

    Attributes:
        reader: of the model; its context is the longest input.
        pad: id that fills padded rows.
        too_long: what becomes of longer sequences: an error; their end is cut (of pairs, that of the longer one, token
            by token); or windows of the full length, evenly placed, whose scores are averaged.
        overlap: share of a window, at least, that it has in common with the next.
    """

    reader: Reader
    pad: int
    too_long: Overflow = "refuse"
    overlap: float = 0.25

    def limited(self, length: int | None, too_long: Overflow | None, overlap: float) -> TokenCollate:
        """The same for at most so many tokens, special ones included; None: what the model reads.

        Raises:
            Unsupported: the model reads fewer, or only special tokens would be left.
        """
        return replace(self, reader=self.reader.shortened(length), too_long=too_long or self.too_long, overlap=overlap)

    def encode(self, sequences: Sequence[Input]) -> EncodedInputs:
        """Token ids.

        Raises:
            Unsupported: sequences are too long and may not be cut; or the tokenizer cannot join pairs.
            DataError: a sequence has no token.
        """
        if sequences and not isinstance(sequences[0], str):
            return self._encode_pairs([pair for pair in sequences if not isinstance(pair, str)])
        texts = [text for text in sequences if isinstance(text, str)]
        windows = self._windows()
        reader = self.reader.limited(None if windows else self.reader.context, "truncate")
        ids: list[NDArray[np.int32]] = []
        too_long = 0
        for start in range(0, len(texts), CHUNK):
            reading = reader.read(texts[start : start + CHUNK])
            too_long += reading.too_long
            for piece in reading.pieces:
                own = piece.ids[len(reader.prefix) :][: piece.tokens] if windows else piece.ids
                ids.append(np.array(own, dtype=np.int32))
        if too_long and self.too_long == "refuse":
            raise self._refusal(too_long, len(texts), "sequences")
        encoded = Encoded.from_arrays(ids)
        windowed = windows.work(encoded.lengths) if windows else None
        return EncodedInputs(encoded.values, encoded.offsets, windowed=windowed)

    def batch(self, encoded: Encoded, rows: NDArray[np.integer]) -> Inputs:
        """Ids (B, L) padded on the right, their mask, token types and owners; see `TrainableNetwork.forward`."""
        windows = self._windows()
        if isinstance(encoded, EncodedInputs) and encoded.windowed is not None and windows is not None:
            cut = windows.cut(encoded, rows)
            one_each = len(cut.ids) == len(rows)
            return cut.ids, cut.mask, None, None if one_each else torch.from_numpy(cut.owners)
        ids = torch.from_numpy(encoded.matrix(rows, fill=self.pad).astype(np.int64))
        lengths = encoded.lengths[rows]
        kinds = None
        if isinstance(encoded, EncodedInputs) and encoded.second is not None:
            kinds = torch.from_numpy((np.arange(ids.shape[1]) >= encoded.second[rows][:, None]).astype(np.int64))
        return ids, padding_mask(lengths, ids.shape[1]), kinds, None

    def notes(self, sequences: Sequence[Input]) -> dict[str, int | float]:
        """Tokens of sequences, and what the length cut of them; see `models.reporting.NotesInput`."""
        counts = dict.fromkeys(("tokens", "unknown", "too_long", "cut", "windows"), 0)
        for start in range(0, len(sequences), CHUNK):
            for name, number in self._counts(sequences[start : start + CHUNK]).items():
                counts[name] += number
        cut = self.too_long != "window"
        return {
            "sequences": len(sequences),
            "tokens": counts["tokens"],
            "unknown_tokens": counts["unknown"],
            "truncated": counts["too_long"] if cut else 0,
            "truncated_share": counts["too_long"] / max(len(sequences), 1) if cut else 0.0,
            "cut_tokens": counts["cut"] if cut else 0,
            **({} if cut else {"in_windows": counts["too_long"], "windows": counts["windows"]}),
        }

    def _counts(self, sequences: Sequence[Input]) -> dict[str, int]:
        if sequences and not isinstance(sequences[0], str):
            pairs = [pair for pair in sequences if not isinstance(pair, str)]
            sides = [self.reader.limited(None, "truncate").read([pair[side] for pair in pairs]) for side in (0, 1)]
            lengths = [one.tokens + other.tokens for one, other in zip(sides[0].pieces, sides[1].pieces, strict=True)]
            room = self._pair_room()
            over = [max(0, length - room) for length in lengths] if room is not None else [0] * len(lengths)
            return {
                "tokens": sum(lengths),
                "unknown": sum(side.unknown for side in sides),
                "too_long": sum(count > 0 for count in over),
                "cut": sum(over),
                "windows": 0,
            }
        texts = [text for text in sequences if isinstance(text, str)]
        reading = self.reader.limited(self.reader.context, "truncate").read(texts)
        found = {
            "tokens": reading.tokens,
            "unknown": reading.unknown,
            "too_long": reading.too_long,
            "cut": reading.cut,
            "windows": 0,
        }
        if (windows := self._windows()) is not None:
            whole = self.reader.limited(None, "truncate").read(texts)
            found["windows"] = sum(len(windows.starts(piece.tokens)) for piece in whole.pieces)
        return found

    def _pair_room(self) -> int | None:
        """Tokens of both sequences of a pair together that fit."""
        context = self.reader.context
        if context is None:
            return None
        room = context - self._pairs().special
        if room < _LEAST_OF_PAIR:
            raise Unsupported(
                f"max_length is {context} tokens, of which {self._pairs().special} are special ones of pairs"
            )
        return room

    def _pairs(self) -> PairTemplate:
        return self.reader.pairs()

    def _encode_pairs(self, pairs: Sequence[tuple[str, str]]) -> EncodedInputs:
        if self.too_long == "window":
            raise Unsupported("pairs of sequences do not go in windows; cut them, or concatenate them first")
        template, room = self._pairs(), self._pair_room()
        reader = self.reader.limited(None, "truncate")
        ids: list[NDArray[np.int32]] = []
        second: list[int] = []
        too_long = 0
        for start in range(0, len(pairs), CHUNK):
            some = pairs[start : start + CHUNK]
            one, other = (self._bare(reader, [pair[side] for pair in some]) for side in (0, 1))
            for a, b in zip(one, other, strict=True):
                kept_a, kept_b = (len(a), len(b)) if room is None else _fit_pair(len(a), len(b), room)
                too_long += kept_a + kept_b < len(a) + len(b)
                parts = (template.before, a[:kept_a], template.between, b[:kept_b], template.after)
                ids.append(np.concatenate([np.asarray(part, np.int32) for part in parts]))
                second.append(len(template.before) + kept_a + len(template.between))
        if too_long and self.too_long == "refuse":
            raise self._refusal(too_long, len(pairs), "pairs")
        encoded = Encoded.from_arrays(ids)
        return EncodedInputs(encoded.values, encoded.offsets, second=np.array(second, np.int64))

    def _bare(self, reader: Reader, texts: Sequence[str]) -> list[list[int]]:
        before = len(reader.prefix)
        return [piece.ids[before : before + piece.tokens] for piece in reader.read(texts).pieces]

    def _windows(self) -> TokenWindows | None:
        """How long sequences go in; None: not in windows."""
        return TokenWindows.of(self.reader, self.overlap, self.pad) if self.too_long == "window" else None

    def _refusal(self, too_long: int, of: int, what: str) -> Unsupported:
        return Unsupported(
            f"{too_long:,} of {of:,} {what} have more than {self.reader.context} tokens, the most that this training "
            'reads; set too_long = "truncate" in the recipe to cut their ends (counted in the result), or "window" to '
            "average over windows, or take a model with a longer context"
        )


def _fit_pair(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens of each of two sequences are kept: the longer one gives way, token by token."""
    short = min(first, second)
    if first + second <= room:
        return first, second
    if room - short >= short:
        return (first, room - first) if first == short else (room - second, second)
    less, more = room // 2, room - room // 2  # the odd token is that of the longer one, of equals the second's
    return (more, less) if first > second else (less, more)
