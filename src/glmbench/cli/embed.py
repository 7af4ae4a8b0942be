"""`glmbench embed`: sequences as vectors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glmbench.cli.options import AsJson, Offline, TrustRemoteCode
from glmbench.cli.own_files import Column, Genome, Input, ModelReference, Overflow, Step, TailOption, Window

if TYPE_CHECKING:
    from collections.abc import Iterable

    from glmbench.inference.driving import Done
    from glmbench.inference.records import Record, Records
    from glmbench.models.model import Model

Out = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        help="Where the vectors go: .parquet (names and vectors in one table), .npy or .safetensors (a matrix, with "
        "OUT.rows.tsv beside it), .tsv or .csv; with --per-base .safetensors.",
    ),
]
Layer = Annotated[
    str | None,
    typer.Option(
        help="Layer whose states are taken, by number (0 the first, -1 the last) or name; default: the model's."
    ),
]
Pool = Annotated[str | None, typer.Option(help="How the states of a sequence become one vector: mean, cls or max.")]
PerBase = Annotated[bool, typer.Option("--per-base", help="A vector for every base: one tensor a sequence.")]
Precision = Annotated[str | None, typer.Option("--dtype", help="Of --per-base: float32 (the default) or float16.")]


def command(
    source: Input,
    model: ModelReference,
    out: Out,
    layer: Layer = None,
    pool: Pool = None,
    per_base: PerBase = False,
    dtype: Precision = None,
    window: Window = None,
    step: Step = None,
    tail: TailOption = "keep",
    overflow: Overflow = None,
    genome: Genome = None,
    column: Column = None,
    trust_remote_code: TrustRemoteCode = False,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Turn sequences into vectors that a clustering, a plot or a classifier takes.

    One vector a sequence (or a window of it, or a base of it), in the order of the input. The same command goes on
    where an interrupted one stopped.
    """
    from glmbench.cli.own_files import load, records_of, say_done
    from glmbench.errors import UsageError
    from glmbench.inference.sinks import STATE_ENDINGS, VECTOR_ENDINGS, ending_of

    if per_base and pool is not None:
        raise UsageError("--pool makes one vector of a sequence, --per-base keeps one for every base: choose one")
    if dtype is not None and not (per_base and dtype in ("float16", "float32")):
        raise UsageError(f"--dtype {dtype}: want float32 or float16, with --per-base")
    ending_of(out, STATE_ENDINGS if per_base else VECTOR_ENDINGS)
    opened, records = records_of(source, genome, column, window, step, tail)
    options = {"overflow": overflow} if per_base else {"layer": layer, "pool": pool, "overflow": overflow}
    loaded = load(model, trust_remote_code=trust_remote_code, offline=offline, **options)
    if per_base:
        done = _embed_bases(loaded, records, out, layer, dtype or "float32", window, opened)
    else:
        done = _embed(loaded, records, out, opened)
    say_done(done, loaded, out, as_json)


def _embed(model: Model, records: Iterable[Record], out: Path, opened: Records) -> Done:
    from glmbench.cli.own_files import written
    from glmbench.inference import answers
    from glmbench.inference.capabilities import cannot
    from glmbench.inference.driving import CHUNK
    from glmbench.inference.records import in_chunks
    from glmbench.inference.sinks import beside_vectors, write_vectors
    from glmbench.models.model import Embeds

    if not isinstance(model, Embeds):
        raise cannot(model, "turn sequences into vectors")
    answer = answers.embed(model, located=opened.located)
    return written(
        out,
        {"verb": "embed", "chunk": CHUNK},
        model,
        in_chunks(records, CHUNK),
        answer,
        lambda parts: write_vectors(parts.tables(answers.ROWS), out),
        total=opened.total,
        beside=beside_vectors(out),
    )


def _embed_bases(
    model: Model,
    records: Iterable[Record],
    out: Path,
    layer: str | None,
    dtype: str,
    window: int | None,
    opened: Records,
) -> Done:
    from glmbench.cli.own_files import written
    from glmbench.inference import answers
    from glmbench.inference.capabilities import cannot
    from glmbench.inference.driving import CHUNK_OF_STATES
    from glmbench.inference.records import in_chunks
    from glmbench.inference.sinks import write_states
    from glmbench.models.model import Inspectable

    if not isinstance(model, Inspectable):
        raise cannot(model, "show the states of its layers")
    name = answers.layer_named(model, layer)
    return written(
        out,
        {"verb": "embed", "chunk": CHUNK_OF_STATES, "layer": name, "dtype": dtype, "windows": window is not None},
        model,
        in_chunks(records, CHUNK_OF_STATES),
        answers.embed_bases(model, name, "float16" if dtype == "float16" else "float32", windowed=window is not None),
        lambda parts: write_states(parts.tables(answers.ROWS), out),
        total=opened.total,
    )
