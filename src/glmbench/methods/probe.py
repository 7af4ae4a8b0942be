"""Probing: a linear model on frozen features. Logistic regression for classes, ridge regression for values.

The penalty is either given by the recipe or chosen by inner cross-validation on the training rows alone; rows of one
group never stand on both sides of an inner fold. Sparse features are scaled and not centred, so that they stay
sparse: the intercept is not penalised, so centring changes how soon the optimum is found and not where it is.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from glmbench.errors import Unsupported, UsageError
from glmbench.methods.examples import inputs_of, target_of
from glmbench.methods.method import Fit, Start
from glmbench.models.fitted.linear import LinearPredictor, Normalise, Scaling, Weights, features_of
from glmbench.models.model import Embeds, Model
from glmbench.tasks.budget import Budget, training_rows
from glmbench.tasks.task import Task

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.base import BaseEstimator

Groups = NDArray[Any] | None
"""The group of each training row; None where every row stands alone."""

LARGEST_HESSIAN, ROWS_PER_UNKNOWN = 256, 20
"""Newton's method is the faster solver up to so many unknowns, with so many rows for each."""


@dataclass(frozen=True)
class ProbeRecipe:
    """What a suite may set. `penalty` is scikit-learn's C (inverse) for classes and alpha for values."""

    normalise: Normalise = "standardise"
    """`standardise`: unit variance of each feature over the training rows; `l2`: unit length of each row."""
    penalty: float | None = None
    """None: chosen from `grid` by inner cross-validation."""
    grid: tuple[float, ...] = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
    """Candidates, in units of C; for values alpha = 1 / C."""
    folds: int = 5
    max_iter: int = 2000
    tolerance: float = 1e-4
    version: Literal[2] = 2
    """Of this code: grows whenever the same settings would give other numbers, so that results get a new address."""

    @classmethod
    def of(cls, values: dict[str, Any]) -> ProbeRecipe:
        """The recipe with `values` over the defaults.

        Raises:
            UsageError: a key is unknown or a value has the wrong type.
        """
        try:
            return TypeAdapter(cls).validate_python(values, extra="forbid")
        except ValidationError as error:
            raise UsageError(f"probe recipe {values}: {error}") from None


class Probe:
    """The method `probe`."""

    name = "probe"
    needs: type = Embeds
    stochastic = False
    starts_from: Start | None = None

    def __init__(self, recipe: dict[str, Any] | None = None) -> None:
        self._recipe = ProbeRecipe.of(recipe or {})
        self.recipe: dict[str, Any] = TypeAdapter(ProbeRecipe).dump_python(self._recipe, mode="json")

    def fit(self, model: Model, task: Task, *, budget: Budget, seed: int) -> Fit:
        """Embed the training rows of draw `seed` and fit the linear model; see `methods.method.Method.fit`."""
        if not isinstance(model, Embeds):
            raise Unsupported(
                f"{model.card.reference} gives no features to probe: method `probe` needs a model that embeds"
            )
        if task.card.kind == "per-base":
            raise Unsupported(
                f"{task.card.reference} asks about every base, and a probe has one vector a sequence; fine-tune a model"
            )
        rows = training_rows(task, budget, seed)
        target = target_of(task, rows)
        found = features_of(model, inputs_of(rows))
        scaling = Scaling.of(self._recipe.normalise, found)
        features = scaling.apply(found)
        groups = rows["group"].to_numpy() if rows["group"].n_unique() < rows.height else None
        with _one_blas_thread():
            if target.kind == "values":
                weights, details = _fit_values(features, rows["label"].to_numpy(), groups, self._recipe)
            elif target.kind == "labels":
                weights, details = _fit_labels(features, np.array(rows["label"].to_list()), groups, self._recipe)
            elif rows["label"].n_unique() < 2:
                raise Unsupported(f"{task.card.reference}, budget {budget}: the training rows hold one class only")
            else:
                labels = rows["label"].to_numpy()
                weights, details = _fit_classes(features, labels, groups, self._recipe, target.outputs)
        rows_and_features = {"train_rows": rows.height, "features": int(features.shape[1])}
        return Fit(LinearPredictor(model, scaling, weights), rows_and_features | details)


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    """One BLAS thread inside: L-BFGS makes thousands of tiny calls, which threads slow down, most on a busy machine."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield


def _fit_classes(
    features: NDArray[np.float64] | csr_matrix,
    labels: NDArray[np.int64],
    groups: Groups,
    recipe: ProbeRecipe,
    outputs: int,
) -> tuple[Weights, dict[str, Any]]:
    """Logistic regression, and what is worth keeping of how it was fitted."""
    from sklearn.linear_model import LogisticRegression

    penalty = recipe.penalty
    details: dict[str, Any] = {}
    if penalty is None:
        penalty, chosen = _choose_penalty(features, labels, groups, recipe)
        details = {"inner_cv": chosen}
    solver = _solver(features, labels)
    estimator = LogisticRegression(C=penalty, max_iter=recipe.max_iter, tol=recipe.tolerance, solver=solver)
    details |= {"penalty": penalty, "solver": solver, **_converge(estimator, features, labels)}
    classes = tuple(map(int, estimator.classes_))
    return Weights("classes", outputs, estimator.coef_, estimator.intercept_, classes), details


def _fit_labels(
    features: NDArray[np.float64] | csr_matrix, labels: NDArray[np.int64], groups: Groups, recipe: ProbeRecipe
) -> tuple[Weights, dict[str, Any]]:
    """A logistic regression for each label, with a penalty of its own.

    A label that all or no training rows have gets the same probability everywhere: its share, with half a row of each.
    """
    fitted: list[tuple[Any, Any]] = []
    details: list[dict[str, Any]] = []
    for label in labels.T:
        if len(np.unique(label)) == 2:
            one, how = _fit_classes(features, label, groups, recipe, 2)
            fitted.append((one.coefficients[0], one.intercepts[0]))
            details.append(how)
        else:
            with_it, without = label.sum() + 0.5, (1 - label).sum() + 0.5
            fitted.append((np.zeros(features.shape[1]), np.log(with_it / without)))
            details.append({"note": "one value only in the training rows"})
    coefficients, intercepts = (np.array(parts) for parts in zip(*fitted, strict=True))
    return Weights("labels", labels.shape[1], coefficients, intercepts), {"labels": details}


def _fit_values(
    features: NDArray[np.float64] | csr_matrix, labels: NDArray[np.float64], groups: Groups, recipe: ProbeRecipe
) -> tuple[Weights, dict[str, Any]]:
    """Ridge regression, and its penalty."""
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV, GroupKFold, KFold

    if recipe.penalty is not None:
        return _of_ridge(Ridge(alpha=recipe.penalty).fit(features, labels)), {"penalty": recipe.penalty}
    folds = min(recipe.folds, len(labels if groups is None else np.unique(groups)))
    if folds < 2:
        raise Unsupported(f"{len(labels)} training rows of one group leave no inner fold to choose a penalty by")
    splitter = KFold(folds, shuffle=True, random_state=0) if groups is None else GroupKFold(folds)
    grid = {"alpha": [1 / C for C in recipe.grid]}
    search = GridSearchCV(Ridge(), grid, cv=splitter, scoring="neg_mean_squared_error")
    estimator = search.fit(features, labels, groups=groups).best_estimator_
    return _of_ridge(estimator), {"penalty": float(estimator.alpha)}


def _of_ridge(estimator: BaseEstimator) -> Weights:
    return Weights("values", 1, np.atleast_2d(estimator.coef_), np.atleast_1d(estimator.intercept_))


def _choose_penalty(
    features: NDArray[np.float64] | csr_matrix,
    labels: NDArray[np.int64],
    groups: NDArray[Any] | None,
    recipe: ProbeRecipe,
) -> tuple[float, dict[str, Any]]:
    """The penalty of the lowest cross-validated log-loss, and what was tried.

    With fewer rows of a class than two folds need, the middle of the grid is taken and said so.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    smallest = int(np.unique(labels, return_counts=True)[1].min())
    folds = min(recipe.folds, smallest if groups is None else min(smallest, len(np.unique(groups))))
    if folds < 2:
        few = f"a class has {smallest} row" if smallest < 2 else "all rows are of one group"
        return recipe.grid[len(recipe.grid) // 2], {
            "note": f"{few}: no inner cross-validation, middle of the grid taken"
        }
    splitter = (StratifiedKFold if groups is None else StratifiedGroupKFold)(folds, shuffle=True, random_state=0)
    present = np.unique(labels)
    losses = np.full((folds, len(recipe.grid)), np.nan)
    for fold, (train, held_out) in enumerate(splitter.split(features, labels, groups)):
        if len(np.unique(labels[train])) < len(present):
            continue
        estimator = LogisticRegression(
            max_iter=recipe.max_iter, tol=recipe.tolerance, solver=_solver(features, labels), warm_start=True
        )
        for place, C in enumerate(recipe.grid):
            estimator.set_params(C=C)
            _converge(estimator, features[train], labels[train])
            losses[fold, place] = log_loss(
                labels[held_out], estimator.predict_proba(features[held_out]), labels=present
            )
            if place >= 2 and losses[fold, place] > 1.5 * np.nanmin(losses[fold]):
                break  # the loss only grows from here, and these are the slow fits
    fitted = losses[~np.isnan(losses).all(axis=1)]  # folds whose training part holds every class
    if not len(fitted):
        middle = recipe.grid[len(recipe.grid) // 2]
        return middle, {"note": "the groups leave no inner fold with every class: middle of the grid taken"}
    tried = np.nan_to_num(fitted, nan=np.inf).mean(axis=0)
    best = int(np.argmin(tried))
    return recipe.grid[best], {"folds": len(fitted), "grouped": groups is not None, "log_loss": float(tried[best])}


def _solver(features: NDArray[np.float64] | csr_matrix, labels: NDArray[np.int64]) -> str:
    """Newton steps for few dense features and many rows, else L-BFGS: the same optimum, sooner.

    On 32,378 × 128 embeddings Newton took 0.5 s, L-BFGS 0.4 s (C = 0.001) and 3.5 s (C = 1); on 4,000 × 768 it is
    Newton that takes ten times longer.
    """
    from scipy.sparse import issparse

    unknowns = features.shape[1] * max(1, len(np.unique(labels)) - 1)
    small = unknowns <= min(LARGEST_HESSIAN, features.shape[0] / ROWS_PER_UNKNOWN)
    return "newton-cholesky" if small and not issparse(features) else "lbfgs"


def _converge(estimator: BaseEstimator, features: Any, labels: Any) -> dict[str, Any]:
    """Fit, and report convergence as data instead of a warning on the terminal."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(features, labels)
    iterations = int(np.max(estimator.n_iter_))
    return {"iterations": iterations, "converged": iterations < estimator.max_iter}
