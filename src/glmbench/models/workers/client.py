"""A worker's model as a model of ours: it has the capabilities that the adapter has, and no others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import DataError
from glmbench.models.model import ModelCard, Reach, States
from glmbench.models.workers import answers, protocol
from glmbench.models.workers.worker import Description, Worker
from glmbench.progress import progress

CHUNK = 64
"""Sequences of one request."""
_SOME_LENGTH = 64
"""Bases that are embedded to learn the number of features, where nothing is asked."""

Advance = Callable[[int], None]


class WorkerModel:
    """What every model of a worker has: a card. `model_of` adds the rest."""

    def __init__(self, worker: Worker, card: ModelCard, described: Description, chunk: int = CHUNK) -> None:
        self.worker, self._card, self._described, self._chunk = worker, card, described, chunk

    @property
    def card(self) -> ModelCard:
        """The card made on loading."""
        return self._card

    def asked(
        self,
        method: str,
        sequences: Sequence[str],
        *,
        arguments: dict[str, Any] | None = None,
        positions: Sequence[int] | None = None,
        advance: Advance | None = None,
    ) -> Iterator[tuple[Sequence[str], dict[str, Any]]]:
        """Sequences of one request after the other, and the arrays that the worker answered for them.

        Without `advance` a bar of our own is drawn where there is more than one request.
        """
        starts = range(0, len(sequences), self._chunk)
        if advance is None and len(starts) > 1:
            with progress(f"{method}: {self.card.name}", total=len(sequences)) as bar:
                yield from self.asked(method, sequences, arguments=arguments, positions=positions, advance=bar.advance)
            return
        for start in starts:
            part = sequences[start : start + self._chunk]
            arrays = protocol.pack_sequences(part)
            if positions is not None:
                arrays["positions"] = np.asarray(positions[start : start + self._chunk], dtype="<i8")
            yield part, self.worker.request(method, arguments, arrays).arrays
            if advance is not None:
                advance(len(part))


def model_of(worker: Worker, card: ModelCard, chunk: int = CHUNK) -> WorkerModel:
    """The model of a worker, with exactly the capabilities of its adapter.

    Raises:
        WorkerError: the worker does not start, or its adapter does not load.
        DataError: the adapter has none of the capabilities, or half of one.
    """
    described = worker.describe()
    return _class_of(_capabilities(card.name, described))(worker, card, described, chunk)


def _capabilities(name: str, described: Description) -> frozenset[str]:
    here = set(described.methods) | ({"reach"} if described.reach is not None else set())
    found = {capability for capability, needs in _NEEDS.items() if here >= needs}
    for capability, needs in _NEEDS.items():
        if capability not in found and here & needs:
            lacking = ", ".join(sorted(needs - here))
            raise DataError(
                f"model {name!r}: its adapter has {', '.join(sorted(here & needs))} but not {lacking}, which "
                f"{capability} needs too"
            )
    if not found:
        wanted = "; ".join(f"{', '.join(sorted(needs))} ({capability})" for capability, needs in _NEEDS.items())
        raise DataError(f"model {name!r}: its adapter has nothing to ask for; want some of: {wanted}")
    return frozenset(found | ({"CountsPasses"} if described.counts_passes else set()))


@cache
def _class_of(capabilities: frozenset[str]) -> type[WorkerModel]:
    """A class with the methods of these capabilities: `isinstance` asks for methods, so it must have no others."""
    members = {key: member for capability in sorted(capabilities) for key, member in _MEMBERS[capability].items()}
    return type("WorkerModel", (WorkerModel,), {"__module__": __name__, "__doc__": WorkerModel.__doc__, **members})


def _embed(self: WorkerModel, sequences: Sequence[str]) -> NDArray[np.float32]:
    """Features, float32 (batch, dim)."""
    return _embed_with(self, sequences, None)


def _embed_reporting(self: WorkerModel, sequences: Sequence[str], advance: Advance) -> NDArray[np.float32]:
    """As `embed`, calling `advance` with the number of sequences finished since the last call."""
    return _embed_with(self, sequences, advance)


def _embed_with(self: WorkerModel, sequences: Sequence[str], advance: Advance | None) -> NDArray[np.float32]:
    if not sequences:
        return _embed_with(self, [_some_bases(self.card)], None)[:0]
    parts: list[NDArray[np.float32]] = []
    for part, arrays in self.asked("embed", sequences, advance=advance):
        width = parts[0].shape[1] if parts else None
        parts.append(answers.matrix(self.card.name, "embed", arrays, len(part), width))
    return np.concatenate(parts)


def _some_bases(card: ModelCard) -> str:
    length = card.input_length or _SOME_LENGTH
    return ("ACGT" * length)[:length]


def _reach(self: WorkerModel) -> Reach:
    """Which side of a base the model reads to predict it."""
    assert self._described.reach is not None
    return self._described.reach


def _fill(self: WorkerModel, sequences: Sequence[str], positions: Sequence[int]) -> NDArray[np.float32]:
    """Log probabilities of the base at one position of each sequence, float32 (n, 4)."""
    for sequence, position in zip(sequences, positions, strict=True):
        if not 0 <= position < len(sequence):
            raise DataError(f"position {position} is outside its sequence of {len(sequence)} bases (0-based)")
    name = self.card.name
    parts = [
        answers.distributions(name, "fill", answers.matrix(name, "fill", arrays, len(part), 4))
        for part, arrays in self.asked("fill", sequences, positions=positions)
    ]
    return np.concatenate([np.empty((0, 4), dtype=np.float32), *parts])


def _scan(self: WorkerModel, sequences: Sequence[str]) -> list[NDArray[np.float32]]:
    """Log probabilities of every base of each sequence, float32 (length, 4) each."""
    name = self.card.name
    return [rows for part, arrays in self.asked("scan", sequences) for rows in answers.per_base(name, arrays, part)]


def _log_likelihood(self: WorkerModel, sequences: Sequence[str]) -> NDArray[np.float64]:
    """Log likelihood in nats, float64 (batch,)."""
    method = "log_likelihood"
    asked = self.asked(method, sequences)
    parts = [answers.vector(self.card.name, method, arrays, len(part)) for part, arrays in asked]
    return np.concatenate([np.empty(0), *parts])


def _predict(self: WorkerModel, sequences: Sequence[str]) -> NDArray[np.float32]:
    """Scores, float32 (batch, outputs)."""
    if not sequences:
        return _predict(self, [_some_bases(self.card)])[:0]
    width = len(self.card.outputs) or None
    parts: list[NDArray[np.float32]] = []
    for part, arrays in self.asked("predict", sequences):
        parts.append(answers.matrix(self.card.name, "predict", arrays, len(part), width))
        width = parts[0].shape[1]
    return np.concatenate(parts)


def _layers(self: WorkerModel) -> tuple[str, ...]:
    """Names of the layers, first to last."""
    return tuple(self.worker.request("layers").header["value"])


def _states(self: WorkerModel, sequences: Sequence[str], layer: str) -> list[States]:
    """What a layer makes of each sequence."""
    asked = self.asked("states", sequences, arguments={"layer": layer})
    return [found for part, arrays in asked for found in answers.states(self.card.name, arrays, part)]


@contextmanager
def _clamped(self: WorkerModel, layer: str, unit: int, value: float) -> Iterator[None]:
    """Within the context, a unit of a layer has this value at every place."""
    self.worker.hold(layer, unit, value)
    try:
        yield
    finally:
        self.worker.let_go()


def _passes(self: WorkerModel) -> int:
    """Inputs that went through the network since the model was loaded."""
    return self.worker.passes


_NEEDS = {
    "Embeds": {"embed"},
    "PredictsBases": {"reach", "fill", "scan"},
    "ScoresSequences": {"log_likelihood"},
    "Predicts": {"predict"},
    "Inspectable": {"layers", "states", "clamped"},
}
"""What an adapter must have to be each of these."""

_MEMBERS: dict[str, dict[str, Any]] = {
    "Embeds": {"embed": _embed, "embed_reporting": _embed_reporting},
    "PredictsBases": {"reach": property(_reach), "fill": _fill, "scan": _scan},
    "ScoresSequences": {"log_likelihood": _log_likelihood},
    "Predicts": {"predict": _predict},
    "Inspectable": {"layers": _layers, "states": _states, "clamped": _clamped},
    "CountsPasses": {"passes": property(_passes)},
}
