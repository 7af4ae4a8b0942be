from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glmbench.errors import DataError
from glmbench.models.huggingface.base_readout import BaseReadout
from glmbench.models.huggingface.questions import checked
from glmbench.models.huggingface.token_bases import bases_of, one_base_changed
from glmbench.pretraining.base_predictors import base_log_probabilities

LETTERS = ["", "A", "C", "G", "T", "AC", "AG", "CC", "TTT", "ANA"]
BASES = bases_of(LETTERS)


def test_sums_by_hand() -> None:
    logits = torch.tensor([[0.9, 0.1, 0.2, 0.3, 0.05, 0.05, 0.1, 0.1, 0.05, 0.05]]).log()
    # A: A, AC, AG, ANA; C: C, CC; G: G; T: T, TTT
    wanted = np.array([0.1 + 0.05 + 0.1 + 0.05, 0.2 + 0.1, 0.3, 0.05 + 0.05])
    got = np.exp(BaseReadout(BASES).at(logits, np.array([0]), np.array([0])))
    np.testing.assert_allclose(got[0], wanted / wanted.sum(), rtol=1e-6)
    second = np.exp(BaseReadout(BASES).at(logits, np.array([1]), np.array([0])))[0]
    np.testing.assert_allclose(second, np.array([0, 0.05 + 0.1, 0.1, 0.05]) / 0.3, rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), spread=st.sampled_from([1.0, 30.0, 300.0]))
def test_products_of_matrices_give_what_sums_of_logarithms_give(seed: int, spread: float) -> None:
    torch.manual_seed(seed)
    logits = spread * torch.randn(7, len(LETTERS))
    places = np.random.default_rng(seed).integers(0, 2, 7)
    wanted = base_log_probabilities(logits, torch.from_numpy(places), torch.from_numpy(BASES)).numpy()
    got = BaseReadout(BASES).at(logits.clone(), places, places)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)


def test_a_place_that_no_token_reaches_tells_nothing() -> None:
    got = BaseReadout(BASES).at(torch.randn(2, len(LETTERS)), np.array([7, 0]), np.array([0, 0]))
    np.testing.assert_allclose(np.exp(got[0]), 0.25)
    assert np.exp(got[1]).std() > 0


def test_every_place_of_tokens_of_different_widths() -> None:
    logits, widths, ids = torch.randn(4, len(LETTERS)), np.array([2, 0, 1, 3]), np.array([5, 0, 2, 8])
    for changed in (None, one_base_changed(LETTERS)):
        readout = BaseReadout(BASES, changed)
        token, place, got = readout.every(logits, widths, ids)
        assert token.tolist() == [0, 0, 2, 3, 3, 3]
        assert place.tolist() == [0, 1, 0, 0, 1, 2]
        np.testing.assert_allclose(got, readout.at(logits[token], place, ids[token]), atol=1e-6)


def test_the_other_bases_of_a_token_may_be_known() -> None:
    letters = [first + second for first in "ACGT" for second in "ACGT"]
    logits = torch.randn(1, 16)
    got = BaseReadout(bases_of(letters), one_base_changed(letters)).at(logits, np.array([1]), np.array([6]))  # CG
    np.testing.assert_allclose(got[0], torch.log_softmax(logits[0, 4:8].double(), 0), atol=1e-6)


def test_more_logits_than_tokens_are_padding_of_the_table() -> None:
    logits = torch.randn(3, len(LETTERS) + 6)
    places = np.zeros(3, dtype=np.int64)
    got = BaseReadout(BASES).at(logits, places, places)
    np.testing.assert_allclose(got, BaseReadout(BASES).at(logits[:, : len(LETTERS)], places, places), atol=1e-5)


def test_logits_that_say_nothing_are_refused() -> None:
    assert checked(torch.tensor([[0.0, -torch.inf]])).shape == (1, 2)
    for bad in (torch.nan, torch.inf):
        with pytest.raises(DataError, match="NaN or infinite"):
            checked(torch.tensor([[0.0, bad]]))
