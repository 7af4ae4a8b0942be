"""What a masked language model says of single bases, whatever its tokens are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glmbench.errors import Unsupported
from glmbench.models.huggingface.base_readout import BaseReadout
from glmbench.models.huggingface.questions import check_questions, check_whole, checked, too_long
from glmbench.models.huggingface.reader import Reader
from glmbench.models.huggingface.spans import Tokenized
from glmbench.models.huggingface.token_bases import one_base_changed
from glmbench.progress import progress
from glmbench.sequences.typing import Integers

Hidden = Literal["token", "base"]
"""What `fill` hides: all bases of the tokens that cover the asked one, or the asked one alone."""

_TOGETHER = 250_000
"""Tokens of rows that are handed to the network together."""
_BASES_A_TOKEN = 8
"""More than learned tokens usually have: texts of four times as many for each token that fits are very long."""
_SLACK = 16
"""Tokens more than fit on each side of a base in a very long text, as another base in its place may shift a few."""


class AnswersRows(Protocol):
    """What is asked of `runner.Runner`."""

    def logits(
        self, rows: Sequence[Sequence[int]], asked: Sequence[Sequence[int]]
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Per batch: indices of its rows, float32 logits of the places asked in them, end to end."""


@dataclass(frozen=True)
class Question:
    """One row with masks, and which base of its masked tokens is asked for.

    Attributes:
        row: int32 (tokens,), ids with special tokens.
        masked: int64 (n,), places in the row.
        places: int64 (n,), of the asked base in each masked token, 0-based.
        amid: int32 (n,), what stood at the masked places, or empty where nothing of it may be known.
    """

    row: NDArray[np.int32]
    masked: Integers
    places: Integers
    amid: NDArray[np.int32]

    @property
    def key(self) -> bytes:
        """Equal for questions with equal answers."""
        parts = (np.array((len(self.row), len(self.masked))), self.row, self.masked, self.places, self.amid)
        return blake2b(b"".join(part.tobytes() for part in parts), digest_size=16).digest()


class MaskedBases:
    """Hidden bases, single passes and pseudo-likelihoods of a masked language model.

    Args:
        reader: its tokenizer; it must have a mask token.
        runner: its network.
        hidden: see `language_models.MaskedLanguageModel`.

    Raises:
        Unsupported: the tokenizer has no mask; or only the asked base is to be hidden where tokens are learned.
    """

    def __init__(self, reader: Reader, runner: AnswersRows, *, hidden: Hidden = "token") -> None:
        if reader.mask is None:
            raise Unsupported("the tokenizer has no mask token, so no base can be hidden from this masked model")
        if hidden == "base" and reader.cut == "learned":
            raise Unsupported(
                "?hide=base asks for the base amid the other bases of its token, and this tokenizer's tokens depend on "
                "the base itself; leave it out"
            )
        self._reader, self._runner, self._hidden, self._mask = reader, runner, hidden, reader.mask

    def fill(self, sequences: Sequence[str], positions: Sequence[int]) -> NDArray[np.float64]:
        """Log probabilities, float64 (n, 4); see `model.PredictsBases.fill`."""
        check_questions(sequences, positions)
        normal = {sequence: self._reader.normalised(sequence) for sequence in set(sequences)}
        answers: list[NDArray[np.float64]] = []  # one a distinct question
        known: dict[bytes, int] = {}
        picks = np.empty((len(sequences), len(self._candidates)), dtype=np.int64)
        room = self._reader.room or _TOGETHER
        long = self._very_long(list(dict.fromkeys(normal.values())))
        with progress("hidden bases", total=len(sequences)) as bar:
            for chunk in _chunks([len(self._candidates) * min(len(sequence), room) for sequence in sequences]):
                asked = [self._near(normal[sequences[index]], positions[index], long) for index in chunk]
                tokens = self._tokens(asked)
                new: list[Question] = []
                for index, (text, position) in zip(chunk, asked, strict=True):
                    for column, base in enumerate(self._candidates):
                        question = self._question(text, position, base, tokens)
                        place = known.setdefault(question.key, len(known))
                        if place == len(answers) + len(new):
                            new.append(question)
                        picks[index, column] = place
                answers += self._answers(new)
                bar.advance(len(chunk))
        each = np.array(answers).reshape(-1, 4)
        if self._reader.cut != "learned":
            return each[picks[:, 0]]
        own = each[picks, np.arange(4)]  # of every base, amid the tokens that it would itself lead to
        own[np.isneginf(own).all(axis=1)] = 0
        normalised: NDArray[np.float64] = own - np.logaddexp.reduce(own, axis=1, keepdims=True)
        return normalised

    def log_likelihood(self, sequences: Sequence[str]) -> NDArray[np.float64]:
        """Pseudo-log-likelihoods, float64 (batch,); see `model.ScoresSequences.log_likelihood`."""
        texts = [self._reader.normalised(sequence) for sequence in sequences]
        known = [[place for place, letter in enumerate(text) if letter in "ACGT"] for text in texts]
        owner = np.repeat(np.arange(len(texts)), [len(places) for places in known])
        asked = [place for places in known for place in places]
        log_p = self.fill([texts[index] for index in owner], asked)
        bases = ["ACGT".index(texts[index][place]) for index, place in zip(owner, asked, strict=True)]
        sums = np.zeros(len(texts))
        np.add.at(sums, owner, log_p[np.arange(len(bases)), bases])
        return sums

    def scan(self, sequences: Sequence[str]) -> list[NDArray[np.float64]]:
        """Log probabilities, float64 (length, 4) each; see `model.PredictsBases.scan`.

        Raises:
            Unsupported: where tokens begin and end depends on the bases.
        """
        if self._reader.cut == "learned":
            raise Unsupported(
                "this tokenizer's tokens depend on the bases, so a single unmasked pass tells of each base mostly how "
                "its token was cut; ask for hidden bases instead (masked scoring)"
            )
        if self._reader.overflow == "truncate":
            check_whole(self._reader, self._reader.tokenize(sequences))
        pieces = self._reader.read(sequences).pieces
        before, after = len(self._reader.prefix), len(self._reader.suffix)
        asked = [range(before, len(piece.ids) - after) for piece in pieces]
        sums = [np.full((len(sequence), 4), -np.inf) for sequence in sequences]
        covering = [np.zeros(len(sequence)) for sequence in sequences]
        for batch, logits in self._runner.logits([piece.ids for piece in pieces], asked):
            checked(logits)
            at = 0
            for index in batch:
                piece = pieces[index]
                ids = np.array(piece.ids[before : before + piece.tokens], dtype=np.int64)
                here = logits[at : at + piece.tokens]
                at += piece.tokens
                token, place, said = self._readout.every(here, piece.ends - piece.starts, ids)
                base = piece.starts[token] + place
                np.logaddexp.at(sums[piece.sequence], base, said)
                np.add.at(covering[piece.sequence], base, 1)
        return [total - np.log(number)[:, None] for total, number in zip(sums, covering, strict=True)]

    @cached_property
    def _candidates(self) -> tuple[int, ...]:
        """Bases that are put at the hidden place to cut a text; one will do where the cut does not depend on it."""
        return (0, 1, 2, 3) if self._reader.cut == "learned" else (0,)

    @cached_property
    def _changed(self) -> Integers:
        return one_base_changed(self._reader.letters)

    @cached_property
    def _readout(self) -> BaseReadout:
        return BaseReadout(self._reader.bases, self._changed if self._hidden == "base" else None)

    def _very_long(self, texts: Sequence[str]) -> dict[str, Tokenized]:
        """Tokens of those texts that are too long to be cut anew for each question."""
        room, width = self._reader.room, self._reader.bases.shape[1]
        if room is None or self._reader.overflow != "window":
            return {}
        limit = 4 * room * (min(width, _BASES_A_TOKEN) if self._reader.cut == "learned" else width)
        long = [text for text in texts if len(text) > limit]
        return dict(zip(long, self._reader.tokenize(long), strict=True)) if long else {}

    def _near(self, text: str, position: int, long: dict[str, Tokenized]) -> tuple[str, int]:
        """A part of a very long text with more around a position than is read, and the position within it.

        It begins and ends with tokens of the whole, so that in between it is cut as the whole is.
        """
        whole = long.get(text)
        if whole is None:
            return text, position
        side = (self._reader.room or 0) + _SLACK
        first = int(np.searchsorted(whole.ends, position, side="right"))
        last = int(np.searchsorted(whole.starts, position, side="right"))
        start = int(whole.starts[max(first - side, 0)])
        end = int(whole.ends[min(last + side, len(whole.ends)) - 1])
        return text[start:end], position - start

    def _tokens(self, questions: Sequence[tuple[str, int]]) -> dict[str, tuple[Tokenized, NDArray[np.int32]]]:
        """Tokens of all texts that questions lead to, each cut once, and their ids as an array."""
        texts = [self._cut_with(text, position, base) for text, position in questions for base in self._candidates]
        distinct = list(dict.fromkeys(texts))
        found = self._reader.tokenize(distinct)
        return {text: (whole, np.array(whole.ids, np.int32)) for text, whole in zip(distinct, found, strict=True)}

    def _cut_with(self, text: str, position: int, base: int) -> str:
        """The text that is cut into tokens to hide one base."""
        if len(self._candidates) == 1 and text[position] in "ACGT":
            return text
        return text[:position] + "ACGT"[base] + text[position + 1 :]

    def _question(
        self, text: str, position: int, base: int, tokens: dict[str, tuple[Tokenized, NDArray[np.int32]]]
    ) -> Question:
        """Hide the base at a position of a text that is cut with `base` in its place."""
        whole, ids = tokens[self._cut_with(text, position, base)]
        first = int(np.searchsorted(whole.ends, position, side="right"))
        last = int(np.searchsorted(whole.starts, position, side="right"))
        start, end = self._window(len(ids), first, last, len(text))
        prefix = self._reader.prefix
        row = np.concatenate((prefix, ids[start:end], self._reader.suffix)).astype(np.int32)
        masked = slice(first + len(prefix) - start, last + len(prefix) - start)
        row[masked] = self._mask
        places = position - whole.starts[first:last]
        amid = self._with_first_base(ids[first:last], places) if self._hidden == "base" else ids[:0]
        return Question(row, np.arange(masked.start, masked.stop), places, amid)

    def _with_first_base(self, ids: NDArray[np.int32], places: Integers) -> NDArray[np.int32]:
        """The tokens with an A at the asked places, so that what stands there makes no difference."""
        inside = places < self._changed.shape[1]
        changed = np.where(inside, self._changed[ids, np.where(inside, places, 0), 0], -1)
        return np.where(changed >= 0, changed, ids).astype(np.int32)

    def _window(self, tokens: int, first: int, last: int, length: int) -> tuple[int, int]:
        """Tokens that are read, so many as fit around those that are masked."""
        room = self._reader.room
        if room is None or tokens <= room:
            return 0, tokens
        if self._reader.overflow != "window":
            raise Unsupported(too_long(length, tokens, room))
        start = min(max((first + last - room + 1) // 2, 0), tokens - room)
        if not start <= first < last <= start + room:
            raise Unsupported(f"{last - first} tokens cover one base, and the model reads {room} at most")
        return start, start + room

    def _answers(self, questions: list[Question]) -> list[NDArray[np.float64]]:
        """Log probabilities (4,) of each question; those of one row (other bases of its masked tokens) share a pass."""
        answers: list[NDArray[np.float64]] = [np.empty(0)] * len(questions)
        sharing: dict[bytes, list[int]] = {}
        for index, question in enumerate(questions):
            sharing.setdefault(question.row.tobytes(), []).append(index)
        groups = list(sharing.values())
        first = [questions[group[0]] for group in groups]
        rows, asked = [one.row.tolist() for one in first], [one.masked.tolist() for one in first]
        for batch, logits in self._runner.logits(rows, asked):
            checked(logits)
            ends = np.cumsum([len(asked[index]) for index in batch])
            of_row = [np.arange(end - len(asked[index]), end) for index, end in zip(batch, ends, strict=True)]
            here = [index for group in batch for index in groups[group]]
            which = np.concatenate([of for of, group in zip(of_row, batch, strict=True) for _ in groups[group]])
            places = np.concatenate([questions[index].places for index in here])
            ids = np.concatenate([questions[index].amid for index in here]).astype(np.int64)
            number = np.array([len(questions[index].masked) for index in here])
            each = self._readout.at(logits[torch.from_numpy(which)], places, ids)
            means = np.logaddexp.reduceat(each, np.cumsum(number) - number, axis=0) - np.log(number)[:, None]
            for index, mean in zip(here, means, strict=True):
                answers[index] = mean
        return answers


def _chunks(lengths: Sequence[int]) -> Iterator[range]:
    """Ranges of indices whose lengths sum up to `_TOGETHER` at most, or of one index."""
    start = total = 0
    for index, length in enumerate(lengths):
        if index > start and total + length > _TOGETHER:
            yield range(start, index)
            start, total = index, 0
        total += length
    if lengths:
        yield range(start, len(lengths))
