from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from file_models import Bases, codes
from glmbench.methods.imputation import Imputation, Order, averaged, impute, places_of_runs, unknown_runs
from glmbench.sequences.encoding import reverse_complement
from glmbench.sequences.typing import Integers

LEFT, BOTH = Bases("left:x", "left"), Bases("both:x", "both")


def unknown(sequence: str) -> Integers:
    return places_of_runs(unknown_runs(sequence))


def row(model: Bases, sequence: str, place: int) -> NDArray[np.float32]:
    """log p by the table, without `fill`."""
    known = codes(sequence)
    return model.table[known[place - 1] if place else 4, known[place + 1] if place + 1 < len(known) else 4]


def test_runs() -> None:
    assert unknown_runs("NNACnGtN").tolist() == [[0, 2], [4, 5], [7, 8]]
    assert unknown_runs("NNACnGtN", masked=True).tolist() == [[0, 2], [4, 5], [6, 8]]
    assert unknown_runs("ACGT").shape == (0, 2)
    assert places_of_runs(unknown_runs("NNACnGtN")).tolist() == [0, 1, 4, 7]
    assert places_of_runs(unknown_runs("ACGT")).tolist() == []


def naive(model: Bases, sequence: str, order: Order, both_strands: bool, least: float) -> str:
    """The same by one question after another on the whole sequence: the model reads no further than its neighbours."""
    letters = list(sequence)
    asked = [place for place, letter in enumerate(sequence) if letter in "Nn"]

    def log_p(place: int) -> NDArray[np.float32]:
        now = "".join(letters)
        forward = row(model, now, place)
        if not both_strands:
            return forward
        backward = row(model, reverse_complement(now), len(now) - 1 - place)[::-1]
        return averaged(forward[None], backward[None])[0]

    def write(place: int, p: NDArray[np.float32]) -> None:
        if np.exp(p.max()) >= least:
            base = "ACGT"[int(p.argmax())]
            letters[place] = base.lower() if letters[place] == "n" else base

    if order == "once":
        for place, p in [(place, log_p(place)) for place in asked]:
            write(place, p)
    elif order == "left":
        for place in asked:
            write(place, log_p(place))
    else:
        while asked:
            answers = {place: log_p(place) for place in asked}
            best = max(asked, key=lambda place: answers[place].max())
            write(best, answers[best])
            asked.remove(best)
    return "".join(letters)


@settings(max_examples=80, deadline=None)
@given(
    st.text("ACGTNNNnacg", min_size=1, max_size=50),
    st.sampled_from(["once", "left"]),
    st.booleans(),
    st.sampled_from([LEFT, BOTH]),
    st.sampled_from([0.0, 0.45]),
    st.sampled_from([8, 17, 100]),
)
def test_it_fills_as_a_naive_loop(
    sequence: str, order: Literal["once", "left"], both_strands: bool, model: Bases, least: float, width: int
) -> None:
    done = impute(model, [sequence], [unknown(sequence)], Imputation(width, order, both_strands, least))[0]
    assert done.sequence == naive(model, sequence, order, both_strands, least)
    assert done.filled.sum() == sum(a != b for a, b in zip(sequence, done.sequence, strict=True))
    np.testing.assert_allclose(np.exp(done.log_probabilities).sum(axis=1), 1, rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.text("ACGTNNNnacg", min_size=1, max_size=50), st.sampled_from([LEFT, BOTH]), st.booleans())
def test_confident_first_in_one_window(sequence: str, model: Bases, both_strands: bool) -> None:
    how = Imputation(60, "confident", both_strands)
    done = impute(model, [sequence], [unknown(sequence)], how)[0]
    assert done.sequence == naive(model, sequence, "confident", both_strands, 0.0)


def test_sequences_side_by_side_are_filled_as_alone() -> None:
    rng = np.random.default_rng(1)
    texts = ["".join(rng.choice(list("ACGTN"), 200, p=[0.2, 0.2, 0.2, 0.2, 0.2])) for _ in range(4)]
    for order in ("once", "confident", "left"):
        how = Imputation(32, order)
        together = impute(BOTH, texts, [unknown(text) for text in texts], how)
        for text, done in zip(texts, together, strict=True):
            alone = impute(BOTH, [text], [unknown(text)], how)[0]
            assert done.sequence == alone.sequence
            assert np.array_equal(done.log_probabilities, alone.log_probabilities)


def test_what_was_known_makes_no_difference_where_it_is_asked() -> None:
    """The self-test hides bases by their positions: the answer does not depend on them."""
    places = np.array([3, 7, 8])
    one, other = "ACGTACGTACGT", "ACGAACGGGCGT"
    assert [one[p] for p in range(12) if p not in places] == [other[p] for p in range(12) if p not in places]
    first, second = (impute(BOTH, [text], [places], Imputation(8))[0] for text in (one, other))
    assert first.sequence == second.sequence
    assert np.array_equal(first.log_probabilities, second.log_probabilities)


def test_windows_hold_context_on_both_sides_and_are_shared() -> None:
    """Windows of 40: an N has 10 bases or more either side, save at the ends, and neighbours share a window."""
    seen: list[tuple[str, int]] = []

    class Watched(Bases):
        def fill(self, sequences: list[str], positions: list[int]) -> NDArray[np.float32]:  # type of a list suffices
            seen.extend(zip(sequences, positions, strict=True))
            return super().fill(sequences, positions)

    rng = np.random.default_rng(2)
    letters = rng.choice(list("ACGT"), 400)
    letters[[0, 50, 53, 59, 200, 399]] = "N"
    text = "".join(letters)
    impute(Watched("both:w", "both"), [text], [unknown(text)], Imputation(40))
    assert [len(window) for window, _ in seen] == [40] * 6
    assert len({window for window, _ in seen}) == 4
    assert all(10 <= place < 30 for window, place in seen if window not in (text[:40], text[-40:]))


def test_left_to_right_asks_no_further_than_the_base() -> None:
    seen: list[tuple[str, int]] = []

    class Watched(Bases):
        def fill(self, sequences: list[str], positions: list[int]) -> NDArray[np.float32]:
            seen.extend(zip(sequences, positions, strict=True))
            return super().fill(sequences, positions)

    impute(Watched("left:w", "left"), ["ACGTACGTACNNACGTACGTANA"], [np.array([10, 11, 21])], Imputation(8))
    assert [(window[-1], place, len(window)) for window, place in seen] == [("N", 7, 8)] * 3
    assert seen[0][0][:-1] == "TACGTAC"
    assert "N" not in seen[-1][0][:-1]


def test_both_strands_are_the_normalised_geometric_mean() -> None:
    one, other = np.log([[0.7, 0.1, 0.1, 0.1]]), np.log([[0.1, 0.7, 0.1, 0.1]])
    mean = np.exp(averaged(one.astype(np.float32), other.astype(np.float32)))
    wanted = np.sqrt([0.07, 0.07, 0.01, 0.01])
    np.testing.assert_allclose(mean[0], wanted / wanted.sum(), rtol=1e-5)


@pytest.mark.parametrize(
    ("model", "both_strands", "order"), [(LEFT, False, "left"), (LEFT, True, "once"), (BOTH, False, "once")]
)
def test_the_order_where_none_is_chosen(model: Bases, both_strands: bool, order: Order) -> None:
    assert Imputation(8, both_strands=both_strands).order_for(model) == order
