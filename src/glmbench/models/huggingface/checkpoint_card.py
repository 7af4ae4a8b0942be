"""The card of a checkpoint, from what it says of itself."""

from __future__ import annotations

from typing import Any

from glmbench.errors import DataError
from glmbench.models.huggingface.checkpoint import Checkpoint
from glmbench.models.model import ModelCard
from glmbench.models.reference import ModelReference
from glmbench.models.zoo.zoo import card_of


def describe(checkpoint: Checkpoint, reference: ModelReference, fingerprint: str) -> ModelCard:
    """A card from what the checkpoint says of itself: `glmbench.json`, else the header of its README.

    What it leaves open of its pre-training data, licence and description, the zoo says of repositories that it knows.
    `glmbench.json` may hold `kind` (`model` or `stand-in`), `name`, `description`, `licence`, `pretraining` (object).

    Raises:
        DataError: a field has another type than it should.
    """
    about = checkpoint.read_json("glmbench.json")
    header = _readme_header(checkpoint)
    known = card_of(checkpoint.hub_id) if checkpoint.hub_id else None
    pretraining = about.get("pretraining") or {key: header[key] for key in ("datasets", "base_model") if key in header}
    licence = about.get("licence") or header.get("license") or (known and known.licence)
    kind = about.get("kind", "model")
    if kind not in ("model", "stand-in") or not isinstance(pretraining, dict):
        raise DataError(
            f"{checkpoint.folder / 'glmbench.json'}: kind is {kind!r}, wanted model or stand-in; "
            "pretraining must be an object"
        )
    return ModelCard(
        reference=str(reference),
        name=str(about.get("name") or (checkpoint.hub_id or checkpoint.folder.name).rpartition("/")[2]),
        kind=kind,
        fingerprint=fingerprint,
        description=str(about.get("description") or (known.title if known else "")),
        pretraining={**(known.pretraining if known else {}), **pretraining},
        licence=str(licence) if licence else None,
    )


def _readme_header(checkpoint: Checkpoint) -> dict[str, Any]:
    readme = checkpoint.folder / "README.md"
    if not readme.is_file():
        return {}
    from huggingface_hub.repocard import metadata_load

    try:
        header = metadata_load(readme)
    except Exception:  # YAML has errors of its own; a header that cannot be read says nothing about the model
        return {}
    return {key: value for key, value in (header or {}).items() if isinstance(value, str | list)}
