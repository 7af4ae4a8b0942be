"""Model references: `SCHEME:LOCATOR[@REVISION][?key=value&…]`, read into a value and written in one canonical form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from urllib.parse import quote, unquote

from glmbench.errors import UsageError

EXAMPLES = "kmer:5, kmer:pos3, onehot-cnn, hf:PATH-or-hub-id, zoo:dnabert-6, h5:FILE.hdf5, random:PATH-or-hub-id"

_OPTIONS = re.compile(r"\?([A-Za-z_]+=[^&=]*(?:&[A-Za-z_]+=[^&=]*)*)$")
_REVISION = re.compile(r"@([A-Za-z0-9][A-Za-z0-9._-]*)$")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_UNRESERVED = "/:,.+-_~"


@dataclass(frozen=True)
class ModelReference:
    """A parsed reference. `str()` gives its canonical form: options sorted by key, reserved characters quoted."""

    scheme: str
    locator: str = ""
    revision: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        text = f"{self.scheme}:{self.locator}" if self.locator else self.scheme
        if self.revision:
            text += f"@{self.revision}"
        if self.options:
            pairs = (f"{key}={quote(value, safe=_UNRESERVED)}" for key, value in sorted(self.options.items()))
            text += "?" + "&".join(pairs)
        return text


def parse_reference(text: str) -> ModelReference:
    """Read a model reference.

    A revision is only read after something that can be a hub id (`org/name@revision`): a path that starts with `/`,
    `.` or `~`, or has a blank or more than one slash, keeps its `@`. Options are read from the last `?` that is
    followed by nothing but `key=value` pairs; `%xx` in a value is decoded.

    Raises:
        UsageError: the text has no scheme, or an option is given twice.
    """
    body, options = _split_options(text.strip(), text)
    scheme, colon, locator = body.partition(":")
    if not re.fullmatch(r"[a-z][a-z0-9-]*", scheme) or (colon and not locator):
        advice = f"; for a folder write hf:{text}" if "/" in text or not scheme else ""
        raise UsageError(
            f"{text!r} is no model reference, wanted SCHEME:LOCATOR[@REVISION][?key=value&…], as in {EXAMPLES}{advice}"
        )
    revision = None
    if (match := _REVISION.search(locator)) and _HUB_ID.fullmatch(locator[: match.start()]):
        locator, revision = locator[: match.start()], match[1]
    return ModelReference(scheme, locator, revision, options)


def _split_options(body: str, text: str) -> tuple[str, dict[str, str]]:
    match = _OPTIONS.search(body)
    if match is None:
        return body, {}
    options: dict[str, str] = {}
    for pair in match[1].split("&"):
        key, _, value = pair.partition("=")
        if key in options:
            raise UsageError(f"model reference {text!r} gives option {key!r} twice; give it once")
        options[key] = unquote(value)
    return body[: match.start()], options


def close_matches(word: str, known: list[str]) -> str:
    """` (did you mean …?)` for a word near one of `known`, else nothing."""
    near = get_close_matches(word, known, n=2, cutoff=0.5)
    return f" (did you mean {' or '.join(near)}?)" if near else ""


class Options:
    """Takes the options of a reference one by one with their types, and refuses those that nobody took."""

    def __init__(self, reference: ModelReference) -> None:
        self._reference = reference
        self._left = dict(reference.options)
        self._known: list[str] = []

    def integer(self, key: str, default: int | None, *, least: int | None = None) -> int | None:
        """An integer option.

        Raises:
            UsageError: the value is no integer, or below `least`.
        """
        value = self._take(key)
        if value is None:
            return default
        number = int(value) if re.fullmatch(r"-?\d+", value) else None
        if number is None or (least is not None and number < least):
            wanted = "an integer" if least is None else f"an integer of at least {least}"
            raise self._error(f"option {key!r} is {value!r}, wanted {wanted}")
        return number

    def choice(self, key: str, default: str, choices: tuple[str, ...]) -> str:
        """An option with a few allowed values.

        Raises:
            UsageError: the value is none of `choices`.
        """
        value = self._take(key)
        if value is not None and value not in choices:
            near = close_matches(value, list(choices))
            raise self._error(f"option {key!r} is {value!r}, wanted one of {', '.join(choices)}{near}")
        return default if value is None else value

    def text(self, key: str) -> str | None:
        """An option that may hold any text; None where it is not given.

        Raises:
            UsageError: it is empty.
        """
        value = self._take(key)
        if value == "":
            raise self._error(f"option {key!r} is empty; give it a value, or leave it out")
        return value

    def finish(self) -> None:
        """Refuse options that are left.

        Raises:
            UsageError: there is one; the message lists those that exist.
        """
        for key in self._left:
            known = ", ".join(sorted(self._known)) or "none"
            raise self._error(f"unknown option {key!r}; options here: {known}{close_matches(key, self._known)}")

    def _take(self, key: str) -> str | None:
        self._known.append(key)
        return self._left.pop(key, None)

    def _error(self, problem: str) -> UsageError:
        return UsageError(f"model reference {str(self._reference)!r}: {problem}")


def refuse_revision(reference: ModelReference) -> None:
    """For schemes without revisions.

    Raises:
        UsageError: the reference has one.
    """
    if reference.revision is not None:
        raise UsageError(
            f"model reference {str(reference)!r}: scheme {reference.scheme!r} has no revisions; leave out @…"
        )
