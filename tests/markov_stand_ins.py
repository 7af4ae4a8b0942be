"""Models whose right answers are known: a first-order Markov chain, asked in every way, which counts its work."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glmbench.models.model import ModelCard

T = np.array([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1], [0.25, 0.05, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1]])
"""p(next | base), rows and columns A, C, G, T; the first base is uniform, as is what follows an unknown base."""


def step(before: str | None, base: str) -> float:
    if base not in "ACGT":
        return 1.0  # an unknown base counts for nothing
    if before is None or before not in "ACGT":
        return 0.25
    return float(T["ACGT".index(before), "ACGT".index(base)])


def chain_log_p(sequence: str) -> float:
    return sum(np.log(step(b, c)) for b, c in zip((None, *sequence), sequence, strict=False))


class _Chain:
    def __init__(self, context: int | None = None) -> None:
        self.card = ModelCard(reference="stand-in:chain", name="chain", fingerprint="chain", context=context)
        self._passes = 0

    @property
    def passes(self) -> int:
        return self._passes

    def _count(self, inputs: Sequence[object]) -> None:
        self._passes += len(set(inputs))


class Left(_Chain):
    """Reads from the left; scores whole sequences exactly."""

    reach = "left"

    def _row(self, sequence: str, position: int) -> np.ndarray:
        before = sequence[position - 1] if position else None
        return np.log([step(before, base) for base in "ACGT"])

    def fill(self, sequences: Sequence[str], positions: Sequence[int]) -> np.ndarray:
        self._count([sequence[:position] for sequence, position in zip(sequences, positions, strict=True)])
        return np.array([self._row(s, p) for s, p in zip(sequences, positions, strict=True)], np.float32)

    def scan(self, sequences: Sequence[str]) -> list[np.ndarray]:
        self._count(sequences)
        return [np.array([self._row(s, p) for p in range(len(s))], np.float32) for s in sequences]

    def log_likelihood(self, sequences: Sequence[str]) -> np.ndarray:
        self._count(sequences)
        return np.array([chain_log_p(sequence) for sequence in sequences])


class Both(_Chain):
    """Knows both neighbours of the hidden base; a single pass sees the base itself too, and believes it a little."""

    reach = "both"

    def _row(self, sequence: str, position: int) -> np.ndarray:
        before = sequence[position - 1] if position else None
        after = sequence[position + 1] if position + 1 < len(sequence) else "N"
        p = np.array([step(before, base) * step(base, after) for base in "ACGT"])
        return np.log(p / p.sum())

    def _seen(self, sequence: str, position: int) -> np.ndarray:
        p = np.exp(self._row(sequence, position))
        if sequence[position] in "ACGT":
            p["ACGT".index(sequence[position])] += 0.5
        return np.log(p / p.sum())

    def fill(self, sequences: Sequence[str], positions: Sequence[int]) -> np.ndarray:
        self._count([(s[:p], s[p + 1 :]) for s, p in zip(sequences, positions, strict=True)])
        return np.array([self._row(s, p) for s, p in zip(sequences, positions, strict=True)], np.float32)

    def scan(self, sequences: Sequence[str]) -> list[np.ndarray]:
        self._count(sequences)
        return [np.array([self._seen(s, p) for p in range(len(s))], np.float32) for s in sequences]


class BothAndLikelihood(Both):
    """With pseudo-log-likelihoods, as masked language models have."""

    def log_likelihood(self, sequences: Sequence[str]) -> np.ndarray:
        self._passes += sum(map(len, sequences))
        return np.array([sum(self._of(s, p) for p in range(len(s))) for s in sequences])

    def _of(self, sequence: str, position: int) -> float:
        known = sequence[position] in "ACGT"
        return float(self._row(sequence, position)["ACGT".index(sequence[position])]) if known else 0.0


class Counting(_Chain):
    """Embeds as counts of bases, weighted by place; predicts two numbers of them."""

    def __init__(self, outputs: tuple[str, ...] = ("low", "high")) -> None:
        super().__init__()
        self.card = self.card.model_copy(update={"outputs": outputs})

    def embed(self, sequences: Sequence[str]) -> np.ndarray:
        self._count(sequences)
        places = [np.arange(1, len(s) + 1) / len(s) for s in sequences]
        letters = [np.array(list(s)) for s in sequences]
        return np.array(
            [[w[x == b].sum() for b in "ACGT"] for w, x in zip(places, letters, strict=True)], dtype=np.float32
        )


class Answering(Counting):
    """Predicts from its embedding."""

    def predict(self, sequences: Sequence[str]) -> np.ndarray:
        x = self.embed(sequences)
        return np.stack([x @ [1, 2, 3, 4], x @ [0, 1, 0, -1]], axis=1).astype(np.float32)
