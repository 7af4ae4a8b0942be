"""Whether weights fit a network: its body strictly, its head strictly where it is claimed, other heads not at all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

from glmbench.errors import DataError
from glmbench.models.huggingface.roles import Report

if TYPE_CHECKING:
    from torch import nn

_NO_PART_OF_STATES = re.compile(
    r"(^|\.)(pooler|contact_head|lm_head|cls|classifier|score|qa_outputs)\.|(position_ids|inv_freq)$"
)
"""Weights that hidden states do not depend on: heads, poolers, and buffers that old versions saved."""

_NO_PART_OF_HEADS = re.compile(r"(^|\.)(seq_relationship|contact_head)\.|(position_ids|inv_freq)$")
"""BERT's question about pairs of sequences, which `ForPreTraining` has beside its masked head; ESM's contacts."""


def body_of(network: nn.Module) -> tuple[nn.Module, str]:
    """The network without its head, and what its weights' names start with; the whole where it has no head."""
    named = cast(Any, network)
    body = getattr(network, named.base_model_prefix, network) if named.base_model_prefix else network
    return (body, f"{named.base_model_prefix}.") if body is not network else (network, "")


def head_weights(network: nn.Module, report: Report) -> tuple[set[str], set[str]]:
    """Weights of the head (a pooler below it included) that the file has, and those that it lacks.

    A weight that is tied to one of the body is neither.
    """
    body, prefix = body_of(network)
    of_states = {
        id(parameter) for name, parameter in body.named_parameters() if not _NO_PART_OF_STATES.search(f"{prefix}{name}")
    }
    names: dict[int, list[str]] = {}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        if id(parameter) not in of_states and not _NO_PART_OF_HEADS.search(name):
            names.setdefault(id(parameter), []).append(name)
    missing = {same[0] for same in names.values() if report.missing.intersection(same)}
    return {same[0] for same in names.values()} - missing, missing


def left_over(report: Report) -> set[str]:
    """Weights of the file that had no place and may be another head's."""
    return {name for name in report.unexpected if not _NO_PART_OF_HEADS.search(name)}


def check_keys(network: nn.Module, report: Report, where: str, advice: str, *, head: bool) -> None:
    """Refuse weights that do not fit: of the body, and with `head` of what stands on it.

    Raises:
        DataError: weights are missing, left over, or of another shape.
    """
    body, prefix = body_of(network)
    base = f"{cast(Any, network).base_model_prefix}."
    parts = {name for name, _ in body.named_children()}
    heads = {name for name, _ in network.named_children()} - {prefix.removesuffix(".")} if head else set()
    no_part = _NO_PART_OF_HEADS if head else _NO_PART_OF_STATES

    def wanted(name: str) -> bool:
        return (head or name.startswith(prefix)) and not no_part.search(name)

    def in_place_of(name: str) -> bool:
        of_body = name.removeprefix(base).split(".")[0] in parts
        return (of_body or name.split(".")[0] in heads) and not no_part.search(name)

    problems = {
        "are missing": [name.removeprefix(base) for name in report.missing if wanted(name)],
        "have no place": [name for name in report.unexpected if in_place_of(name)],
        "have another shape": [
            f"{name} {_shape(got)}, wanted {_shape(shape)}" for name, got, shape in report.mismatched if wanted(name)
        ],
    }
    said = [
        f"{len(found)} weights {what} ({', '.join(sorted(found)[:3])}{', …' if found[3:] else ''})"
        for what, found in problems.items()
        if found
    ]
    if said:
        raise DataError(f"{where}: the weights do not fit {type(network).__name__}: {'; '.join(said)}; {advice}")


def _shape(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes))
