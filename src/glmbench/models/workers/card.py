"""Cards of worker models: a TOML file that names an adapter, the packages it needs, and what is known of the model."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from glmbench.errors import DataError, MissingData
from glmbench.models.workers.environment import NAME, Environment

if TYPE_CHECKING:
    from glmbench.models.zoo.card import ZooCard

CARD_FILE = "card.toml"
"""The name of a card where its folder is named."""

ADAPTERS = Path(__file__).with_name("adapters")
"""Where adapters stand that come with glmbench."""
CHECKPOINT = "glmbench:checkpoint"
"""What a card names as its adapter for a Hugging Face checkpoint that is run by stock transformers or its own code."""
CHECKPOINT_OPTIONS: dict[str, bool | int | float | str] = {
    "checkpoint": "",
    "revision": "",
    "remote_code": False,
    "layer": -1,
    "pool": "mean",
}
"""Options of that adapter and their defaults."""

_BUILT_IN = "glmbench:"


class Facts(BaseModel):
    """What results keep of the model; what is left out here, the adapter may say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["model", "control", "stand-in"] = "model"
    context: int | None = Field(default=None, ge=1)
    input_length: int | None = Field(default=None, ge=1)
    tokenizer: str | None = None
    parameters: int | None = None
    strands: Literal["forward", "both"] = "forward"
    licence: str | None = None
    pretraining: dict[str, Any] = Field(default_factory=dict)


class WorkerCard(BaseModel):
    """A model that runs in a process of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    name: str = Field(pattern=NAME)
    adapter: str
    """The Python file, relative to the card; or `glmbench:checkpoint`."""
    class_name: str = Field(alias="class")
    """The class in it that is the model; made with `options` as keyword arguments."""
    description: str = ""
    environment: Environment | None = None
    """Its packages; None: the environment of glmbench itself, in a process of its own."""
    options: dict[str, bool | int | float | str] = Field(default_factory=dict)
    """Defaults; a reference may give others (`?key=value`) of the same types."""
    facts: Facts = Field(default=Facts(), alias="card")

    @model_validator(mode="before")
    @classmethod
    def _with_defaults_of_the_adapter(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and fields.get("adapter") == CHECKPOINT:
            return {"class": "Checkpoint"} | fields | {"options": CHECKPOINT_OPTIONS | fields.get("options", {})}
        return fields


def read_card(path: Path) -> tuple[WorkerCard, Path]:
    """A card and the folder it stands in; `path` is the file, or a folder with a `card.toml`.

    Raises:
        MissingData: there is no such file, or no adapter beside it.
        DataError: it is no TOML, or a field is missing, unknown, or has a value that it cannot have.
    """
    file = path.expanduser() / CARD_FILE if path.expanduser().is_dir() else path.expanduser()
    if not file.is_file():
        raise MissingData(f"{file}: no such card; want a TOML file with name, adapter, class (see docs/workers.md)")
    try:
        card = WorkerCard.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: no TOML: {error}") from error
    except ValidationError as error:
        found = error.errors()[0]
        field = ".".join(map(str, found["loc"]))
        raise DataError(f"{file}: {field}: {found['msg'].removeprefix('Value error, ')}") from error
    folder = file.resolve().parent
    if not adapter_path(card, folder).is_file():
        raise MissingData(f"{file}: adapter {card.adapter!r} is not in {folder}")
    return card, folder


def find_card(text: str) -> tuple[WorkerCard, Path]:
    """The card of a path, or else of a model of the zoo that runs in an environment of its own; and its folder.

    Raises:
        MissingData: there is neither.
        DataError: as `read_card`.
    """
    from glmbench.models.zoo.zoo import load_card, names

    if text in names() and not Path(text).exists() and (environment := load_card(text).environment) is not None:
        return _of_zoo(load_card(text), Environment.model_validate(environment)), ADAPTERS
    return read_card(Path(text))


def adapter_path(card: WorkerCard, folder: Path) -> Path:
    """The Python file of a card that stands in `folder`."""
    if card.adapter.startswith(_BUILT_IN):
        return ADAPTERS / f"{card.adapter.removeprefix(_BUILT_IN)}.py"
    return folder / card.adapter


def _of_zoo(card: ZooCard, environment: Environment) -> WorkerCard:
    """The worker of a published model: its checkpoint, by its own code, in the environment that its card names."""
    known: dict[str, Any] = {"checkpoint": card.repository or "", "revision": card.revision or "", "remote_code": True}
    fields = {
        "name": card.name,
        "adapter": CHECKPOINT,
        "description": card.title,
        "environment": environment,
        "options": known | card.options,
        "card": {
            "context": card.context,
            "tokenizer": card.tokenizer or None,
            "parameters": card.parameters,
            "strands": card.strands,
            "licence": card.licence,
            "pretraining": card.pretraining,
        },
    }
    return WorkerCard.model_validate(fields)
