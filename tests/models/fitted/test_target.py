"""The four kinds of target against numbers by hand, and against torch and scikit-learn."""

from __future__ import annotations

from math import exp, log

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import log_loss
from torch.nn import functional

from glmbench.models.fitted.target import NO_LABEL, Target

CLASSES, LABELS, BASES = Target("classes", 3), Target("labels", 2), Target("bases", 2)
VALUES = Target("values", 1, mean=10.0, scale=4.0)


def logits(*shape: int) -> torch.Tensor:
    torch.manual_seed(0)
    return 3 * torch.randn(shape)


def test_classes_are_indices_and_their_loss_is_cross_entropy() -> None:
    encoded = CLASSES.encode(pl.Series([0, 2], dtype=pl.Int8))
    assert encoded.dtype == np.int64
    assert encoded.tolist() == [0, 2]
    scores = torch.tensor([[log(2), 0.0, 0.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(CLASSES.decode(scores), torch.tensor([[0.5, 0.25, 0.25], [1 / 3] * 3]))
    assert CLASSES.loss(scores, torch.tensor(encoded)).item() == pytest.approx((log(2) + log(3)) / 2)


def test_the_loss_of_classes_is_that_of_scikit_learn() -> None:
    labels = np.array([0, 1, 2, 2, 1, 0, 0])
    scores = logits(7, 3)
    wanted = log_loss(labels, CLASSES.decode(scores).numpy(), labels=[0, 1, 2])
    assert CLASSES.loss(scores, torch.from_numpy(labels)).item() == pytest.approx(wanted, rel=1e-5)


def test_labels_are_one_question_each() -> None:
    encoded = LABELS.encode(pl.Series([[1, 0], [0, 0], [1, 1]]))
    assert encoded.dtype == np.float32
    assert encoded.tolist() == [[1, 0], [0, 0], [1, 1]]
    scores = torch.tensor([[log(3), 0.0], [0.0, 0.0], [0.0, -log(3)]])
    torch.testing.assert_close(LABELS.decode(scores), torch.tensor([[0.75, 0.5], [0.5, 0.5], [0.5, 0.25]]))
    wanted = (-log(0.75) + log(2) + 2 * log(2) + log(2) - log(0.25)) / 6
    assert LABELS.loss(scores, torch.from_numpy(encoded)).item() == pytest.approx(wanted)


def test_the_loss_of_labels_is_the_mean_of_scikit_learn_s_over_labels() -> None:
    scores, wanted = logits(6, 2), np.array([[0, 1], [1, 1], [0, 0], [1, 0], [1, 1], [0, 1]])
    probabilities = LABELS.decode(scores).double().numpy()
    each = [log_loss(wanted[:, label], probabilities[:, label]) for label in (0, 1)]
    loss = LABELS.loss(scores, torch.from_numpy(wanted.astype(np.float32)))
    assert loss.item() == pytest.approx(np.mean(each), rel=1e-5)


def test_values_are_learned_standardised_and_told_in_their_unit() -> None:
    encoded = VALUES.encode(pl.Series([10.0, 18.0, 4.0]))
    assert encoded.dtype == np.float32
    assert encoded.tolist() == [[0.0], [2.0], [-1.5]]
    scores = torch.tensor([[1.0], [0.0], [-1.5]])
    assert VALUES.loss(scores, torch.from_numpy(encoded)).item() == pytest.approx((1 + 4 + 0) / 3)
    assert VALUES.decode(scores).tolist() == [[14.0], [10.0], [4.0]]
    assert VALUES.encode(pl.Series([10, 18])).tolist() == [[0.0], [2.0]], "whole numbers too"


def test_labels_of_bases_are_padded_and_none_stays_none() -> None:
    encoded = BASES.encode(pl.Series([[0, 1, -1, 1], [1], [-1, -1]]))
    assert encoded.dtype == np.int16
    assert encoded.tolist() == [
        [0, 1, NO_LABEL, 1],
        [1, NO_LABEL, NO_LABEL, NO_LABEL],
        [NO_LABEL, NO_LABEL, NO_LABEL, NO_LABEL],
    ]


def test_every_row_counts_the_same_however_many_of_its_bases_have_a_label() -> None:
    targets = torch.from_numpy(BASES.encode(pl.Series([[0, 1, -1, 1], [1]])))
    scores = torch.zeros(2, 4, 2)
    scores[0, 0, 0] = scores[1, 0, 1] = log(3)  # P = 3/4 of what is right
    scores[:, :, 1][targets == NO_LABEL] = 50.0  # makes no difference
    of_rows = [(-log(0.75) + log(2) + log(2)) / 3, -log(0.75)]
    assert BASES.loss(scores, targets).item() == pytest.approx(sum(of_rows) / 2)
    first = functional.cross_entropy(scores[0], targets[0].long(), ignore_index=NO_LABEL)
    assert first.item() == pytest.approx(of_rows[0])


def test_a_row_without_any_label_is_a_row_of_no_loss() -> None:
    targets = torch.from_numpy(BASES.encode(pl.Series([[-1, -1, -1], [0, 1]])))
    scores = logits(2, 3, 2).requires_grad_()
    loss = BASES.loss(scores, targets)
    loss.backward()
    wanted = functional.cross_entropy(scores[1, :2], torch.tensor([0, 1])) / 2
    torch.testing.assert_close(loss, wanted)
    assert scores.grad is not None
    assert torch.isfinite(scores.grad).all()
    assert not scores.grad[0].any()
    none = BASES.loss(scores, torch.full((2, 3), NO_LABEL, dtype=torch.int16))
    assert none.item() == 0


def test_a_batch_of_short_rows_takes_labels_as_wide_as_the_longest_of_all() -> None:
    targets = torch.from_numpy(BASES.encode(pl.Series([[0, 1], [1, 1, 0, 1, 0]])))
    scores = logits(1, 2, 2)
    wanted = functional.cross_entropy(scores[0], torch.tensor([0, 1]))
    torch.testing.assert_close(BASES.loss(scores, targets[:1]), wanted)


def test_bases_are_told_in_probabilities_each() -> None:
    scores = torch.tensor([[[0.0, log(3)], [0.0, 0.0]]])
    torch.testing.assert_close(BASES.decode(scores), torch.tensor([[[0.25, 0.75], [0.5, 0.5]]]))


@pytest.mark.parametrize("target", [CLASSES, LABELS, VALUES, BASES], ids=lambda target: target.kind)
def test_scores_in_half_precision_are_judged_in_float32(target: Target) -> None:
    shape = {"classes": (2, 3), "labels": (2, 2), "values": (2, 1), "bases": (2, 4, 2)}[target.kind]
    scores = logits(*shape).bfloat16()
    given = {"classes": [0, 1], "labels": [[1, 0], [0, 1]], "values": [3.0, 9.0], "bases": [[0, 1, 1, 0], [1]]}
    targets = torch.tensor(target.encode(pl.Series(given[target.kind])))
    assert target.loss(scores, targets).dtype == target.decode(scores).dtype == torch.float32
    torch.testing.assert_close(target.loss(scores, targets), target.loss(scores.float(), targets))


def test_large_scores_give_no_infinite_loss() -> None:
    far = torch.tensor([[200.0, -200.0]])
    assert LABELS.loss(far, torch.tensor([[0.0, 1.0]])).item() == pytest.approx(200)
    assert LABELS.decode(far)[0].tolist() == pytest.approx([1.0, exp(-200)])
