from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from glmbench.errors import DataError
from glmbench.simulation.chains import dinucleotide_chain
from glmbench.simulation.classification import labelled_distribution, parse_parameters, split_generator
from glmbench.simulation.distributions import ChainSequences, LabelledDistribution

GENERATORS: dict[str, dict[str, Any]] = {
    "promoter": {"syntax": "sigma70", "length": 60, "sharpness": 2.0, "gc": 0.5},
    "grammar": {"syntax": "core-promoter", "length": 60, "wrong_spacers": [5, 35], "gc": 0.5, "cpg": 0.5},
    "splice": {"length": 60, "jitter": 3, "exon_gc": 0.55, "intron_gc": 0.4},
    "coding": {"length": 61, "gc_bias": 0.5, "matched_order": 2},
    "markov": {"length": 60, "order": 3, "matched_order": 1, "strength": 0.4, "chain_seed": 3},
}


def parameters_of(name: str, **changes: Any) -> dict[str, Any]:
    return {"seed": 7, "rows": {"train": 100, "test": 50}, "generator": {"name": name, **GENERATORS[name], **changes}}


def distribution_of(name: str, **changes: Any) -> LabelledDistribution:
    return labelled_distribution(parse_parameters(parameters_of(name, **changes)))


@pytest.mark.parametrize("name", GENERATORS)
def test_posterior_is_calibrated(name: str):
    distribution = distribution_of(name)
    n = 20_000
    codes, labels = distribution.sample(np.random.default_rng(1), n)
    posterior = distribution.posterior(codes)
    np.testing.assert_allclose(posterior.sum(axis=1), 1)
    # Given the sequence, "the best class is right" is a coin with the chance that the posterior says.
    best = posterior.max(axis=1)
    error = np.sqrt((best * (1 - best)).sum()) / n
    assert abs((posterior.argmax(axis=1) == labels).mean() - best.mean()) < 4 * error
    for label in range(posterior.shape[1]):
        for low in (0.0, 0.2, 0.5, 0.8):
            inside = (posterior[:, label] >= low) & (posterior[:, label] < low + 0.3)
            chance = posterior[inside, label]
            spread = 4.5 * np.sqrt((chance * (1 - chance)).sum()) + 3
            assert abs((labels[inside] == label).sum() - chance.sum()) < spread


@pytest.mark.parametrize(
    ("name", "changes"), [("coding", {"length": 7, "matched_order": 1}), ("markov", {"length": 5})]
)
def test_class_densities_are_normalised_against_each_other(name: str, changes: dict[str, Any]):
    """The mean of p_1 / p_0 over samples of class 0 is 1, since class 0 can draw every sequence."""
    background, other = distribution_of(name, **changes).classes
    codes = background.sample(np.random.default_rng(3), 200_000)
    ratio = np.exp(other.log_likelihood(codes) - background.log_likelihood(codes))
    assert ratio.std() > 0.1
    assert ratio.mean() == pytest.approx(1, abs=5 * ratio.std() / np.sqrt(ratio.size))


def test_posterior_by_hand():
    rich, poor = (ChainSequences(dinucleotide_chain(gc), 3) for gc in (0.6, 0.2))
    posterior = LabelledDistribution((rich, poor), np.array([0.25, 0.75])).posterior(np.array([[1, 0, 2]], np.uint8))
    # C, A, G: .3 * .2 * .3 against .1 * .4 * .1
    np.testing.assert_allclose(posterior, [[0.25 * 0.018, 0.75 * 0.004] / np.float64(0.25 * 0.018 + 0.75 * 0.004)])


def test_priors_are_the_frequencies_of_the_labels():
    rich, poor = (ChainSequences(dinucleotide_chain(gc), 3) for gc in (0.6, 0.2))
    _, labels = LabelledDistribution((rich, poor), np.array([0.1, 0.9])).sample(np.random.default_rng(0), 10_000)
    assert (labels == 0).mean() == pytest.approx(0.1, abs=0.015)


def test_short_words_of_the_matched_classes_agree():
    distribution = distribution_of("coding")
    words = []
    for classes in distribution.classes:
        codes = classes.sample(np.random.default_rng(4), 10_000).astype(np.int64)
        triplets = codes[:, :-2] * 16 + codes[:, 1:-1] * 4 + codes[:, 2:]
        words.append(np.bincount(triplets.ravel(), minlength=64) / triplets.size)
    np.testing.assert_allclose(words[0], words[1], atol=0.001)


def four_mer_counts(codes: np.ndarray) -> np.ndarray:
    words = np.lib.stride_tricks.sliding_window_view(codes.astype(np.int64), 4, axis=1) @ np.array([64, 16, 4, 1])
    return np.stack([np.bincount(row, minlength=256) for row in words]).astype(np.float64)


@pytest.mark.parametrize("name", GENERATORS)
def test_no_linear_model_on_four_mers_beats_the_posterior(name: str):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    distribution = distribution_of(name)
    rng = np.random.default_rng(5)
    (train, labels), (test, truth) = distribution.sample(rng, 2000), distribution.sample(rng, 3000)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500)).fit(
        four_mer_counts(train), labels
    )
    right = distribution.posterior(test).argmax(axis=1) == truth
    other = model.predict(four_mer_counts(test)) == truth
    paired = right.astype(float) - other
    assert paired.mean() > -3 * paired.std() / np.sqrt(paired.size)
    if name == "markov":
        assert paired.mean() < 0.06
    if name == "grammar":
        assert paired.mean() > 0.15


def test_splits_have_their_own_streams_of_any_size():
    parameters = parse_parameters(parameters_of("markov"))
    distribution = labelled_distribution(parameters)
    train, _ = distribution.sample(split_generator(parameters, "train"), 50)
    test, _ = distribution.sample(split_generator(parameters, "test"), 50)
    again, _ = distribution.sample(split_generator(parameters, "train"), 50)
    assert np.array_equal(train, again)
    assert not np.array_equal(train, test)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"generator": {"name": "promotor", "length": 10}}, "promotor"),
        ({"generator": {"name": "markov", "length": 10}}, "strength"),
        ({"generator": {"name": "promoter", **GENERATORS["promoter"], "colour": 1}}, "colour"),
        ({"rows": {"train": 0}}, "rows.train"),
        ({"seed": -1}, "seed"),
    ],
)
def test_unknown_settings_are_named(changed: dict[str, Any], told: str):
    with pytest.raises(DataError, match=told):
        parse_parameters(parameters_of("promoter") | changed)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("promoter", {"length": 20}),
        ("grammar", {"wrong_spacers": [21]}),
        ("splice", {"jitter": 30}),
        ("markov", {"matched_order": 4}),
        ("promoter", {"gc": 1.0}),
    ],
)
def test_contradictory_settings_are_told_with_their_generator(name: str, changes: dict[str, Any]):
    with pytest.raises(DataError, match=f"generator '{name}'"):
        distribution_of(name, **changes)
