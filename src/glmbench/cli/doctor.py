"""`glmbench doctor`: what works here."""

from __future__ import annotations

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
        _finding("free disk", f"{free:.0f} GB", ok=free > 1),
    ]


def _writable(cache: Any) -> dict[str, Any]:
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
