"""A model that keeps every promise passes; each way of breaking one is found by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from glmbench.errors import DataError, Unsupported
from glmbench.models.conformance import capabilities, check, covers
from glmbench.models.model import ModelCard, States
from glmbench.models.onehot_cnn import load_onehot_cnn
from glmbench.models.reference import parse_reference
from glmbench.sequences.encoding import reverse_complement

MARKOV = np.log(np.array([[4, 3, 2, 1], [1, 4, 3, 2], [2, 1, 4, 3], [3, 2, 1, 4]]) / 10)
"""Of the next base given the one before; an unknown base, or none, says nothing."""
UNKNOWN = np.full(4, -np.log(4))


class FirstOrder:
    """An order-1 Markov model as a model of all capabilities but Trainable: every answer can be worked out by hand."""

    reach = "left"

    def __init__(self, **card: Any) -> None:
        self.card = ModelCard(reference="markov:1", name="markov", fingerprint="0" * 64, **card)
        self._held: tuple[int, float] | None = None

    def _rows(self, sequence: str) -> NDArray[np.float32]:
        before = ["ACGT".find(base) for base in "N" + sequence.upper()[:-1]]
        return np.array([UNKNOWN if base < 0 else MARKOV[base] for base in before], dtype=np.float32)

    def embed(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([self._rows(sequence).mean(axis=0) for sequence in sequences])

    def fill(self, sequences: Sequence[str], positions: Sequence[int]) -> NDArray[np.float32]:
        return np.stack([self._rows(text)[at] for text, at in zip(sequences, positions, strict=True)])

    def scan(self, sequences: Sequence[str]) -> list[NDArray[np.float32]]:
        return [self._rows(sequence) for sequence in sequences]

    def log_likelihood(self, sequences: Sequence[str]) -> NDArray[np.float64]:
        return np.array([self._of(text.upper()) for text in sequences])

    def _of(self, text: str) -> float:
        return sum(row["ACGT".index(base)] for row, base in zip(self._rows(text), text, strict=True) if base in "ACGT")

    def predict(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        return np.exp(self.embed(sequences))

    def layers(self) -> tuple[str, ...]:
        return ("rows",)

    def states(self, sequences: Sequence[str], layer: str) -> list[States]:
        made = []
        for text in sequences:
            values = self._rows(text)
            if self._held is not None:
                values[:, self._held[0]] = self._held[1]
            made.append(States(values, np.arange(len(text)), np.arange(len(text)) + 1))
        return made

    @contextmanager
    def clamped(self, layer: str, unit: int, value: float) -> Iterator[None]:
        self._held = unit, value
        try:
            yield
        finally:
            self._held = None


def problems(model: Any) -> list[str]:
    return [finding.what for finding in check(model) if not finding.ok]


def test_a_model_that_keeps_its_promises_passes() -> None:
    model = FirstOrder(outputs=("a", "c", "g", "t"))
    assert capabilities(model) == ("Embeds", "PredictsBases", "ScoresSequences", "Predicts", "Inspectable")
    assert problems(model) == []


def test_what_trains_is_tried() -> None:
    found = list(check(load_onehot_cnn(parse_reference("onehot-cnn"))))
    assert [finding.what for finding in found] == [
        "capabilities", "trainable: shape", "trainable: gradients reach the weights",
    ]  # fmt: skip
    assert all(finding.ok for finding in found)


def test_sequences_have_the_one_length_that_a_model_reads() -> None:
    seen: set[int] = set()

    class OneLength(FirstOrder):
        def embed(self, sequences: Sequence[str]) -> NDArray[np.float32]:
            seen.update(map(len, sequences))
            return super().embed(sequences)

    assert problems(OneLength(input_length=30)) == []
    assert seen == {30}


class CaseMatters(FirstOrder):
    def embed(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        return super().embed(sequences) * (1 + np.array([[text.islower()] for text in sequences]))


class BatchMatters(FirstOrder):
    def embed(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        return super().embed(sequences) * len(sequences)


class SeesTheBase(FirstOrder):
    def fill(self, sequences: Sequence[str], positions: Sequence[int]) -> NDArray[np.float32]:
        rows = super().fill(sequences, positions)
        for row, text, at in zip(rows, sequences, positions, strict=True):
            row[:] = np.log(0.1)
            row["ACGT".find(text[at])] = np.log(0.7)
        return rows


class NotNormalised(FirstOrder):
    def fill(self, sequences: Sequence[str], positions: Sequence[int]) -> NDArray[np.float32]:
        return super().fill(sequences, positions) - 1


class ReadsBothSides(FirstOrder):
    def fill(self, sequences: Sequence[str], positions: Sequence[int]) -> NDArray[np.float32]:
        turned = [text[::-1] for text in sequences]
        return super().fill(turned, [len(text) - 1 - at for text, at in zip(sequences, positions, strict=True)])


class SpansWithGaps(FirstOrder):
    def states(self, sequences: Sequence[str], layer: str) -> list[States]:
        return [States(one.values, one.starts, one.ends - 1) for one in super().states(sequences, layer)]


class DoesNotHold(FirstOrder):
    @contextmanager
    def clamped(self, layer: str, unit: int, value: float) -> Iterator[None]:
        yield


class HoldsForever(FirstOrder):
    @contextmanager
    def clamped(self, layer: str, unit: int, value: float) -> Iterator[None]:
        self._held = unit, value
        yield


class MoreThanCertain(FirstOrder):
    def log_likelihood(self, sequences: Sequence[str]) -> NDArray[np.float64]:
        return -super().log_likelihood(sequences)


class CutsSilently(FirstOrder):
    def embed(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        return super().embed([text[:100] for text in sequences])


class NamesTooFew(FirstOrder):
    def predict(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        return super().predict(sequences)[:, :3]


class Breaks(FirstOrder):
    def predict(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        raise ZeroDivisionError("a bug of the adapter")


class NotANumber(FirstOrder):
    def embed(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        return super().embed(sequences) * np.nan


class Refuses(FirstOrder):
    def log_likelihood(self, sequences: Sequence[str]) -> NDArray[np.float64]:
        raise DataError("no such thing")


@pytest.mark.parametrize(
    ("broken", "found"),
    [
        (CaseMatters, "embed: the same in lower case"),
        (BatchMatters, "embed: the same alone and in a batch"),
        (SeesTheBase, "fill: the base at the position makes no difference"),
        (NotNormalised, "fill: probabilities sum to 1"),
        (ReadsBothSides, "fill: what stands to the right makes no difference"),
        (ReadsBothSides, "scan equals fill"),
        (SpansWithGaps, "states of rows: spans cover the sequence"),
        (DoesNotHold, "clamped: the unit has the value"),
        (HoldsForever, "clamped: over after the context"),
        (MoreThanCertain, "log_likelihood: no probability above 1"),
        (CutsSilently, "longest input: 800 bp"),
        (NamesTooFew, "predict: shape"),
        (Breaks, "predict"),
        (NotANumber, "embed: finite"),
        (Refuses, "log_likelihood"),
    ],
)
def test_a_broken_promise_is_found(broken: type[FirstOrder], found: str) -> None:
    assert found in problems(broken(context=100, outputs=("a", "c", "g", "t")))


class BothStrands(FirstOrder):
    """Averages over the strands, so that they do not matter."""

    def embed(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        return sum(super(BothStrands, self).embed(one) for one in (sequences, list(map(reverse_complement, sequences))))

    reach = "both"

    def fill(self, sequences: Sequence[str], positions: Sequence[int]) -> NDArray[np.float32]:
        other = [len(text) - 1 - at for text, at in zip(sequences, positions, strict=True)]
        turned = super().fill(list(map(reverse_complement, sequences)), other)[:, ::-1]
        log_p = (super().fill(sequences, positions) + turned) / 2
        return log_p - np.logaddexp.reduce(log_p, axis=1, keepdims=True)


def test_what_says_that_strands_do_not_matter_is_held_to_it() -> None:
    assert problems(BothStrands(strands="both", outputs=("a", "c", "g", "t"))) == []
    broken = problems(FirstOrder(strands="both", outputs=("a", "c", "g", "t")))
    assert broken == [f"{what}: both strands give the same" for what in ("embed", "fill", "predict")]


def test_a_refused_scan_is_no_problem_and_a_refused_fill_is_one() -> None:
    class NoScan(FirstOrder):
        def scan(self, sequences: Sequence[str]) -> list[NDArray[np.float32]]:
            raise Unsupported("tokens are longer than a base")

    class NoFill(FirstOrder):
        def fill(self, sequences: Sequence[str], positions: Sequence[int]) -> NDArray[np.float32]:
            raise Unsupported("no")

    assert problems(NoScan()) == []
    assert "fill" in problems(NoFill())


def test_a_model_that_can_do_nothing_is_a_problem() -> None:
    class Nothing:
        card = ModelCard(reference="x", name="x", fingerprint="0")

    assert problems(Nothing()) == ["capabilities"]


@pytest.mark.parametrize(
    ("starts", "ends", "length", "whole"),
    [
        ([-1, 0, 3, -1], [-1, 3, 7, -1], 7, True),  # special tokens on both ends
        ([0, 1, 2], [3, 4, 5], 5, True),  # overlapping k-mers
        ([0, 4], [3, 7], 7, False),  # a gap
        ([1], [7], 7, False),  # begins late
        ([0], [6], 7, False),  # ends early
        ([3, 0], [7, 3], 7, False),  # out of order
        ([0, 3, 3], [3, 3, 7], 7, False),  # a token of nothing
        ([-1], [-1], 7, False),
    ],
)
def test_spans_cover(starts: list[int], ends: list[int], length: int, whole: bool) -> None:
    states = States(np.zeros((len(starts), 1), np.float32), np.array(starts), np.array(ends))
    assert covers(states, length) is whole
