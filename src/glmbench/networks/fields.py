"""Fields of configurations: transformers takes any keyword in silence, and a misspelt size would be ignored."""

from __future__ import annotations

from collections.abc import Iterable

from transformers import PretrainedConfig

from glmbench.errors import UsageError


def check_fields(example: PretrainedConfig, names: Iterable[str]) -> None:
    """Refuse names that are no fields of a configuration such as the example.

    Raises:
        UsageError: there is one; the message lists the fields.
    """
    known = example.to_dict()
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise UsageError(
            f"{', '.join(unknown)}: no fields of {type(example).__name__}; it has {', '.join(sorted(known))}"
        )
