"""The control `onehot-cnn`: a small convolutional network on one-hot bases, trained from scratch by a method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import UsageError
from glmbench.models.model import Input, ModelCard
from glmbench.models.reference import ModelReference, Options, refuse_revision
from glmbench.networks.configs import OneHotBaseCNNConfig, OneHotCNNConfig
from glmbench.sequences.alphabet import N, encode_batch
from glmbench.sequences.encoding import one_hot
from glmbench.storage.hashing import sha256_json
from glmbench.training.batches import Encoded

if TYPE_CHECKING:
    from torch import Tensor, nn

VERSION = 1
"""Grows whenever the same configuration and seed would give other numbers."""


CONFIG = OneHotCNNConfig()
BASE_CONFIG = OneHotBaseCNNConfig()
GAP = "N" * 20
"""Between the two sequences of a pair."""


def load_onehot_cnn(
    reference: ModelReference, *, trust_remote_code: bool = False, offline: bool = False
) -> OneHotCNNModel:
    """The model of `onehot-cnn`.

    Raises:
        UsageError: the reference has a locator, a revision or an option.
    """
    refuse_revision(reference)
    Options(reference).finish()
    if reference.locator:
        raise UsageError(f"model reference {str(reference)!r}: wanted onehot-cnn with nothing after it")
    return OneHotCNNModel()


class OneHotCNNModel:
    """The one-hot CNN before any training."""

    @cached_property
    def card(self) -> ModelCard:
        """The card; its fingerprint covers the sizes and the version of the network's code."""
        return ModelCard(
            reference="onehot-cnn",
            name="one-hot CNN",
            kind="control",
            fingerprint=sha256_json({"model": "onehot-cnn", "version": VERSION, "config": asdict(CONFIG)}),
            description="Convolutional network on one-hot bases with no pre-training: what the labels alone can teach.",
            tokenizer="bases",
            parameters=CONFIG.parameters,
            weights="fresh",
        )

    def trainable(self, outputs: int, *, seed: int, per_base: bool = False) -> tuple[nn.Module, OneHotCollate]:
        """A fresh network with `outputs` outputs, its weights drawn from `seed`, and its collate.

        For single bases it is another network, without pooling: `networks.onehot_cnn.OneHotBaseCNN`.
        """
        import torch

        from glmbench.networks.onehot_cnn import OneHotBaseCNN, OneHotCNN

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if per_base:
                return OneHotBaseCNN(replace(BASE_CONFIG, outputs=outputs)), OneHotCollate()
            return OneHotCNN(replace(CONFIG, outputs=outputs)), OneHotCollate()


class OneHotCollate:
    """Bases as one byte each in memory; one-hot made for each batch."""

    def encode(self, sequences: Sequence[Input]) -> Encoded:
        """Base codes; N and other ambiguity codes become zero columns. Pairs stand one after the other, parted by N.

        Raises:
            DataError: a letter is no nucleotide code.
        """
        batch = encode_batch([one if isinstance(one, str) else GAP.join(one) for one in sequences])
        return Encoded(batch.codes, batch.offsets)

    def batch(self, encoded: Encoded, rows: NDArray[np.integer[Any]]) -> tuple[Tensor, Tensor | None]:
        """One-hot bases (B, 4, 1, L), channels-last; and the lengths (B,), or None where all are equal."""
        import torch

        codes = encoded.matrix(rows, fill=N).astype(np.uint8, copy=False)
        x = torch.from_numpy(one_hot(codes)).permute(0, 2, 1)[:, :, None]  # (B, L, 4) in memory is channels-last
        lengths = encoded.lengths[rows]
        return x, None if np.all(lengths == codes.shape[1]) else torch.from_numpy(lengths)
