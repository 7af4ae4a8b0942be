"""A network after training, as a predictor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from glmbench.models.fitted.building import Form
from glmbench.models.fitted.target import Target
from glmbench.models.model import Input, ModelCard
from glmbench.models.reporting import NotesInput
from glmbench.sequences.encoding import reverse_complement
from glmbench.training.batches import Collate, Encoded

if TYPE_CHECKING:
    from torch import Tensor, nn

ROWS = 512
"""In a batch at most."""
CHUNK = 4096
"""Sequences encoded at a time: memory does not grow with their number."""


class _Trained:
    """A network after training.

    Args:
        card: of the model it came from.
        module: trained, in evaluation mode.
        collate: makes its batches.
        target: what its outputs mean.
        form: how module and collate were built.
        precision: of its arithmetic.
        reverse_complements: average the answers for both strands.
        batch_codes: bases or tokens in a batch at most, where rows are long.
    """

    def __init__(
        self,
        card: ModelCard,
        module: nn.Module,
        collate: Collate,
        target: Target,
        *,
        form: Form,
        precision: Literal["fp32", "bf16"],
        reverse_complements: bool = False,
        batch_codes: int | None = None,
    ) -> None:
        self.card = card
        self.module, self.collate, self.target, self.form = module, collate, target, form
        self.precision: Literal["fp32", "bf16"] = precision
        self.reverse_complements, self.batch_codes = reverse_complements, batch_codes

    def notes(self, sequences: Sequence[Input]) -> dict[str, int | float]:
        """What became of sequences on their way in, where the collate says it; see `models.reporting.NotesInput`."""
        return self.collate.notes(sequences) if isinstance(self.collate, NotesInput) else {}

    def _answers(self, sequences: Sequence[Input]) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Places of sequences, and what the network says of them, batch by batch."""
        import torch

        from glmbench.training.precision import resolve

        device = next(self.module.parameters()).device
        precision = resolve(self.precision, device)
        for start in range(0, len(sequences), CHUNK):
            encoded = self.collate.encode(sequences[start : start + CHUNK])
            for rows in _by_length(encoded, self.batch_codes):
                with torch.inference_mode(), precision.matmuls(), precision.forward(device):
                    scores = self.target.decode(self.module(*_moved(self.collate.batch(encoded, rows), device)))
                yield start + rows, scores


class TrainedNetwork(_Trained):
    """A network that answers for whole sequences: in probabilities, or in the unit of a regression's labels."""

    def predict(self, sequences: Sequence[Input]) -> NDArray[np.float32]:
        """Probabilities (sequences, classes or labels), or values (sequences, 1); independent of what else is asked.

        Raises:
            Unsupported: a sequence is too long for it.
        """
        out = np.empty((len(sequences), self.target.outputs), np.float32)
        for rows, scores in self._answers(sequences):
            out[rows] = scores.cpu().numpy()
        if self.reverse_complements:
            for rows, scores in self._answers([reverse_complemented(sequence) for sequence in sequences]):
                out[rows] += scores.cpu().numpy()
            out /= 2
        return out


class TrainedOnBases(_Trained):
    """A network that answers for every base."""

    def predict_bases(self, sequences: Sequence[str]) -> list[NDArray[np.float32]]:
        """Probabilities of the classes of every base of each sequence, float32 (length, classes) each.

        Raises:
            Unsupported: a sequence is too long for it.
        """
        found: list[NDArray[np.float32]] = [np.empty((0, self.target.outputs), np.float32)] * len(sequences)
        for rows, scores in self._answers(sequences):
            for row, answer in zip(rows.tolist(), scores.cpu().numpy(), strict=True):
                found[row] = answer[: len(sequences[row])].copy()
        return found


Trained = TrainedNetwork | TrainedOnBases


def reverse_complemented(sequence: Input) -> Input:
    """The other strand of a sequence, or of both of a pair."""
    if isinstance(sequence, str):
        return reverse_complement(sequence)
    return reverse_complement(sequence[0]), reverse_complement(sequence[1])


def _moved(inputs: tuple[Any, ...], device: Any) -> Iterator[Any]:
    return (x if x is None else x.to(device) for x in inputs)


def _by_length(encoded: Encoded, codes: int | None) -> list[NDArray[np.int64]]:
    """Rows in batches, the shortest first."""
    work = encoded.work
    order = np.argsort(work, kind="stable").astype(np.int64)
    batches, start = [], 0
    while start < len(order):
        rows = order[start : start + ROWS]
        if codes is not None:
            fits = work[rows] * np.arange(1, len(rows) + 1) <= codes  # padded to the longest, the last
            rows = rows[: max(1, int(fits.sum()))]
        batches.append(rows)
        start += len(rows)
    return batches
