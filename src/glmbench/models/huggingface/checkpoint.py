"""Hugging Face style folders: where one lies, what in it decides a model's numbers, and whether its code may run."""

from __future__ import annotations

import json
import re
import sys
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from glmbench.errors import DataError, MissingData, UsageError
from glmbench.models.huggingface.families import recognise
from glmbench.models.reference import ModelReference
from glmbench.networks.quiet import quiet
from glmbench.storage.hashing import sha256_file, sha256_json

CODE_AND_TOKENIZER = (
    "config.json", "tokenizer*.json", "special_tokens_map.json", "added_tokens.json",
    "vocab*", "merges.txt", "*.model", "*.py", "adapter_*",
)  # fmt: skip
SAFETENSORS = ("model*.safetensors", "model*.safetensors.index.json")
PICKLES = ("pytorch_model*.bin", "pytorch_model*.bin.index.json")
ABOUT = ("glmbench.json", "README.md")

_VOCABULARY = ("tokenizer.json", "vocab*", "merges.txt", "*.model")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True)
class Checkpoint:
    """A folder with `config.json`, a tokenizer and perhaps weights."""

    folder: Path
    hub_id: str | None = None
    revision: str | None = None
    trust_remote_code: bool = False
    code: Literal["native", "own"] = "native"
    """Whose code runs a checkpoint of one of `families`: ours, or its own (which `trust_remote_code` must allow)."""

    def files(self, patterns: tuple[str, ...]) -> list[Path]:
        """Files directly in the folder that match a pattern, sorted by name."""
        found = {path for pattern in patterns for path in self.folder.glob(pattern) if path.is_file()}
        return sorted(found)

    @property
    def weights(self) -> list[Path]:
        """The weight files that are read: safetensors if there are any, else `pytorch_model*.bin`."""
        return self.files(SAFETENSORS) or self.files(PICKLES)

    def content_hash(self, *, weights: bool = True) -> str:
        """SHA-256 over names and contents of configuration, tokenizer, code and (unless told) weight files."""
        files = self.files(CODE_AND_TOKENIZER) + (self.weights if weights else [])
        return sha256_json({path.name: sha256_file(path) for path in files})

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON object in the folder; empty if there is no such file.

        Raises:
            DataError: the file is no JSON object.
        """
        path = self.folder / name
        if not path.is_file():
            return {}
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{path} is no JSON: {error}; get the checkpoint again") from None
        if not isinstance(value, dict):
            raise DataError(f"{path} holds {type(value).__name__}, wanted a JSON object; get the checkpoint again")
        return value

    def own_code(self, files: tuple[str, ...] = ("config.json", "tokenizer_config.json")) -> dict[str, str]:
        """What the checkpoint says should run its own Python code: auto class -> reference, of model and tokenizer."""
        maps = [self.read_json(name).get("auto_map") or {} for name in files]
        merged: dict[str, str] = {}
        for auto_map in maps:
            for auto_class, target in auto_map.items() if isinstance(auto_map, dict) else ():
                targets = target if isinstance(target, list) else [target]
                merged[auto_class] = next((one for one in reversed(targets) if one), "")
        return merged


def locate(reference: ModelReference, *, trust_remote_code: bool, offline: bool, weights: bool = True) -> Checkpoint:
    """The checkpoint of an `hf:` or `random:` reference: a local folder, or a hub snapshot (downloaded unless offline).

    Option `code` of the reference says whose code runs a checkpoint of `families`: `native`, ours, or `own`.

    Raises:
        UsageError: no such folder, a revision of a folder, or remote code that is not pinned or not allowed.
        MissingData: the hub could not be reached or has no such model; the message holds the command that gets it.
        DataError: the folder has no configuration or no tokenizer.
    """
    path = Path(reference.locator).expanduser()
    if path.is_dir():
        if reference.revision is not None:
            raise UsageError(
                f"{reference}: {path} is a folder and has no revisions; leave out @{reference.revision} "
                "(its content is hashed)"
            )
        checkpoint = Checkpoint(path.resolve(), trust_remote_code=trust_remote_code)
    elif _HUB_ID.fullmatch(reference.locator):
        checkpoint = _snapshot(reference, trust_remote_code, offline, weights)
    else:
        raise UsageError(
            f"{reference}: there is no folder {path}; wanted a folder with config.json, or a hub id ORG/NAME"
        )
    if reference.options.get("code") == "own":
        checkpoint = replace(checkpoint, code="own")
    _check_complete(checkpoint, str(reference), weights)
    _check_code(checkpoint, str(reference))
    return checkpoint


def _snapshot(reference: ModelReference, trust_remote_code: bool, offline: bool, weights: bool) -> Checkpoint:
    hub_id, revision = reference.locator, reference.revision
    if trust_remote_code and not (revision and _COMMIT.fullmatch(revision)):
        raise UsageError(
            f"{reference}: code of a hub repository only runs at a pinned commit; write "
            f"{reference.scheme}:{hub_id}@<40 hexadecimal digits> (the commit is shown under 'Files' on its hub page)"
        )
    wanted = CODE_AND_TOKENIZER + ABOUT
    folder = _download(hub_id, revision, wanted + (SAFETENSORS if weights else ()), offline)
    checkpoint = Checkpoint(folder, hub_id, revision, trust_remote_code)
    if weights and not checkpoint.weights:
        _download(hub_id, revision, PICKLES, offline)
    return checkpoint


def _download(hub_id: str, revision: str | None, patterns: tuple[str, ...], offline: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    command = f"hf download {hub_id}" + (f" --revision {revision}" if revision else "")
    try:
        with nullcontext() if sys.stderr.isatty() else quiet():
            return Path(
                snapshot_download(hub_id, revision=revision, allow_patterns=list(patterns), local_files_only=offline)
            )
    except HFValidationError as error:
        raise UsageError(f"{hub_id!r} is no hub id: {error}") from None
    except LocalEntryNotFoundError:
        raise MissingData(
            f"{hub_id} is no folder here, is not in the Hugging Face cache, and the hub is offline or out of reach; "
            f"get it with `{command}` where there is a network"
        ) from None
    except (HfHubHTTPError, OSError) as error:
        raise MissingData(
            f"{hub_id} is no folder here and could not be got from the hub: {error}; check the name, then `{command}`"
        ) from None


def _check_complete(checkpoint: Checkpoint, reference: str, weights: bool) -> None:
    problem = None
    if not (checkpoint.folder / "config.json").is_file():
        problem = "no config.json"
    elif not checkpoint.files(_VOCABULARY) and "AutoTokenizer" not in checkpoint.own_code():
        # transformers would make an untrained tokenizer of the architecture's default class, in silence.
        problem = f"no tokenizer (any of {', '.join(_VOCABULARY)})"
    elif weights and not checkpoint.weights:
        problem = "no weights (model.safetensors, or pytorch_model.bin of plain tensors)"
    if problem is None:
        return
    if checkpoint.hub_id:
        raise MissingData(
            f"{reference}: the cached snapshot of {checkpoint.hub_id} has {problem}; "
            f"get it whole with `hf download {checkpoint.hub_id}`"
        )
    raise DataError(f"{reference}: {checkpoint.folder} has {problem}; save model and tokenizer with save_pretrained")


def _check_code(checkpoint: Checkpoint, reference: str) -> None:
    """Refuse code that may not run, and code that would come from another repository than the pinned one."""
    if checkpoint.code == "own" and not checkpoint.own_code():
        raise UsageError(f"{reference}: the checkpoint brings no code of its own; leave out ?code=own")
    if not checkpoint.trust_remote_code:
        if checkpoint.code == "own":
            raise UsageError(code_refusal(checkpoint, reference))
        return
    native = checkpoint.code == "native" and recognise(checkpoint.read_json("config.json")) is not None
    would_run = checkpoint.own_code(("tokenizer_config.json",)) if native else checkpoint.own_code()
    for target in would_run.values():
        repository, separator, _ = target.partition("--")
        if separator and repository != checkpoint.hub_id:
            raise UsageError(
                f"{reference}: its code lies in another repository ({repository}), which no revision pins; "
                "download both, put the .py files beside config.json, drop the prefix in auto_map, and load the folder"
            )


def code_refusal(checkpoint: Checkpoint, reference: str) -> str:
    """What to do about a checkpoint that wants to run its own code."""
    pinned = "" if checkpoint.hub_id is None else " and pin its revision (@ and 40 hexadecimal digits)"
    return (
        f"{reference} ships its own Python code ({', '.join(sorted(checkpoint.own_code().values()))}); "
        f"read it, then allow it with --trust-remote-code{pinned}"
    )
