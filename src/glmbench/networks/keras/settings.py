"""The settings of one layer as the file's JSON has them, read with their types; the file is not trusted."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from glmbench.errors import DataError
from glmbench.networks.keras.activations import ACTIVATIONS

LARGEST = 10_000_000
"""The largest integer that a layer may ask for: a JSON file is short, and what it asks for need not be."""

Shape = tuple[int | None, ...]
"""Without the batch axis; None where any length goes."""


class Settings:
    """Settings of a layer; every reader raises `DataError` that names the layer."""

    def __init__(self, name: str, kind: str, values: Mapping[str, Any]) -> None:
        self.name, self.kind, self._values = name, kind, values

    def error(self, problem: str) -> DataError:
        """A DataError that says which layer."""
        return DataError(f"layer {self.name!r} ({self.kind}) {problem}")

    def integer(self, key: str, default: int | None = None, *, least: int = 1) -> int:
        """An integer; a list of one, as convolutions have, and R's `5.0` count as integers."""
        value = self._values.get(key, default)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= LARGEST:
            raise self.error(f"has {key} {_short(value)}, wanted an integer from {least} to {LARGEST:,}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number."""
        value = self._values.get(key, default)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if not _is_number(value):
            raise self.error(f"has {key} {_short(value)}, wanted a number")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """A truth value; null means the default, as R writes it."""
        value = self._values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.error(f"has {key} {_short(value)}, wanted true or false")
        return value

    def choice(self, key: str, default: str, choices: tuple[str, ...]) -> str:
        """One of a few words."""
        value = self._values.get(key)
        value = default if value is None else value
        if value not in choices:
            raise self.error(f"has {key} {_short(value)}, wanted one of {', '.join(choices)}")
        return str(value)

    def activation(self, key: str = "activation", default: str = "linear") -> str:
        """The name of an activation function that we have."""
        value = self._values.get(key)
        value = default if value is None else value
        if isinstance(value, dict):
            value = value["config"] if isinstance(value.get("config"), str) else value.get("class_name")
        if not isinstance(value, str) or value not in ACTIVATIONS:
            raise self.error(f"has {key} {_short(value)}, wanted one of {', '.join(sorted(ACTIVATIONS))}")
        return value

    def integers(self, key: str) -> tuple[int, ...]:
        """A short list of integers, -1 allowed."""
        value = self._values.get(key)
        if not isinstance(value, list) or len(value) > 8 or not all(_is_integral(v) for v in value):
            raise self.error(f"has {key} {_short(value)}, wanted a list of at most 8 integers")
        return tuple(int(v) for v in value)

    def shape(self, key: str) -> Shape:
        """A short list of lengths, null where any goes."""
        value = self._values.get(key)
        if isinstance(value, list) and 1 <= len(value) <= 8:
            lengths = [int(v) if _is_integral(v) and v >= 1 else None for v in value]
            if all(given is None or length is not None for given, length in zip(value, lengths, strict=True)):
                return tuple(lengths)
        raise self.error(f"has {key} {_short(value)}, wanted a list of lengths")

    def integers_or_one(self, key: str) -> tuple[int, ...]:
        """As `integers`; one integer counts as a list of it."""
        value: Any = self._values.get(key)
        return (int(value),) if _is_integral(value) else self.integers(key)

    def inner(self, key: str = "layer") -> Settings:
        """The settings of the layer that a wrapper holds."""
        value = self._values.get(key)
        if not isinstance(value, dict) or not isinstance(value.get("config"), dict):
            raise self.error(f"has no {key} to wrap")
        return Settings(f"{self.name}/{key}", str(value.get("class_name")), value["config"])

    def has(self, key: str) -> bool:
        """Whether the file gives a value that is not null."""
        return self._values.get(key) is not None

    def refuse(self, key: str) -> None:
        """Refuse a switch that is on.

        Raises:
            DataError: it is on.
        """
        if self.flag(key, False):
            raise self.error(f"has {key} switched on, which this loader does not run; wanted it off")


def _is_number(value: Any) -> bool:
    """Whether it is a finite number; JSON also has integers that no float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max


def _is_integral(value: Any) -> bool:
    return _is_number(value) and -1 <= value <= LARGEST and value == int(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
