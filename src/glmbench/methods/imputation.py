"""Imputation: unknown bases of a sequence filled by a model of bases, and how well it does on bases that were hidden.

Three orders of filling. `once`: every unknown base is asked while all others are still unknown. `confident`: all that
are left in a window are asked, the most confident one of each window is filled, and so on. `left`: from left to right,
each with those before it filled; runs further apart than a window are worked on side by side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from glmbench.models.model import PredictsBases
from glmbench.sequences.alphabet import BASES
from glmbench.sequences.encoding import reverse_complement
from glmbench.sequences.typing import Integers

Order = Literal["once", "confident", "left"]

_AT_ONCE = 8_192
"""Questions in one call of the model."""
_UPPER_N, _LOWER_N, _CASE = ord("N"), ord("n"), 0x20
_LETTERS = np.frombuffer(BASES.encode(), dtype=np.uint8)


@dataclass(frozen=True)
class Imputation:
    """How unknown bases are filled.

    Attributes:
        width: bases of the window that the model sees of a sequence.
        order: see the module; None: `left` for a model that reads from the left on one strand alone, else `once`.
        both_strands: ask the reverse complement as well, average the log probabilities and normalise them again.
        least: bases whose best probability is below stay unknown.
    """

    width: int
    order: Order | None = None
    both_strands: bool = False
    least: float = 0.0

    def order_for(self, model: PredictsBases) -> Order:
        """The order that is taken."""
        return self.order or ("left" if self.reads_left_only(model) else "once")

    def reads_left_only(self, model: PredictsBases) -> bool:
        """Whether what lies right of a base makes no difference."""
        return model.reach == "left" and not self.both_strands


@dataclass(frozen=True)
class Imputed:
    """What became of the unknown bases of one sequence.

    Attributes:
        sequence: the sequence, filled; case is kept.
        positions: int64 (n,), of the bases that were asked, 0-based, rising.
        log_probabilities: float32 (n, 4), log p of A, C, G, T in nats when the base was decided.
        filled: bool (n,): False where the best was below `least` and the base stays unknown.
    """

    sequence: str
    positions: Integers
    log_probabilities: NDArray[np.float32]
    filled: NDArray[np.bool_]


@dataclass
class _State:
    """One sequence while it is worked on."""

    letters: NDArray[np.uint8]
    asked: Integers
    log_p: NDArray[np.float32]
    filled: NDArray[np.bool_]


Question = tuple[int, int, int, int]
"""Index of a sequence, start and end of a window of it, and index of the unknown base among those asked there."""


def unknown_runs(sequence: str, *, masked: bool = False) -> Integers:
    """Start and end of every run of N, int64 (runs, 2), half-open; with `masked` of N and lower-case letters."""
    letters = np.frombuffer(sequence.encode("ascii"), dtype=np.uint8)
    unknown = (letters | _CASE) == _LOWER_N
    if masked:
        unknown |= letters >= ord("a")
    edges = np.zeros(letters.size + 2, dtype=np.int8)
    edges[1:-1] = unknown
    return np.flatnonzero(np.diff(edges)).reshape(-1, 2)


def places_of_runs(runs: Integers) -> Integers:
    """All positions of runs, int64, rising."""
    return np.concatenate([np.empty(0, dtype=np.int64), *(np.arange(start, end) for start, end in runs.tolist())])


def impute(
    model: PredictsBases, sequences: Sequence[str], positions: Sequence[Integers], how: Imputation
) -> list[Imputed]:
    """Fill bases of sequences; whatever stands at the positions is taken for unknown.

    Args:
        model: answers for windows of `how.width` bases.
        sequences: of any length.
        positions: of each, int64 (n,), 0-based, rising.
        how: see `Imputation`.

    Raises:
        Unsupported: the width is more than the model's context.
    """
    states = [_state(sequence, asked) for sequence, asked in zip(sequences, positions, strict=True)]
    order = how.order_for(model)
    if order == "left":
        _fill_from_left(model, states, how)
    else:
        windows = list(_shared_windows(states, how.width, left_only=how.reads_left_only(model)))
        if order == "once":
            questions = [(s, start, end, index) for s, start, end, asked in windows for index in asked]
            _decide(states, questions, _asked(model, states, questions, how.both_strands), how.least)
        else:
            _fill_confident_first(model, states, windows, how)
    return [_result(state) for state in states]


def _state(sequence: str, asked: Integers) -> _State:
    letters = np.frombuffer(sequence.encode("ascii"), dtype=np.uint8).copy()
    letters[asked] = (letters[asked] & _CASE) | _UPPER_N
    return _State(letters, asked, np.zeros((len(asked), 4), dtype=np.float32), np.zeros(len(asked), dtype=np.bool_))


def _result(state: _State) -> Imputed:
    return Imputed(state.letters.tobytes().decode("ascii"), state.asked, state.log_p, state.filled)


def _shared_windows(states: Sequence[_State], width: int, *, left_only: bool) -> Iterator[tuple[int, int, int, range]]:
    """Windows (sequence, start, end) and the unknown bases (indices) asked in each; a base is asked in one window.

    The first base that is left stands in the middle of the next window; those after it join while they have a quarter
    of the width to their right, or all that the sequence has, or the model reads nothing there.
    """
    margin = 0 if left_only else width // 4
    for number, state in enumerate(states):
        size, first = len(state.letters), 0
        while first < len(state.asked):
            place = int(state.asked[first])
            start = max(min(place - width // 2, size - width), 0)
            end = min(start + width, size)
            until = end if end == size else max(end - margin, place + 1)
            last = int(np.searchsorted(state.asked, until))
            yield number, start, end, range(first, last)
            first = last


def _fill_confident_first(
    model: PredictsBases, states: Sequence[_State], windows: Sequence[tuple[int, int, int, range]], how: Imputation
) -> None:
    left = [(number, start, end, list(asked)) for number, start, end, asked in windows]
    while left:
        questions = [(number, start, end, index) for number, start, end, asked in left for index in asked]
        answers = _asked(model, states, questions, how.both_strands)
        at, chosen = 0, []
        for number, start, end, asked in left:
            best = int(answers[at : at + len(asked)].max(axis=1).argmax())
            chosen.append((at + best, (number, start, end, asked.pop(best))))
            at += len(asked) + 1
        _decide(states, [question for _, question in chosen], answers[[row for row, _ in chosen]], how.least)
        left = [window for window in left if window[3]]


def _fill_from_left(model: PredictsBases, states: Sequence[_State], how: Imputation) -> None:
    """One base of every chain a round; chains are so far apart that none is in the window of another."""
    left_only = how.reads_left_only(model)
    chains = [
        (number, iter(range(first, last)))
        for number, state in enumerate(states)
        for first, last in _chains(state.asked, how.width)
    ]
    while chains:
        questions: list[Question] = []
        going = []
        for number, chain in chains:
            index = next(chain, None)
            if index is not None:
                questions.append((number, *_own_window(states[number], index, how.width, left_only), index))
                going.append((number, chain))
        if questions:
            _decide(states, questions, _asked(model, states, questions, how.both_strands), how.least)
        chains = going


def _chains(asked: Integers, width: int) -> list[tuple[int, int]]:
    """Ranges of unknown bases whose neighbours are nearer than a window."""
    if not len(asked):
        return []
    cuts = [0, *(np.flatnonzero(np.diff(asked) >= width) + 1).tolist(), len(asked)]
    return list(pairwise(cuts))


def _own_window(state: _State, index: int, width: int, left_only: bool) -> tuple[int, int]:
    """A window that ends with the base, or has it in the middle."""
    place, size = int(state.asked[index]), len(state.letters)
    if left_only:
        return max(place + 1 - width, 0), place + 1
    start = max(min(place - width // 2, size - width), 0)
    return start, min(start + width, size)


def _asked(
    model: PredictsBases, states: Sequence[_State], questions: Sequence[Question], both_strands: bool
) -> NDArray[np.float32]:
    """Log probabilities for questions, float32 (n, 4), of the states as they are."""
    blocks = (questions[start : start + _AT_ONCE] for start in range(0, len(questions), _AT_ONCE))
    return np.concatenate(
        [np.empty((0, 4), dtype=np.float32), *(_asked_together(model, states, block, both_strands) for block in blocks)]
    )


def _asked_together(
    model: PredictsBases, states: Sequence[_State], questions: Sequence[Question], both_strands: bool
) -> NDArray[np.float32]:
    cut: dict[tuple[int, int, int], str] = {}
    windows, positions = [], []
    for number, start, end, index in questions:
        key = number, start, end
        if key not in cut:
            cut[key] = states[number].letters[start:end].tobytes().decode("ascii")
        windows.append(cut[key])
        positions.append(int(states[number].asked[index]) - start)
    forward = np.asarray(model.fill(windows, positions), dtype=np.float32)
    if not both_strands:
        return forward
    turned = {window: reverse_complement(window) for window in set(windows)}
    mirrored = [len(window) - 1 - position for window, position in zip(windows, positions, strict=True)]
    backward = np.asarray(model.fill([turned[window] for window in windows], mirrored), dtype=np.float32)[:, ::-1]
    return averaged(forward, backward)


def averaged(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of log probabilities (n, 4), normalised: the geometric mean of two distributions."""
    mean = (one.astype(np.float64) + other) / 2
    return np.asarray(mean - np.logaddexp.reduce(mean, axis=1, keepdims=True), dtype=np.float32)


def _decide(states: Sequence[_State], questions: Sequence[Question], log_p: NDArray[np.float32], least: float) -> None:
    """Write the best base of each question, in the case of what stood there, unless it is too uncertain."""
    best = log_p.argmax(axis=1)
    sure = np.exp(log_p.max(axis=1).astype(np.float64)) >= least - 1e-6
    for row, (number, _, _, index) in enumerate(questions):
        state = states[number]
        state.log_p[index] = log_p[row]
        state.filled[index] = sure[row]
        if sure[row]:
            place = int(state.asked[index])
            state.letters[place] = _LETTERS[best[row]] | (state.letters[place] & _CASE)
