"""What a model can do, in words, and a clear no where a verb needs something else."""

from __future__ import annotations

from typing import Any

from glmbench.errors import Unsupported, UsageError
from glmbench.models.model import (
    Embeds,
    Inspectable,
    Model,
    Predicts,
    PredictsBases,
    PredictsEachBase,
    ScoresSequences,
)
from glmbench.models.reference import ModelReference, parse_reference

_CAPABILITIES: tuple[tuple[type[Any], str], ...] = (
    (Embeds, "one vector a sequence (glmbench embed)"),
    (Inspectable, "states of its layers (glmbench embed --per-base)"),
    (ScoresSequences, "how likely a sequence is (glmbench score)"),
    (PredictsBases, "probabilities of single bases (glmbench impute, score-variants, score --per-base)"),
    (Predicts, "predictions (glmbench predict)"),
    (PredictsEachBase, "a class of every base (glmbench predict)"),
)


def able(model: Model) -> list[str]:
    """What a model can do, one phrase a capability."""
    return [words for protocol, words in _CAPABILITIES if isinstance(model, protocol)]


def cannot(model: Model, wanted: str) -> Unsupported:
    """The error for a model without the capability that a verb needs; it lists what the model can do.

    Args:
        model: what was loaded.
        wanted: what it was to do, as in "cannot …".
    """
    can = "; ".join(able(model)) or "nothing that these verbs need, it is only trained by `glmbench run`"
    return Unsupported(f"{model.card.reference} cannot {wanted}; what it gives: {can}")


def with_options(reference: str, **options: object) -> str:
    """A reference with options added; those that are None are left out.

    Raises:
        UsageError: malformed reference, or one that has an option already.
    """
    parsed = parse_reference(reference)
    given = {key: str(value) for key, value in options.items() if value is not None}
    if twice := sorted(given.keys() & parsed.options.keys()):
        raise UsageError(f"{reference} says {twice[0]}, and so does --{twice[0]}; say it once")
    return str(ModelReference(parsed.scheme, parsed.locator, parsed.revision, {**parsed.options, **given}))


def identity(model: Model) -> dict[str, Any]:
    """What decides a model's numbers, as plain values: its fingerprint and the options of its reference."""
    options = parse_reference(model.card.reference).options
    return {"model": model.card.fingerprint, "model options": dict(sorted(options.items()))}
