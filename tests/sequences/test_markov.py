import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmbench.sequences.alphabet import encode, encode_batch
from glmbench.sequences.markov import MarkovModel, bits_per_base, fit_markov, log_likelihood, sample_markov


def test_fit_by_hand():
    model = fit_markov(encode_batch(["AAC", "NAA"]), 1, pseudocount=1.0)
    # Order 0: A four times, C once. Order 1: A to A twice, A to C once; nothing follows the N or the C.
    assert model.tables[0] == pytest.approx(np.array([[5, 2, 1, 1]]) / 9)
    assert model.tables[1][0] == pytest.approx(np.array([3, 2, 1, 1]) / 7)
    assert model.tables[1][1:] == pytest.approx(np.full((3, 4), 0.25))


def test_log_likelihood_by_hand():
    model = fit_markov(encode_batch(["AAC", "NAA"]), 1)
    expected = math.log(5 / 9) + math.log(3 / 7) + math.log(2 / 7)
    assert log_likelihood(model, encode("AAC")) == pytest.approx([expected])
    # The context starts anew after an N, which itself adds nothing.
    assert log_likelihood(model, encode_batch(["ANA", ""])) == pytest.approx([2 * math.log(5 / 9), 0])


@settings(deadline=None, max_examples=25)
@given(st.lists(st.text("ACGTN", max_size=60), min_size=1, max_size=5), st.integers(0, 4))
def test_likelihood_equals_a_plain_loop(sequences, order):
    model = fit_markov(encode_batch(sequences), order, pseudocount=0.5)
    for sequence, found in zip(sequences, log_likelihood(model, encode_batch(sequences)), strict=True):
        total, known = 0.0, ""
        for letter in sequence:
            if letter == "N":
                known = ""
                continue
            context = known[-order:] if order else ""
            row = sum("ACGT".index(base) * 4**power for power, base in enumerate(reversed(context)))
            total += math.log(model.tables[len(context)][row, "ACGT".index(letter)])
            known += letter
        assert found == pytest.approx(total)
    for table in model.tables:
        assert table.sum(axis=1) == pytest.approx(1)


def test_fit_recovers_what_was_sampled():
    rng = np.random.default_rng(0)
    table = rng.dirichlet(np.ones(4), size=16)
    truth = MarkovModel(2, (np.full((1, 4), 0.25), np.full((4, 4), 0.25), table))
    fitted = fit_markov(sample_markov(truth, 500, 1_000, rng), 2)
    assert np.abs(fitted.tables[2] - table).max() < 0.02


def test_sampling_is_decided_by_the_generator():
    model = fit_markov(encode("ACGGTTACGATTACA"), 2)
    first = sample_markov(model, 3, 40, np.random.default_rng(7))
    assert first.shape == (3, 40)
    assert first.dtype == np.uint8
    assert first.max() < 4
    assert np.array_equal(first, sample_markov(model, 3, 40, np.random.default_rng(7)))
    assert not np.array_equal(first, sample_markov(model, 3, 40, np.random.default_rng(8)))


def test_a_certain_model_samples_what_it_must():
    certain = MarkovModel(1, (np.array([[1.0, 0, 0, 0]]), np.roll(np.eye(4), 1, axis=1)))
    assert sample_markov(certain, 1, 9, np.random.default_rng(0)).tolist() == [[0, 1, 2, 3, 0, 1, 2, 3, 0]]
    assert bits_per_base(certain, encode("ACGTA")) == pytest.approx(0)
    assert log_likelihood(certain, encode("AA"))[0] == -np.inf


def test_bits_per_base():
    uniform = MarkovModel(0, (np.full((1, 4), 0.25),))
    assert bits_per_base(uniform, encode_batch(["ACGTTGNA", "NN"])) == pytest.approx(2)
    with pytest.raises(ValueError, match="at least one base"):
        bits_per_base(uniform, encode("NN"))


def test_bits_per_base_of_the_truth_are_its_entropy_rate():
    rng = np.random.default_rng(1)
    row = np.array([0.7, 0.1, 0.1, 0.1])
    truth = MarkovModel(1, (np.full((1, 4), 0.25), np.stack([np.roll(row, shift) for shift in range(4)])))
    entropy = -(row * np.log2(row)).sum()
    assert bits_per_base(truth, sample_markov(truth, 100, 5_000, rng)) == pytest.approx(entropy, abs=0.01)


@pytest.mark.parametrize(
    ("order", "pseudocount", "message"), [(-1, 1, "order"), (12, 1, "order"), (1, 0, "pseudocount")]
)
def test_arguments_out_of_range(order, pseudocount, message):
    with pytest.raises(ValueError, match=message):
        fit_markov(encode("ACGT"), order, pseudocount=pseudocount)
