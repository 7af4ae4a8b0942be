"""`glmbench doctor`: what works here."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from typing import Annotated, Any

import typer

from glmbench.cli.options import AsJson, Offline, TrustRemoteCode


def command(
    models: Annotated[list[str] | None, typer.Option("--model", "-m", help="also try these models")] = None,
    trust_remote_code: TrustRemoteCode = False,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Look at this installation: versions, processor, precision, cache and disk; with -m, try a model."""
    from glmbench.cli.printing import print_json, print_table

    tried = (row for model in models or () for row in _model(model, trust_remote_code, offline))
    findings = [*_installation(), *tried]
    if as_json:
        print_json(findings)
    else:
        print_table(("what", "found", ""), ((f["what"], f["found"], "" if f["ok"] else "PROBLEM") for f in findings))
    if not all(finding["ok"] for finding in findings):
        raise typer.Exit(1)


def _finding(what: str, found: object, ok: bool = True) -> dict[str, Any]:
    return {"what": what, "found": str(found), "ok": ok}


def _installation() -> list[dict[str, Any]]:
    import shutil

    from glmbench.environment import environment
    from glmbench.storage.cache import cache_folder
    from glmbench.training.precision import fast_bf16

    import torch  # isort: skip  # so that the environment can name the accelerator

    here = environment()
    cache = cache_folder()
    nearest = next(folder for folder in (cache, *cache.parents) if folder.is_dir())
    free = shutil.disk_usage(nearest).free / 1e9
    return [
        _finding("glmbench", f"{here['glmbench']} ({here['commit'] or 'installed'})"),
        _finding("python", f"{here['python']} on {here['platform']}"),
        *(_finding(name, version) for name, version in here["packages"].items()),
        _finding("processor", f"{here['processor']}, {here['cores']} cores"),
        _finding("torch threads", torch.get_num_threads()),
        _finding("bf16 on the processor", "yes" if fast_bf16(torch.device("cpu")) else "no: leave --precision at fp32"),
        _finding("accelerator", here["accelerator"] or "none: everything runs on the processor"),
        _writable(cache),
        *_kept(cache),
        _finding("free disk", f"{free:.0f} GB", ok=free > 1),
    ]


def _writable(cache: Path) -> dict[str, Any]:
    from glmbench.storage.atomic import write_text

    probe = cache / "doctor"
    try:
        write_text(probe, "")
        probe.unlink()
    except OSError as error:
        return _finding(
            "cache", f"{cache}: {error.strerror}; set GLMBENCH_CACHE to a folder you can write to", ok=False
        )
    return _finding("cache", cache)


def _kept(cache: Path) -> list[dict[str, Any]]:
    """What the cache holds, by folder; of trainings, how many run or were interrupted and never gone on with."""
    import time

    from glmbench.storage.cache import TRAININGS

    found = []
    for folder in sorted(path for path in cache.glob("*") if path.is_dir()):
        sizes = [there.st_size for path in folder.rglob("*") if (there := _stat(path)) and S_ISREG(there.st_mode)]
        words = f"{sum(sizes) / 1e9:.2f} GB, {len(sizes):,} file{'s'[: len(sizes) != 1]}"
        touched = [there.st_mtime for path in folder.glob("*") if (there := _stat(path))]
        if folder.name == TRAININGS and touched:
            days = (time.time() - min(touched)) / 86400
            words += f"; {len(touched)} not finished, the oldest touched {days:.0f} days ago"
        found.append(_finding(f"cache: {folder.name}", words))
    return found


def _stat(path: Path) -> os.stat_result | None:
    """Of a link itself; None of a path that another process has just removed."""
    with suppress(OSError):
        return path.lstat()
    return None


def _model(reference: str, trust_remote_code: bool, offline: bool) -> list[dict[str, Any]]:
    """Load a model and try all that it promises."""
    from glmbench.errors import GlmbenchError
    from glmbench.models.conformance import check
    from glmbench.models.registry import load

    try:
        model = load(reference, trust_remote_code=trust_remote_code, offline=offline)
    except GlmbenchError as error:
        return [_finding(reference, error, ok=False)]
    card = model.card
    return [
        _finding(reference, f"{card.description or card.name}, fingerprint {card.fingerprint[:12]}"),
        *(_finding(found.what, found.found or ("yes" if found.ok else "no"), ok=found.ok) for found in check(model)),
    ]
