"""Each mode's scores of placed changes. Strands are averaged where the scores are, of both directions.

Every scorer takes placed changes and gives one row of float64 scores each, in the order of its `names`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from glmbench.methods.variant_effect.definitions import DIFFERENCE, ENTROPY_FLOOR, OF_MODE, Mode, Strands
from glmbench.methods.variant_effect.memory import Memory
from glmbench.methods.variant_effect.placing import Placed
from glmbench.models.model import Embeds, Model, Predicts, PredictsBases, ScoresSequences
from glmbench.sequences.alphabet import BASES
from glmbench.sequences.encoding import reverse_complement

Rows = NDArray[np.float64]
Base = tuple[str, int]
"""A window and a position in it."""


class Scorer(Protocol):
    """A mode with its model."""

    names: tuple[str, ...]
    """Of the columns; those of a predictor are known once it has been asked."""

    def score(self, placed: Sequence[Placed]) -> Rows:
        """Scores of placed changes, float64 (n, names)."""


def scorer(mode: Mode, model: Model, strands: Strands) -> Scorer:
    """The scorer of a mode; the model can answer in it."""
    if mode in ("masked", "single-pass"):
        return BaseScorer(cast(PredictsBases, model), strands, single_pass=mode == "single-pass")
    if mode == "likelihood":
        return LikelihoodScorer(cast(ScoresSequences, model), strands)
    if mode == "embedding":
        return EmbeddingScorer(cast(Embeds, model), strands)
    return PredictionScorer(cast(Predicts, model), strands)


class BaseScorer:
    """Substitutions by the distribution over the four bases at each place that they change.

    All alleles of a place are read off one distribution; of an MNV the ratios of its bases are added up, each with the
    reference around it. Strands are averaged as log probabilities (then normalised again), so that `llr` is the mean
    of both.
    """

    names = OF_MODE["masked"]

    def __init__(self, model: PredictsBases, strands: Strands, *, single_pass: bool) -> None:
        self._model, self._both, self._single_pass = model, strands == "both", single_pass
        self._fill: Memory[Base, NDArray[np.float64]] = Memory(self._ask_fill)
        self._scan: Memory[str, NDArray[np.float64]] = Memory(self._ask_scan)

    def score(self, placed: Sequence[Placed]) -> Rows:
        """See `Scorer`."""
        places = [
            (row, at) for row, each in enumerate(placed) for at, (ref, alt) in enumerate(_bases(each)) if ref != alt
        ]
        forward = [(placed[row].reference, placed[row].offset + at) for row, at in places]
        log_p = self._log_probabilities(forward)
        letters = np.array([[BASES.index(base) for base in _bases(placed[row])[at]] for row, at in places])
        llr = _difference(log_p, letters)
        entropy = -np.sum(np.exp(log_p) * np.where(np.isneginf(log_p), 0.0, log_p), axis=1)
        rows = np.array([row for row, _ in places])
        counts = np.bincount(rows, minlength=len(placed))
        sums = [np.bincount(rows, weights, len(placed)) for weights in _terms(llr, entropy)]
        return np.stack([sums[0], np.abs(sums[0]), sums[1], sums[2] / counts], axis=1)

    def _log_probabilities(self, forward: list[Base]) -> Rows:
        """Log probabilities of A, C, G, T, (n, 4), over the strands asked for."""
        other = [(reverse_complement(window), len(window) - 1 - at) for window, at in forward] if self._both else []
        answers = self._answers(forward + other)
        log_p = np.stack(answers[: len(forward)])
        if not self._both:
            return log_p
        mean: Rows = (log_p + np.stack(answers[len(forward) :])[:, ::-1]) / 2
        return mean - np.logaddexp.reduce(mean, axis=1, keepdims=True)

    def _answers(self, questions: list[Base]) -> list[NDArray[np.float64]]:
        if self._single_pass:
            scanned = self._scan(window for window, _ in questions)
            return [scanned[window][at] for window, at in questions]
        filled = self._fill(questions)
        return [filled[question] for question in questions]

    def _ask_fill(self, questions: Sequence[Base]) -> Iterable[NDArray[np.float64]]:
        log_p = self._model.fill([window for window, _ in questions], [at for _, at in questions])
        return log_p.astype(np.float64)

    def _ask_scan(self, windows: Sequence[str]) -> Iterable[NDArray[np.float64]]:
        return (rows.astype(np.float64) for rows in self._model.scan(windows))


class LikelihoodScorer:
    """The likelihood of the alternative window less that of the reference window."""

    names = OF_MODE["likelihood"]

    def __init__(self, model: ScoresSequences, strands: Strands) -> None:
        self._both = strands == "both"
        self._likelihoods: Memory[str, float] = Memory(lambda windows: model.log_likelihood(windows).tolist())

    def score(self, placed: Sequence[Placed]) -> Rows:
        """See `Scorer`."""
        pairs = _pairs(placed, self._both)
        found = self._likelihoods(window for pair in pairs for window in pair)
        differences = np.array([found[alternative] - found[reference] for reference, alternative in pairs])
        llr = _over_strands(differences, len(placed))
        return np.stack([llr, np.abs(llr)], axis=1)


class EmbeddingScorer:
    """Distances of the pooled embeddings of both windows; over both strands the mean of the distances."""

    names = OF_MODE["embedding"]

    def __init__(self, model: Embeds, strands: Strands) -> None:
        self._model, self._both = model, strands == "both"
        self._embeddings: Memory[str, NDArray[np.float64]] = Memory(self._embed)

    def score(self, placed: Sequence[Placed]) -> Rows:
        """See `Scorer`."""
        pairs = _pairs(placed, self._both)
        found = self._embeddings(window for pair in pairs for window in pair)
        distances = np.array([_distances(found[alternative], found[reference]) for reference, alternative in pairs])
        return _over_strands(distances, len(placed))

    def _embed(self, windows: Sequence[str]) -> Iterable[NDArray[np.float64]]:
        features = self._model.embed(windows)
        dense = features if isinstance(features, np.ndarray) else features.toarray()
        return dense.astype(np.float64)


class PredictionScorer:
    """Predictions of the alternative window less those of the reference window, one column an output."""

    def __init__(self, model: Predicts, strands: Strands) -> None:
        self._model, self._both = model, strands == "both"
        self._predictions: Memory[str, NDArray[np.float64]] = Memory(self._predict)
        named = model.card.outputs if len(set(model.card.outputs)) == len(model.card.outputs) else ()
        self.names: tuple[str, ...] = tuple(DIFFERENCE + name for name in named)  # of the same name: by number

    def score(self, placed: Sequence[Placed]) -> Rows:
        """See `Scorer`."""
        pairs = _pairs(placed, self._both)
        found = self._predictions(window for pair in pairs for window in pair)
        differences = np.array([found[alternative] - found[reference] for reference, alternative in pairs])
        if len(self.names) != differences.shape[1]:
            self.names = tuple(f"{DIFFERENCE}{number}" for number in range(differences.shape[1]))
        return _over_strands(differences, len(placed))

    def _predict(self, windows: Sequence[str]) -> Iterable[NDArray[np.float64]]:
        return self._model.predict(windows).astype(np.float64)


def _bases(placed: Placed) -> list[tuple[str, str]]:
    return list(zip(placed.change.ref, placed.change.alt, strict=True))


def _difference(log_p: Rows, letters: NDArray[np.int64]) -> NDArray[np.float64]:
    """The log ratio of alt to ref; NaN where both are impossible."""
    ref, alt = (np.take_along_axis(log_p, letters[:, [column]], axis=1)[:, 0] for column in (0, 1))
    with np.errstate(invalid="ignore"):
        difference: NDArray[np.float64] = alt - ref
    return difference


def _terms(
    llr: NDArray[np.float64], entropy: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """What is added up over the places of a change."""
    return llr, llr / np.maximum(entropy, ENTROPY_FLOOR), entropy


def _pairs(placed: Sequence[Placed], both: bool) -> list[tuple[str, str]]:
    """Reference and alternative windows, first all of the forward strand, then all of the other."""
    forward = [(each.reference, each.alternative) for each in placed]
    if not both:
        return forward
    return forward + [(reverse_complement(ref), reverse_complement(alt)) for ref, alt in forward]


def _over_strands(values: Rows, changes: int) -> Rows:
    """Mean over the strands that `_pairs` put one after the other."""
    mean: Rows = values.reshape(-1, changes, *values.shape[1:]).mean(axis=0)
    return mean


def _distances(alternative: NDArray[np.float64], reference: NDArray[np.float64]) -> tuple[float, ...]:
    """Cosine distance, L1, L2 and inner product, in the order of `OF_MODE`."""
    dot = float(alternative @ reference)
    norms = float(np.linalg.norm(alternative) * np.linalg.norm(reference))
    difference = alternative - reference
    cosine = 1 - dot / norms if norms else float("nan")
    return cosine, float(np.abs(difference).sum()), float(np.linalg.norm(difference)), dot
