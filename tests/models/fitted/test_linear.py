"""The linear predictor against scikit-learn: what it answers, how it scales, pairs, and several labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_matrix, issparse
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler, normalize

from frame_task import CARD, FrameTask, gc_rows
from glmbench.errors import DataError
from glmbench.methods.probe import Probe
from glmbench.models.fitted.linear import LinearPredictor, Scaling, Weights, features_of
from glmbench.models.model import ModelCard
from glmbench.models.registry import load
from glmbench.tasks.budget import Budget

FULL = Budget()
FORMS: dict[str, Callable[..., object]] = {"dense": np.asarray, "sparse": csr_matrix}


def drawn(rows: int = 60, dim: int = 7, classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Features of which most are zero, and classes that they tell of."""
    rng = np.random.default_rng(0)
    features = rng.normal(1.0, 2.0, (rows, dim)) * (rng.random((rows, dim)) < 0.4)
    labels = (features[:, :classes] + rng.normal(0, 1.0, (rows, classes))).argmax(1)
    return features, labels


def of_regression(estimator: LogisticRegression, outputs: int) -> Weights:
    classes = tuple(map(int, estimator.classes_))
    return Weights("classes", outputs, estimator.coef_, estimator.intercept_, classes)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("classes", [2, 3])
def test_classes_are_answered_as_by_logistic_regression(classes: int, form: str) -> None:
    features, labels = drawn(classes=classes)
    estimator = LogisticRegression(C=0.5).fit(features, labels)
    answers = of_regression(estimator, classes).answers(FORMS[form](features))
    assert answers.dtype == np.float32
    np.testing.assert_allclose(answers, estimator.predict_proba(features), atol=1e-6)


@pytest.mark.parametrize("seen", [(0, 2), (1, 3), (0, 2, 4)])
def test_classes_that_training_had_not_have_probability_zero(seen: tuple[int, ...]) -> None:
    features, labels = drawn(classes=len(seen))
    estimator = LogisticRegression().fit(features, np.array(seen)[labels])
    answers = of_regression(estimator, 5).answers(features)
    np.testing.assert_allclose(answers[:, list(seen)], estimator.predict_proba(features), atol=1e-6)
    assert not np.delete(answers, seen, axis=1).any()


@pytest.mark.parametrize("form", FORMS)
def test_values_are_answered_as_by_ridge(form: str) -> None:
    features, labels = drawn()
    values = 100 + features @ np.arange(7.0) + labels
    estimator = Ridge(alpha=2.0).fit(features, values)
    weights = Weights("values", 1, np.atleast_2d(estimator.coef_), np.atleast_1d(estimator.intercept_))
    np.testing.assert_allclose(weights.answers(FORMS[form](features))[:, 0], estimator.predict(features), rtol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_labels_are_answered_by_a_regression_each(form: str) -> None:
    features, _ = drawn()
    labels = (features[:, :3] > 0.5).astype(int)
    each = [LogisticRegression().fit(features, label) for label in labels.T]
    weights = Weights(
        "labels", 3, np.concatenate([one.coef_ for one in each]), np.concatenate([one.intercept_ for one in each])
    )
    wanted = np.stack([one.predict_proba(features)[:, 1] for one in each], axis=1)
    answers = weights.answers(FORMS[form](features))
    np.testing.assert_allclose(answers, wanted, atol=1e-6)
    assert np.abs(answers.sum(1) - 1).max() > 0.1, "they do not exclude each other"


def test_large_decisions_give_probabilities_and_no_warning() -> None:
    two = Weights("classes", 2, np.array([[1.0]]), np.zeros(1), (0, 1))
    three = Weights("classes", 3, np.array([[1.0], [0.0], [-1.0]]), np.zeros(3), (0, 1, 2))
    far = np.array([[1e4], [-1e4]])
    assert two.answers(far).tolist() == [[0, 1], [1, 0]]
    assert three.answers(far).tolist() == [[1, 0, 0], [0, 0, 1]]


def test_dense_features_are_standardised_as_by_scikit_learn() -> None:
    features, _ = drawn()
    features[:, 3] = 5.0  # says nothing, and is divided by nothing
    scaling = Scaling.of("standardise", features)
    scaler = StandardScaler().fit(features)
    others = features[:5] + 1
    np.testing.assert_allclose(scaling.apply(others), scaler.transform(others), rtol=1e-12, atol=1e-12)
    assert scaling.scale is not None
    assert scaling.scale[3] == 1


def test_sparse_features_are_scaled_and_stay_sparse() -> None:
    features, _ = drawn()
    scaling = Scaling.of("standardise", csr_matrix(features))
    scaled = scaling.apply(csr_matrix(features))
    assert issparse(scaled)
    assert scaling.mean is None
    wanted = StandardScaler(with_mean=False).fit_transform(features)
    np.testing.assert_allclose(scaled.toarray(), wanted, rtol=1e-12)
    later = scaling.apply(features)
    assert issparse(later), "what was learnt on sparse features scales dense ones alike"
    np.testing.assert_allclose(later.toarray(), wanted, rtol=1e-12)


def test_a_probe_answers_the_same_alone_and_in_company() -> None:
    """Few k-mers in one sequence make its features sparse; the fit alone decides how they are scaled."""
    model = load("kmer:2")
    task = FrameTask({"train": gc_rows(200, seed=0, contrast=0.6)})
    fit = Probe().fit(model, task, budget=Budget(), seed=0)
    alone = fit.predictor.predict(["AAAAAAAA"])
    together = fit.predictor.predict(["AAAAAAAA", *gc_rows(20, seed=1)["sequence"].to_list()])
    np.testing.assert_allclose(alone[0], together[0], rtol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_rows_have_unit_length_or_stay_as_they_are(form: str) -> None:
    features, _ = drawn()
    features[4] = 0.0
    given = FORMS[form](features)
    unit = Scaling.of("l2", given).apply(given)
    np.testing.assert_allclose(unit.toarray() if issparse(unit) else unit, normalize(features), rtol=1e-12)
    assert Scaling.of("none", given).apply(given) is given


class Counts:
    """Counts of A, C, G and T."""

    card = ModelCard(reference="counts", name="counts", fingerprint="f")

    def embed(self, sequences: list[str]) -> np.ndarray:
        return np.array([[text.count(base) for base in "ACGT"] for text in sequences], np.float32)


def test_the_features_of_a_pair_stand_side_by_side() -> None:
    found = features_of(Counts(), [("AACGT", "TTGCA"), ("ACGT", "GGACT")])
    assert found.dtype == np.float64
    assert found.tolist() == [[2, 1, 1, 1, 1, 1, 1, 2], [1, 1, 1, 1, 1, 1, 2, 1]]


def test_features_of_which_most_are_zero_become_sparse_also_those_of_pairs() -> None:
    model = load("kmer:3")
    pairs = [("ACGTACG", "TTTTTTT"), ("GGGGGGC", "ACACACA")]
    found = features_of(model, pairs)
    assert issparse(found)
    wanted = np.hstack([model.embed([pair[side] for pair in pairs]) for side in (0, 1)])
    np.testing.assert_array_equal(found.toarray(), wanted)


def test_a_feature_that_is_not_finite_is_an_error() -> None:
    class Broken(Counts):
        def embed(self, sequences: list[str]) -> np.ndarray:
            return np.full((len(sequences), 4), np.nan, np.float32)

    with pytest.raises(ValueError, match="8 features that are NaN"):
        features_of(Broken(), ["ACGT", "AC"])


def test_another_number_of_features_is_refused() -> None:
    weights = Weights("classes", 2, np.ones((1, 4)), np.zeros(1), (0, 1))
    predictor = LinearPredictor(Counts(), Scaling("none"), weights)
    assert predictor.predict(["ACGT"]).shape == (1, 2)
    with pytest.raises(DataError, match="fitted to 4 features, these inputs give 8"):
        predictor.predict([("ACGT", "ACGT")])


def test_more_sequences_than_are_embedded_at_a_time_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = Weights("values", 1, np.array([[1.0, 2.0, 3.0, 4.0]]), np.zeros(1))
    predictor = LinearPredictor(Counts(), Scaling("none"), weights)
    sequences = ["A", "CC", "GT", "TTT", "ACGT"]
    monkeypatch.setattr("glmbench.models.fitted.linear.CHUNK", 2)
    assert predictor.predict(sequences).tolist() == [[1], [4], [7], [12], [10]]


def paired(rows: int, seed: int) -> pl.DataFrame:
    """Whether the two sequences of a pair have the same class; the second tells nothing alone."""
    first = gc_rows(rows, seed=seed, contrast=0.8)
    second = gc_rows(rows, seed=seed + 100, contrast=0.8)["sequence"].shuffle(seed=seed)
    return first.with_columns(sequence_2=second)


def test_a_probe_of_pairs_is_logistic_regression_on_both_features() -> None:
    rows, test = paired(80, 0), paired(20, 1)
    fit = Probe({"penalty": 1.0}).fit(load("kmer:1"), FrameTask({"train": rows}), budget=FULL, seed=0)

    def both(some: pl.DataFrame) -> np.ndarray:
        return np.hstack([Counts().embed(some[name].to_list()) for name in ("sequence", "sequence_2")])

    scaler = StandardScaler().fit(both(rows))
    oracle = LogisticRegression(C=1.0, max_iter=2000).fit(scaler.transform(both(rows)), rows["label"].to_numpy())
    pairs = list(zip(test["sequence"], test["sequence_2"], strict=True))
    got = fit.predictor.predict(pairs)
    np.testing.assert_allclose(got, oracle.predict_proba(scaler.transform(both(test))), atol=2e-3)


SEVERAL = CARD.model_copy(
    update={"kind": "multilabel", "classes": ("rich", "all", "none"), "metric": "mean_mcc", "metrics": ("mean_mcc",)}
)


def test_a_probe_of_several_labels_answers_each_also_one_that_all_or_no_rows_have() -> None:
    rows, test = gc_rows(100, seed=0, contrast=0.6), gc_rows(30, seed=1, contrast=0.6)
    several = rows.with_columns(label=pl.concat_list("label", pl.lit(1), pl.lit(0)))
    fit = Probe({"penalty": 1.0}).fit(load("kmer:1"), FrameTask({"train": several}, SEVERAL), budget=FULL, seed=0)
    alone = Probe({"penalty": 1.0}).fit(load("kmer:1"), FrameTask({"train": rows}), budget=FULL, seed=0)
    sequences = test["sequence"].to_list()
    answers = fit.predictor.predict(sequences)
    np.testing.assert_allclose(answers[:, 0], alone.predictor.predict(sequences)[:, 1], atol=1e-6)
    np.testing.assert_allclose(answers[:, 1], 100.5 / 101, rtol=1e-6)
    np.testing.assert_allclose(answers[:, 2], 0.5 / 101, rtol=1e-6)
    assert [label.get("note") for label in fit.details["labels"]] == [
        None,
        *["one value only in the training rows"] * 2,
    ]


def test_each_of_several_labels_has_a_penalty_of_its_own() -> None:
    rows = gc_rows(120, seed=0, contrast=0.8)
    noise = pl.Series(np.random.default_rng(0).integers(0, 2, 120))
    several = rows.with_columns(label=pl.concat_list("label", noise))
    card = SEVERAL.model_copy(update={"classes": ("rich", "noise")})
    fit = Probe().fit(load("kmer:2"), FrameTask({"train": several}, card), budget=FULL, seed=0)
    learned, nothing = (label["penalty"] for label in fit.details["labels"])
    assert learned > nothing
