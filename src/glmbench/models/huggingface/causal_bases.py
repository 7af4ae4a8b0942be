"""What a causal language model says of single bases and of whole sequences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from glmbench.errors import Unsupported
from glmbench.models.huggingface.base_readout import BaseReadout
from glmbench.models.huggingface.masked_bases import AnswersRows
from glmbench.models.huggingface.questions import check_questions, checked, too_long
from glmbench.models.huggingface.reader import Reader
from glmbench.progress import progress
from glmbench.sequences.typing import Integers

_UNIFORM = float(np.log(1 / 4))


@dataclass(frozen=True)
class _Row:
    """Token ids, and the bases that are asked for: (answer, place) pairs; place i tells of token i + 1."""

    ids: list[int]
    asked: list[tuple[int, int]]


@dataclass(frozen=True)
class _Scored:
    """Token ids, and the tokens whose likelihood is wanted: what comes after each of some places."""

    owner: int
    ids: list[int]
    places: list[int]
    targets: Integers


class CausalBases:
    """Bases and likelihoods of a causal language model.

    Special tokens that the tokenizer puts before a sequence stand before every row; those that it puts after one are
    left out. Without any before, nothing is known of the first token, and every base of it has p = 1/4.

    A sequence beyond the context (with `?overflow=window`) is read in windows that overlap by half. A token is read in
    the first window that holds it, so that it has at least half a context before it.
    """

    def __init__(self, reader: Reader, runner: AnswersRows) -> None:
        self._reader, self._runner = reader, runner

    def fill(self, sequences: Sequence[str], positions: Sequence[int]) -> NDArray[np.float64]:
        """Log probabilities, float64 (n, 4); see `model.PredictsBases.fill`. One token must be one base."""
        check_questions(sequences, positions)
        out = np.full((len(sequences), 4), _UNIFORM)
        rows = _joined(self._rows(sequences, positions))
        readout = BaseReadout(self._reader.bases)
        asked = [[place for _, place in row.asked] for row in rows]
        with progress("bases from their left", total=len(rows)) as bar:
            for batch, logits in self._runner.logits([row.ids for row in rows], asked):
                answers = [answer for index in batch for answer, _ in rows[index].asked]
                first_place = np.zeros(len(answers), dtype=np.int64)
                out[answers] = readout.at(checked(logits), first_place, first_place)
                bar.advance(len(batch))
        return out

    def _rows(self, sequences: Sequence[str], positions: Sequence[int]) -> list[_Row]:
        """One row a sequence, or a window of it, for all of its positions; none for bases with nothing before them."""
        normal = {sequence: self._reader.normalised(sequence) for sequence in set(sequences)}
        groups: dict[str, list[int]] = {}
        for index, sequence in enumerate(sequences):
            groups.setdefault(normal[sequence], []).append(index)
        rows = []
        prefix = self._reader.prefix
        for (text, members), whole in zip(groups.items(), self._reader.tokenize(list(groups)), strict=True):
            token = np.searchsorted(whole.ends, [positions[index] for index in members], side="right")
            windows = self._windows(len(whole.ids), len(text))
            in_window = np.searchsorted([first for _, first, _ in windows], token, side="right") - 1
            for number in np.unique(in_window).tolist():
                start = windows[number][0]
                place = len(prefix) + token - start - 1
                here = np.flatnonzero((in_window == number) & (place >= 0)).tolist()
                if here:
                    ids = prefix + whole.ids[start : int(token[here].max())]
                    rows.append(_Row(ids, [(members[which], int(place[which])) for which in here]))
        return rows

    def scan(self, sequences: Sequence[str]) -> list[NDArray[np.float64]]:
        """Log probabilities, float64 (length, 4) each; see `model.PredictsBases.scan`."""
        lengths = [len(sequence) for sequence in sequences]
        repeated = [sequence for sequence, length in zip(sequences, lengths, strict=True) for _ in range(length)]
        log_p = self.fill(repeated, [position for length in lengths for position in range(length)])
        return np.split(log_p, np.cumsum(lengths)[:-1]) if sequences else []

    def log_likelihood(self, sequences: Sequence[str]) -> NDArray[np.float64]:
        """Sums of log p of the tokens, float64 (batch,); tokens with unknown bases count for nothing."""
        texts = [self._reader.normalised(sequence) for sequence in sequences]
        distinct = {text: index for index, text in enumerate(dict.fromkeys(texts))}
        sums = np.zeros(len(distinct))
        scored: list[_Scored] = []
        for (text, index), whole in zip(distinct.items(), self._reader.tokenize(list(distinct)), strict=True):
            ids = np.array(whole.ids, dtype=np.int64)
            if not self._reader.prefix and self._known[ids[0]]:
                sums[index] += _UNIFORM * int(whole.ends[0] - whole.starts[0])
            scored += self._scored(index, ids, len(text))
        rows, asked = [one.ids for one in scored], [one.places for one in scored]
        with progress("likelihoods", total=len(rows)) as bar:
            for batch, logits in self._runner.logits(rows, asked):
                targets = torch.from_numpy(np.concatenate([scored[index].targets for index in batch]))
                log_p = torch.log_softmax(checked(logits).float(), dim=1)
                of_targets = log_p.gather(1, targets.to(log_p.device)[:, None])[:, 0].double().cpu().numpy()
                owners = np.repeat([scored[index].owner for index in batch], [len(asked[index]) for index in batch])
                np.add.at(sums, owners, of_targets)
                bar.advance(len(batch))
        return sums[[distinct[text] for text in texts]]

    def _scored(self, owner: int, ids: Integers, length: int) -> Iterator[_Scored]:
        """The rows that give the likelihood of the tokens of a sequence of `length` bp."""
        prefix = self._reader.prefix
        known = self._known[ids]
        known[0] &= bool(prefix)
        for start, first, end in self._windows(len(ids), length):
            at = np.flatnonzero(known[first:end]) + first
            if len(at):
                row = [*prefix, *ids[start : at[-1]].tolist()]
                yield _Scored(owner, row, (at - start + len(prefix) - 1).tolist(), ids[at])

    @cached_property
    def _known(self) -> NDArray[np.bool_]:
        """Which ids spell known bases and nothing else, bool (vocabulary,)."""
        return np.array([bool(text) and set(text) <= set("ACGT") for text in self._reader.letters])

    def _windows(self, tokens: int, length: int) -> list[tuple[int, int, int]]:
        """(start, first, end): tokens `start` to before `end` are read for those from `first` on."""
        context = self._reader.context
        room = tokens if context is None else context - len(self._reader.prefix)
        if tokens <= room:
            return [(0, 0, tokens)]
        if self._reader.overflow != "window":
            raise Unsupported(too_long(length, tokens, room))
        return list(_half_overlapping(tokens, room))


def _half_overlapping(tokens: int, room: int) -> Iterator[tuple[int, int, int]]:
    yield 0, 0, room
    first = room
    while first < tokens:
        start = first - room // 2
        end = min(start + room, tokens)
        yield start, first, end
        first = end


def _joined(rows: list[_Row]) -> list[_Row]:
    """Rows that begin others are answered by these: what comes later changes nothing."""
    joined: list[_Row] = []
    for row in sorted(rows, key=lambda row: row.ids, reverse=True):
        if joined and joined[-1].ids[: len(row.ids)] == row.ids:
            joined[-1].asked.extend(row.asked)
        else:
            joined.append(row)
    return joined
