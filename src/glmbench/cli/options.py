"""Options that several verbs share: one spelling and one help text each."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

if TYPE_CHECKING:
    from glmbench.evaluation.objects import Objects
    from glmbench.evaluation.request import Request
    from glmbench.storage.fetch import Access

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]
Mirror = Annotated[
    str | None,
    typer.Option(help="A folder or http(s) URL that holds the same files by the same paths.", envvar="GLMBENCH_MIRROR"),
]
Offline = Annotated[bool, typer.Option("--offline", help="Never open a socket.", envvar="GLMBENCH_OFFLINE")]
StoreFolder = Annotated[
    Path, typer.Option("--store", help="Folder of results; any number of runs may share it.", envvar="GLMBENCH_STORE")
]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", "-m", help="kmer:5, kmer:pos3, onehot-cnn, hf:FOLDER-OR-HUB-ID, random:…; repeatable."),
]
Tasks = Annotated[
    list[str] | None,
    typer.Option(
        "--task", "-t", help="A task of `glmbench ls tasks`, with @VERSION if need be, or your own CSV/TSV file."
    ),
]
Suites = Annotated[
    list[str] | None, typer.Option("--suite", "-s", help="A suite of `glmbench ls suites`; repeatable, or with commas.")
]
Methods = Annotated[
    list[str] | None,
    typer.Option("--method", help="probe, scratch, finetune, lora; default: what each model can do."),
]
Budgets = Annotated[
    list[str] | None,
    typer.Option("--budget", help="Labelled rows per class (10), a fraction (0.01), or full; default: the suite's."),
]
Protocol = Annotated[str | None, typer.Option(help="released (as published) or corrected; default: the suite's.")]
Seeds = Annotated[int | None, typer.Option(min=1, help="Draws of labelled rows, or seeds of training.")]
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many rows a split: a trial, kept off leaderboards.")]
Precision = Annotated[str | None, typer.Option(help="fp32 or bf16, for what trains; default: the recipe's.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="A value over the suite's recipe, as finetune.lr=1e-4 or lora.lora.rank=16; repeatable."
    ),
]
NoControls = Annotated[bool, typer.Option("--no-controls", help="Run only the models named.")]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run a hub model's own code; wants a pinned revision.")
]

STORE = Path("glmbench-store")


def access(mirror: str | None, offline: bool) -> Access:
    """How data may be reached, from the shared options."""
    from glmbench.storage.fetch import Access

    return Access(mirror=mirror, offline=offline)


def task_names(names: list[str]) -> list[str]:
    """Task references, with each suite named replaced by the tasks of its default protocol."""
    from glmbench.suites import suite

    known = suite.names()
    expanded = ((suite.load(n).tasks[suite.load(n).default_protocol] if n in known else (n,)) for n in names)
    return [task for tasks in expanded for task in tasks]


def objects(mirror: str | None, offline: bool, trust_remote_code: bool) -> Objects:
    """What a run opens, from the shared options."""
    from glmbench.evaluation.objects import Objects

    return Objects(access(mirror, offline), trust_remote_code)


def request(
    models: list[str] | None,
    tasks: list[str] | None,
    suites: list[str] | None,
    methods: list[str] | None,
    budgets: list[str] | None,
    protocol: str | None,
    seeds: int | None,
    limit: int | None,
    precision: str | None,
    no_controls: bool,
    settings: list[str] | None = None,
) -> Request:
    """What was asked for, from the selection options of `plan` and `run`."""
    from glmbench.errors import UsageError
    from glmbench.evaluation.request import Request

    if precision not in (None, "fp32", "bf16"):
        raise UsageError(f"--precision {precision}: want fp32 or bf16")
    return Request(
        models=tuple(models or ()),
        tasks=tuple(tasks or ()),
        suites=tuple(name for text in suites or () for name in text.split(",")),
        methods=tuple(methods or ()),
        budgets=tuple(budgets or ()),
        protocol=protocol,
        seeds=seeds,
        limit=limit,
        precision=cast(Literal["fp32", "bf16"] | None, precision),
        controls=not no_controls,
        settings=tuple(_setting(text) for text in settings or ()),
    )


def _setting(text: str) -> tuple[str, str, Any]:
    """METHOD.KEY=VALUE taken apart; the value as TOML has it, else as text."""
    import tomllib

    from glmbench.errors import UsageError
    from glmbench.methods.registry import METHODS

    name, equals, value = text.partition("=")
    method, dot, key = name.strip().partition(".")
    if not (equals and dot and key) or method not in METHODS:
        raise UsageError(f"--set {text}: want METHOD.KEY=VALUE with a method of {', '.join(METHODS)}")
    try:
        read = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return method, key, value.strip()
    if isinstance(read, float) and not math.isfinite(read):
        raise UsageError(f"--set {text}: want a finite number")
    return method, key, read
