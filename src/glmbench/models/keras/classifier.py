"""Keras networks with classes or numbers as output."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import DataError
from glmbench.models.keras.keras_model import KerasModel
from glmbench.models.keras.runner import chunks
from glmbench.models.keras.windows import gather, whole
from glmbench.networks.keras.dense import Activation, Dense
from glmbench.sequences.alphabet import encode_batch


class KerasClassifier(KerasModel):
    """Also Predicts."""

    @property
    def classes(self) -> int:
        """Columns of `predict`."""
        return 2 if self._is_binary() else self._network.output_shapes[0][0] or 0

    def predict(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        """The network's outputs, float32 (batch, outputs); several windows of a sequence are averaged.

        One output behind a sigmoid is the probability of the second of two classes, and becomes two columns.

        Raises:
            Unsupported: a sequence is longer or shorter than the network reads, and the reference does not say what
                to do then.
            DataError: there is none, one is empty, or a letter is no nucleotide code.
        """
        if not sequences:
            raise DataError("there are no sequences to predict; wanted at least one")
        batch = encode_batch(sequences)
        total: NDArray[np.float64] | None = None
        for windows in whole(self._kind, batch.lengths, self._reading.overflow, pad=self._reading.pad):
            for part in chunks(len(windows.sequence), windows.width):
                codes = gather(batch, windows.sequence[part], windows.first[part], windows.width)
                outputs = self._runner.outputs(codes)
                total = np.zeros((len(sequences), outputs.shape[1])) if total is None else total
                share = 1 / np.bincount(windows.sequence)[windows.sequence[part]]
                np.add.at(total, windows.sequence[part], outputs * share[:, None])
        assert total is not None  # there is a window of every sequence
        scores = total.astype(np.float32)
        return np.concatenate((1 - scores, scores), axis=1) if self._is_binary() else scores

    def _is_binary(self) -> bool:
        last = self._network.layer(self._network.spec.outputs[0][0])
        ends = isinstance(last, Dense | Activation) and last.function == "sigmoid"
        return ends and self._network.output_shapes[0] == (1,)
