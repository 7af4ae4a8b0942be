"""Architectures that checkpoints bring as code of their own, and that run here without it: one module a family."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from glmbench.models.huggingface.families.family import Family

FAMILIES = (
    "dnabert2:DNABERT2",
    "gena:GENA",
    "nucleotide_transformer:NUCLEOTIDE_TRANSFORMER",
    "hyenadna:HYENADNA",
    "gpn:GPN",
)
"""`module:NAME` of every family. Their modules import no torch; networks are named there and imported when needed."""


def known_families() -> tuple[Family, ...]:
    """All families, in the order in which they are asked."""
    return tuple(_family(place) for place in FAMILIES)


def recognise(config_json: Mapping[str, Any]) -> Family | None:
    """The family of a `config.json`; None for architectures of transformers, of ours, and those that nobody knows."""
    return next((family for family in known_families() if family.recognises(config_json)), None)


def _family(place: str) -> Family:
    module, _, name = place.partition(":")
    family: Family = getattr(import_module(f"{__name__}.{module}"), name)
    return family
