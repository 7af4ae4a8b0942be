"""The control `onehot-cnn`: its card, its collate, its fresh networks."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from glmbench.errors import DataError, UsageError
from glmbench.models.model import Trainable
from glmbench.models.onehot_cnn import OneHotCNNModel, OneHotCollate
from glmbench.models.registry import load


def test_the_reference_loads_a_trainable_control() -> None:
    model = load("onehot-cnn")
    assert isinstance(model, Trainable)
    assert model.card.kind == "control"
    assert model.card.reference == "onehot-cnn"
    assert model.card.fingerprint == OneHotCNNModel().card.fingerprint


@pytest.mark.parametrize("reference", ["onehot-cnn:big", "onehot-cnn?channels=3"])
def test_references_with_more_are_refused(reference: str) -> None:
    with pytest.raises(UsageError, match="onehot-cnn"):
        load(reference)


def test_one_hot_by_hand_in_channels_last_memory() -> None:
    collate = OneHotCollate()
    x, lengths = collate.batch(collate.encode(["ACGT", "nTTA"]), np.array([1, 0]))
    expected = [
        [[0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 1, 0]],
        [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
    ]
    assert x[:, :, 0].tolist() == expected
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert lengths is None


def test_a_shorter_sequence_is_padded_with_zero_columns() -> None:
    collate = OneHotCollate()
    x, lengths = collate.batch(collate.encode(["AC", "GGG"]), np.array([0, 1]))
    assert x.shape == (2, 4, 1, 3)
    assert x[0, :, 0, 2].tolist() == [0, 0, 0, 0]
    assert lengths is not None
    assert lengths.tolist() == [2, 3]


def test_letters_that_are_no_bases_are_refused() -> None:
    with pytest.raises(DataError, match="letter"):
        OneHotCollate().encode(["ACG-T"])


def test_weights_depend_on_the_seed_only_and_torch_s_random_state_is_left_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first, _ = OneHotCNNModel().trainable(5, seed=1)
    assert torch.equal(torch.rand(1), expected)
    again, _ = OneHotCNNModel().trainable(5, seed=1)
    other, _ = OneHotCNNModel().trainable(5, seed=2)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.head.weight, other.head.weight)
    assert first.head.out_features == 5


def test_card_and_collate_s_encoding_need_no_torch() -> None:
    program = (
        "import sys; from glmbench.models.onehot_cnn import OneHotCNNModel, OneHotCollate; OneHotCNNModel().card; "
        "OneHotCollate().encode(['ACGT']); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
