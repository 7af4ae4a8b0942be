"""Checkpoints with a classification head, as they come from fine-tuning: `Predicts`, and all that an encoder is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import DataError
from glmbench.models.huggingface.encoder import HuggingFaceModel, Settings
from glmbench.models.huggingface.pooling import pool_windows
from glmbench.models.model import ModelCard
from glmbench.progress import progress

if TYPE_CHECKING:
    from torch import Tensor

    from glmbench.models.huggingface.network import LoadedNetwork


class Classifier(HuggingFaceModel):
    """A network with a classification or regression head.

    What its outputs are, the configuration says: `problem_type`, else one label is a regression and several are
    classes that exclude each other. Windows of a long sequence are averaged, weighted by their tokens.
    """

    def __init__(
        self, network: LoadedNetwork, tokenizer: Any, config: Any, settings: Settings, card: ModelCard
    ) -> None:
        super().__init__(network, tokenizer, config, settings, card)
        labels = getattr(config, "id2label", None) or {}
        names = tuple(str(labels[index]) for index in sorted(labels))
        self._card = self._card.model_copy(update={"outputs": names})

    def predict(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        """Probabilities of the labels, float32 (batch, labels): of each row they sum to 1, unless several can hold.

        Of a regression its outputs as they are, (batch, outputs).

        Raises:
            Unsupported: a sequence is longer than the context (and no overflow was chosen).
            DataError: there are no sequences, one has no token, or a score is not finite.
        """
        pieces = self._reader.read(sequences).pieces
        if not pieces:
            raise DataError("there are no sequences to predict; wanted at least one")
        rows: list[Sequence[int]] = [piece.ids for piece in pieces]
        scores: NDArray[np.float32] | None = None
        with progress(f"predicting by {self._card.name}", total=len(rows)) as bar:
            for batch, logits in self._runner.labels(rows):
                found = self._scores(logits).cpu().numpy()
                if scores is None:
                    scores = np.empty((len(pieces), found.shape[1]), dtype=np.float32)
                scores[batch] = found
                bar.advance(len(batch))
        assert scores is not None
        self._check_finite(scores)
        if len(pieces) == len(sequences):
            return scores
        owners = np.array([piece.sequence for piece in pieces])
        weights = np.array([piece.tokens for piece in pieces], dtype=np.float32)
        return pool_windows(scores, owners, weights, len(sequences), "mean")

    def _scores(self, logits: Tensor) -> Tensor:
        """Probabilities, or the logits of a regression, (rows, labels)."""
        problem = getattr(self._config, "problem_type", None)
        if problem == "multi_label_classification":
            return logits.sigmoid()
        if problem == "regression" or (problem is None and logits.shape[1] == 1):
            return logits
        return logits.softmax(1)
