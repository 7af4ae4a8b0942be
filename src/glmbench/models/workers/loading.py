"""`worker:CARD[?options]`: from a card to a model that runs in its private environment."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from glmbench.errors import DataError, UsageError
from glmbench.models.model import ModelCard
from glmbench.models.reference import ModelReference, close_matches, refuse_revision
from glmbench.models.workers.card import ADAPTERS, WorkerCard, adapter_path, find_card
from glmbench.models.workers.client import CHUNK, WorkerModel, model_of
from glmbench.models.workers.environment import Installed, require
from glmbench.models.workers.protocol import PROTOCOL
from glmbench.models.workers.worker import Description, Launch, Worker
from glmbench.storage.hashing import sha256_file, sha256_json

TIMEOUT_SECONDS = 3600.0
SILENCE_SECONDS = 120.0

_OURS = {"batch": CHUNK, "silence": SILENCE_SECONDS, "timeout": TIMEOUT_SECONDS}
"""Options that are not the model's: they decide no number."""

Value = bool | int | float | str


def load_worker(reference: ModelReference, *, trust_remote_code: bool = False, offline: bool = False) -> WorkerModel:
    """The model of `worker:CARD`: the path of a card, a folder with a `card.toml`, or a zoo model that is a worker.

    Options are `batch` (sequences of one request), `timeout` (seconds that a request may take), `silence` (seconds
    without a sign of life), and those that the card lists.

    Raises:
        UsageError: an unknown option, or an adapter that may not run.
        MissingData: no such card, or its environment is not built.
        DataError: the card or the adapter is not what it should be.
        WorkerError: the worker does not start, or the adapter does not load its model.
    """
    refuse_revision(reference)
    card, folder = find_card(reference.locator)
    return open_worker(card, folder, reference, trust_remote_code=trust_remote_code, offline=offline)


def open_worker(
    card: WorkerCard,
    folder: Path,
    reference: ModelReference,
    *,
    trust_remote_code: bool = False,
    offline: bool = False,
) -> WorkerModel:
    """The model of a card that was read, wherever it stood.

    Args:
        card: what to run.
        folder: where it stands: its adapter is named relative to it, and so are paths in options.
        reference: for the options, and for the model's card.
        trust_remote_code: let an adapter run that does not come with glmbench.
        offline: tell Hugging Face's libraries in the worker to open no socket.

    Raises:
        As `load_worker`.
    """
    adapter = adapter_path(card, folder)
    ours, options = _options(card, reference)
    if not trust_remote_code and (strange := _code_of_others(adapter, options)) is not None:
        raise _refused(
            reference, f"{strange} is Python code that would run here; read it, then say --trust-remote-code"
        )
    environment = None
    if card.environment is not None:
        command = f"glmbench env build {shlex.quote(reference.locator)}"
        environment = require(card.environment, card.name, command)
    launch = Launch(
        name=card.name,
        python=Path(sys.executable) if environment is None else environment.executable,
        isolated=environment is not None,
        adapter=adapter.resolve(),
        folder=folder,
        class_name=card.class_name,
        options=options,
        variables={"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"} if offline else {},
        timeout=ours["timeout"],
        silence=ours["silence"],
    )
    worker = Worker(launch)
    try:
        described = worker.describe()
        fingerprint = _fingerprint(card, folder, options, environment, described)
        return model_of(worker, _model_card(card, reference, fingerprint, described), chunk=int(ours["batch"]))
    except BaseException:
        worker.close()
        raise


def _model_card(card: WorkerCard, reference: ModelReference, fingerprint: str, described: Description) -> ModelCard:
    """What the card says of the model, and the adapter where the card is silent."""
    return ModelCard(
        reference=str(reference),
        name=card.name,
        kind=card.facts.kind,
        fingerprint=fingerprint,
        description=card.description or described.description or "",
        tokenizer=card.facts.tokenizer or described.tokenizer,
        context=card.facts.context or described.context,
        input_length=card.facts.input_length,
        parameters=card.facts.parameters or described.parameters,
        strands=card.facts.strands,
        pretraining=card.facts.pretraining,
        licence=card.facts.licence,
        outputs=described.outputs or (),
    )


def _fingerprint(
    card: WorkerCard,
    folder: Path,
    options: Mapping[str, Value],
    environment: Installed | None,
    described: Description,
) -> str:
    """SHA-256 of the adapter, its options, the files that it reads, and the packages as they were resolved."""
    files: list[tuple[str, str]] = []
    for path in described.files:
        if not path.is_file():
            raise DataError(f"model {card.name!r}: its adapter names {path}, which is no file")
        inside = folder in path.parents
        files.append((str(path.relative_to(folder)) if inside else path.name, sha256_file(path)))
    packages = None if environment is None else environment.content_hash()
    return sha256_json(["worker", PROTOCOL, card.class_name, dict(options), packages, sorted(files)])


def _code_of_others(adapter: Path, options: Mapping[str, Value]) -> str | None:
    """What would run that does not come with glmbench."""
    if adapter.parent != ADAPTERS:
        return str(adapter)
    return f"what {options['checkpoint']} ships" if options.get("remote_code") else None


def _options(card: WorkerCard, reference: ModelReference) -> tuple[dict[str, float], dict[str, Value]]:
    """Our options and the model's, with their defaults."""
    ours: dict[str, float] = dict(_OURS)
    options: dict[str, Value] = dict(card.options)
    for key, text in reference.options.items():
        if key in card.options:
            options[key] = _parse(reference, key, text, card.options[key])
        elif key in ours:
            ours[key] = _positive(reference, key, text)
        else:
            known = sorted({*ours, *card.options})
            near = close_matches(key, known)
            raise _refused(reference, f"unknown option {key!r}; options here: {', '.join(known)}{near}")
    return ours, options


def _parse(reference: ModelReference, key: str, text: str, default: Value) -> Value:
    """A value of the type that the card's default has."""
    if isinstance(default, str):
        return text
    if isinstance(default, bool):
        if text not in ("true", "false"):
            raise _refused(reference, f"option {key!r} is {text!r}, wanted true or false")
        return text == "true"
    wanted = type(default)
    try:
        return wanted(text)
    except ValueError as error:
        raise _refused(reference, f"option {key!r} is {text!r}, wanted a number as {default!r} is one") from error


def _positive(reference: ModelReference, key: str, text: str) -> float:
    wanted = "a whole number of at least 1" if key == "batch" else "a number of seconds above 0"
    try:
        value = float(text)
    except ValueError as error:
        raise _refused(reference, f"option {key!r} is {text!r}, wanted {wanted}") from error
    if not 0 < value < float("inf") or (key == "batch" and value != int(value)):
        raise _refused(reference, f"option {key!r} is {text!r}, wanted {wanted}")
    return value


def _refused(reference: ModelReference, problem: str) -> UsageError:
    return UsageError(f"model reference {str(reference)!r}: {problem}")
