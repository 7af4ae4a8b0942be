"""Keeping a fitted predictor: a folder with `fitted.json` and the weights that the fit made, without the model."""

from __future__ import annotations

import errno
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glmbench.models.fitted.about import ABOUT, WEIGHTS, About
from glmbench.models.fitted.linear import LinearPredictor
from glmbench.models.fitted.target import Target
from glmbench.models.fitted.trained_network import Trained, TrainedNetwork, TrainedOnBases
from glmbench.models.reference import ModelReference, parse_reference


@dataclass(frozen=True)
class Fitted:
    """What a predictor was fitted to.

    Attributes:
        method: name of the method.
        task: its reference.
        budget: of labelled rows.
        seed: of the fit.
        classes: names of the outputs, as the task's card has them; may be fewer than there are.
        paired: whether examples are pairs of sequences.
    """

    method: str
    task: str
    budget: str
    seed: int
    classes: tuple[str, ...]
    paired: bool


def is_small(predictor: object) -> bool:
    """Whether a predictor's own weights are few beside the model's: a linear model, or adapters and a head."""
    if isinstance(predictor, TrainedNetwork | TrainedOnBases):
        return predictor.form.lora is not None
    return isinstance(predictor, LinearPredictor)


def save(predictor: object, fitted: Fitted, folder: Path) -> None:
    """Write a predictor into an empty folder; one that nothing was fitted of leaves it empty.

    Raises:
        OSError: it cannot be written.
    """
    if isinstance(predictor, LinearPredictor):
        _save_linear(predictor, fitted, folder)
    elif isinstance(predictor, TrainedNetwork | TrainedOnBases):
        _save_network(predictor, fitted, folder)


def _save_linear(predictor: LinearPredictor, fitted: Fitted, folder: Path) -> None:
    from safetensors.numpy import save

    weights, scaling = predictor.weights, predictor.scaling
    arrays = {"coefficients": weights.coefficients, "intercepts": weights.intercepts}
    arrays |= {name: a for name, a in (("mean", scaling.mean), ("scale", scaling.scale)) if a is not None}
    (folder / WEIGHTS).write_bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))
    about = About(
        model=_absolute(predictor.card.reference),
        fingerprint=predictor.card.fingerprint,
        part="linear",
        target=asdict(Target(weights.kind, weights.outputs)),
        form={"normalise": scaling.normalise, "classes": list(weights.classes)},
        **_common(fitted),
    )
    (folder / ABOUT).write_text(about.model_dump_json(indent=1), encoding="utf-8")


def _save_network(predictor: Trained, fitted: Fitted, folder: Path) -> None:
    from safetensors import SafetensorError

    from glmbench.training.checkpoint import save_trained

    try:
        save_trained(predictor.module, folder / WEIGHTS)
    except SafetensorError as error:  # it hides the number of the system's error in its text
        full = "No space left" in str(error)
        raise OSError(errno.ENOSPC if full else errno.EIO, str(error), str(folder / WEIGHTS)) from error
    (folder / WEIGHTS).chmod(0o666 & ~_umask())  # safetensors gives its files to their owner alone
    about = About(
        model=_absolute(predictor.card.reference),
        fingerprint=predictor.card.fingerprint,
        part="network" if predictor.form.lora is None else "adapters",
        target=asdict(predictor.target),
        form=asdict(predictor.form),
        precision=predictor.precision,
        reverse_complements=predictor.reverse_complements,
        batch_codes=predictor.batch_codes,
        **_common(fitted),
    )
    (folder / ABOUT).write_text(about.model_dump_json(indent=1), encoding="utf-8")


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _common(fitted: Fitted) -> dict[str, Any]:
    return asdict(fitted)


_OF_FILES = ("hf", "random", "h5", "worker", "fitted")
"""Schemes whose locator may be a folder or a file."""


def _absolute(reference: str) -> str:
    """The reference with the path of a folder or file that is here written out: it is read from elsewhere later."""
    parsed = parse_reference(reference)
    path = Path(parsed.locator).expanduser()
    if parsed.scheme not in _OF_FILES or not path.exists():
        return reference
    return str(ModelReference(parsed.scheme, str(path.resolve()), parsed.revision, parsed.options))
