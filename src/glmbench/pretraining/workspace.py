"""`OUT.training`: where a training that is not finished keeps tokenizer, checkpoint, log and snapshots."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from glmbench.errors import UsageError
from glmbench.pretraining.corpus import Corpus
from glmbench.pretraining.recipe import Recipe
from glmbench.storage.atomic import write_text

CHECKPOINT, TOKENIZER, SNAPSHOTS = "checkpoint", "tokenizer", "snapshots"
_ASKED, _LOCK = "asked.json", "lock"
_FREE = ("description", "training.accumulate")
"""Values of a recipe that may change on the way: the loop itself sees that steps stay what they were."""


def folder_of(out: Path) -> Path:
    """Where the training of a folder-to-be works."""
    return out.with_name(f"{out.name}.training")


def last_step(work: Path) -> int | None:
    """The step of the newest checkpoint; None where there is none."""
    steps = [int(path.name.removeprefix("step-")) for path in (work / CHECKPOINT).glob("step-*")]
    return max(steps, default=None)


@contextmanager
def claimed(out: Path, *, first: bool) -> Iterator[Path]:
    """The workspace of `out`, which one command at a time may use; of several processes the first claims it for all.

    An error before there is a checkpoint leaves nothing behind.

    Raises:
        UsageError: the model is there already, or another command is making it.
    """
    from filelock import FileLock, Timeout

    work = folder_of(out)
    if not first:
        yield work
        return
    _require_new(out)
    work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work / _LOCK, timeout=0):
            _require_new(out)  # it may have been finished just now
            try:
                yield work
            except Exception:
                if last_step(work) is None:
                    shutil.rmtree(work, ignore_errors=True)
                raise
    except Timeout:
        raise UsageError(f"another command is pre-training into {out}; wait for it, or choose another --out") from None


def enter(work: Path, recipe: Recipe, corpus: Corpus) -> None:
    """Note what is asked for, or see that an interrupted training was asked for the same.

    What was interrupted before its first checkpoint is forgotten if something else is asked for now: nothing is lost.

    Raises:
        UsageError: the checkpoint there is of another recipe or corpus.
    """
    asked = {"recipe": _plain(recipe), "corpus": corpus.content_hash(), "held_out": corpus.manifest["request"]}
    path = work / _ASKED
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else asked
    if before != asked:
        step = last_step(work)
        if step is not None:
            raise UsageError(
                f"{work} holds an interrupted training, at step {step}, of something else: "
                f"{_differences(before, asked)}; ask for the same again to go on with it, remove {work} to start anew, "
                "or choose another --out"
            )
        for name in (CHECKPOINT, TOKENIZER, SNAPSHOTS):
            shutil.rmtree(work / name, ignore_errors=True)
    write_text(path, json.dumps(asked, indent=1))


def _require_new(out: Path) -> None:
    if out.exists():
        raise UsageError(f"{out} is there already; choose another --out, or remove it to train again")


def _plain(recipe: Recipe) -> dict[str, Any]:
    values = _flat(recipe.model_dump(mode="json"))
    return {key: value for key, value in values.items() if key not in _FREE}


def _flat(values: dict[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value}
    return flat


def _differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    old, new = before["recipe"], now["recipe"]
    changed = [
        f"{key} was {old.get(key)!r}, now is {new.get(key)!r}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    if before["held_out"] != now["held_out"] or before["corpus"] != now["corpus"]:
        changed.append("the genomes, or what is held out of them, are others")
    return "; ".join(changed)
