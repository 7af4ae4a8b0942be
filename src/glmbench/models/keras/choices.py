"""What a person says of a Keras file: in the reference, or in a card beside the file; else it is guessed aloud."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from glmbench.errors import DataError
from glmbench.models.reference import Options

Position = Literal["end", "middle", "none"]
"""Where the base that the network gives stands: after its input, in the middle of it; `none`: it gives no base."""
Overflow = Literal["refuse", "window"]
KerasPool = Literal["mean", "max", "last"]


class FileCard(BaseModel):
    """The card beside a file: `model.json` of `model.hdf5`, or `glmbench.json` in its folder. All is optional."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = None
    description: str = ""
    vocabulary: str | None = None
    """Letters in the order of the columns."""
    position: Position | None = None
    trained_on: str | None = None
    """Species or data set of its training."""
    classes: tuple[str, ...] = ()
    """Names of a classifier's outputs."""
    licence: str | None = None


@dataclass(frozen=True)
class Choices:
    """The options of a reference; None where it says nothing."""

    position: Position | None
    vocabulary: str | None
    trained_on: str | None
    architecture: Path | None
    layer: str | None
    pool: KerasPool
    overflow: Overflow | None
    short: Literal["refuse", "pad"]

    @classmethod
    def take(cls, options: Options) -> Choices:
        """Read the options, and refuse others.

        Raises:
            UsageError: a value is not allowed, or an option unknown.
        """
        position = options.choice("position", "", ("end", "middle", "none")) or None
        overflow = options.choice("overflow", "", ("refuse", "window")) or None
        architecture = options.text("architecture")
        taken = cls(
            position=cast("Position | None", position),
            vocabulary=options.text("vocabulary"),
            trained_on=options.text("trained_on"),
            architecture=None if architecture is None else Path(architecture).expanduser(),
            layer=options.text("layer"),
            pool=cast(KerasPool, options.choice("pool", "mean", ("mean", "max", "last"))),
            overflow=cast("Overflow | None", overflow),
            short=cast('Literal["refuse", "pad"]', options.choice("short", "refuse", ("refuse", "pad"))),
        )
        options.finish()
        return taken


def read_card(path: Path) -> FileCard:
    """The card beside a file; an empty one where there is none.

    Raises:
        DataError: it is there and has a key or a value that no card has.
    """
    for beside in (path.with_suffix(".json"), path.with_name("glmbench.json")):
        if not beside.is_file():
            continue
        text = beside.read_text(encoding="utf-8")
        if '"class_name"' in text:  # an architecture that Keras wrote
            continue
        try:
            return FileCard.model_validate_json(text)
        except ValidationError as error:
            what = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise DataError(f"{beside}: {what}; wanted keys {', '.join(FileCard.model_fields)}") from None
    return FileCard()
