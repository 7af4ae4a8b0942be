"""Reading a fitted predictor: `fitted:PATH`, a folder that `glmbench run` kept, or the result that it lies in."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from glmbench.errors import DataError, MissingData, UsageError
from glmbench.models.fitted.about import ABOUT, FOLDER, WEIGHTS, About
from glmbench.models.fitted.adapters import LoraRecipe
from glmbench.models.fitted.building import Form, build
from glmbench.models.fitted.linear import LinearPredictor, Scaling, Weights
from glmbench.models.fitted.target import Target
from glmbench.models.fitted.trained_network import Trained, TrainedNetwork, TrainedOnBases
from glmbench.models.model import Embeds, Model, ModelCard, Trainable
from glmbench.models.reference import ModelReference, Options, parse_reference, refuse_revision
from glmbench.storage.hashing import sha256_file, sha256_json


def load_fitted(
    reference: ModelReference, *, trust_remote_code: bool = False, offline: bool = False
) -> LinearPredictor | Trained:
    """The predictor of `fitted:PATH`.

    PATH is a folder with a fitted predictor, the folder of a result that has one, or STORE/PREFIX with the first
    characters of a result's address. Option `model` names the model where it has moved, `precision` says in which
    arithmetic a network answers, where another than that of the fit is wanted.

    Raises:
        UsageError: there is no such folder, or several results begin so.
        MissingData: the model that was fitted is not there.
        DataError: the files are damaged, or the model is another than the one that was fitted.
    """
    from glmbench.models import registry

    refuse_revision(reference)
    options = Options(reference)
    moved = options.text("model")
    precision = options.choice("precision", "", ("fp32", "bf16"))
    options.finish()
    folder = find_folder(Path(reference.locator).expanduser())
    about = _about(folder)
    if precision:
        about = about.model_copy(update={"precision": precision})
    base = moved or about.model
    if moved and parse_reference(moved).options != parse_reference(about.model).options:
        raise UsageError(f"{reference}: it was fitted to {about.model}; give the moved model the same options")
    try:
        model = registry.load(base, trust_remote_code=trust_remote_code, offline=offline)
    except (MissingData, UsageError) as error:
        raise type(error)(
            f"{reference}: it was fitted to {base}, which cannot be loaded ({error}); where the model has moved, "
            f"add ?model=REFERENCE"
        ) from error
    if model.card.fingerprint != about.fingerprint:
        raise DataError(
            f"{reference} was fitted to {about.model} with fingerprint {about.fingerprint[:12]}…, {base} has "
            f"{model.card.fingerprint[:12]}…: its weights, tokenizer or options have changed; take the model as it was"
        )
    try:
        card = _card(reference, about, model.card, folder)
        return _linear(folder, about, model, card) if about.part == "linear" else _network(folder, about, model, card)
    except (TypeError, KeyError, ValidationError) as error:  # fields that no version has written
        raise DataError(f"{folder / ABOUT} is damaged: {error}") from None


def find_folder(path: Path) -> Path:
    """The folder with a fitted predictor that a path stands for.

    Raises:
        UsageError: there is none, or several results begin so.
    """
    if (path / ABOUT).is_file():
        return path
    if (path / FOLDER / ABOUT).is_file():
        return path / FOLDER
    if re.fullmatch("[0-9a-f]{4,64}", path.name):
        found = sorted((path.parent / "results").glob(f"{path.name}*/{FOLDER}/{ABOUT}"))
        if len(found) == 1:
            return found[0].parent
        if found:
            raise UsageError(f"{len(found)} results of {path.parent} begin with {path.name}; give more of the address")
    raise UsageError(
        f"no fitted predictor at {path}; want a folder with {ABOUT}, the folder of a result, or STORE/ADDRESS. "
        "`glmbench run` keeps linear models and adapters, and with --keep all whole networks too"
    )


def _target(about: About) -> Target:
    return TypeAdapter(Target).validate_python(about.target, extra="forbid")


def _about(folder: Path) -> About:
    try:
        return About.model_validate_json((folder / ABOUT).read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError(f"cannot read {folder / ABOUT}: {error}") from None


def _card(reference: ModelReference, about: About, base: ModelCard, folder: Path) -> ModelCard:
    target = _target(about)
    named = about.classes if len(about.classes) == target.outputs else ()
    try:
        content = [about.fingerprint, about.model_dump(mode="json"), sha256_file(folder / WEIGHTS)]
    except OSError as error:
        raise DataError(f"cannot read {folder / WEIGHTS}: {error}") from None
    return base.model_copy(
        update={
            "reference": str(reference),
            "name": f"{base.name}, {about.method} on {about.task}",
            "kind": "model",
            "fingerprint": sha256_json(content),
            "description": f"{about.method} of {about.model} on {about.task}, budget {about.budget}, seed {about.seed}",
            "outputs": named if target.kind != "values" else (),
            "several_labels": target.kind == "labels",
            "pairs": about.paired,
        }
    )


def _linear(folder: Path, about: About, model: Model, card: ModelCard) -> LinearPredictor:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not isinstance(model, Embeds):
        raise DataError(f"{about.model} gives no features any more, and a linear model was fitted to them")
    try:
        arrays = load_file(folder / WEIGHTS)
        scaling = Scaling(about.form["normalise"], arrays.get("mean"), arrays.get("scale"))
        target = _target(about)
        weights = Weights(
            target.kind, target.outputs, arrays["coefficients"], arrays["intercepts"], tuple(about.form["classes"])
        )
    except (OSError, SafetensorError) as error:
        raise DataError(f"{folder} is damaged: {error}") from None
    return LinearPredictor(model, scaling, weights, card)


def _network(folder: Path, about: About, model: Model, card: ModelCard) -> Trained:
    from safetensors import SafetensorError

    from glmbench.training.checkpoint import load_trained
    from glmbench.training.device import preferred_device

    if not isinstance(model, Trainable):
        raise DataError(f"{about.model} cannot be trained any more, and its network was")
    lora = about.form.get("lora")
    if lora is not None:
        lora = LoraRecipe(**{**lora, "targets": None if lora["targets"] is None else tuple(lora["targets"])})
    form, target = Form(**{**about.form, "lora": lora}), _target(about)
    module, collate, _ = build(model, target, form, seed=about.seed)
    try:
        load_trained(module, folder / WEIGHTS)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise DataError(f"{folder / WEIGHTS} is damaged, or of another network: {error}") from None
    module.to(preferred_device()).eval()
    return (TrainedOnBases if target.kind == "bases" else TrainedNetwork)(
        card,
        module,
        collate,
        target,
        form=form,
        precision=about.precision,
        reverse_complements=about.reverse_complements,
        batch_codes=about.batch_codes,
    )
