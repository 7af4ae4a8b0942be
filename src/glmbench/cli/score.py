"""`glmbench score`: how likely sequences are under a language model."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glmbench.cli.options import AsJson, Offline, TrustRemoteCode
from glmbench.cli.own_files import Column, Genome, Input, ModelReference, Overflow, Step, TailOption, Window

if TYPE_CHECKING:
    from glmbench.inference.answers import Likelihood
    from glmbench.inference.driving import Answer
    from glmbench.models.model import Model
    from glmbench.storage.parts import Parts

Out = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", help="A table: .parquet, .tsv, .csv or .jsonl (also with .gz). Default: TSV to standard output."
    ),
]
PerBase = Annotated[
    bool, typer.Option("--per-base", help="A row for every base: the log probability of it and of A, C, G and T.")
]
SinglePass = Annotated[
    bool,
    typer.Option(
        "--single-pass",
        help="With --per-base, of a model that reads both sides: one pass over each window with nothing hidden, "
        "instead of one for every base. Fast, but the model has seen the base that it speaks of.",
    ),
]

CHUNK_OF_HIDDEN = 1 << 12
"""Bases of a chunk where every base takes a pass."""


def command(
    source: Input,
    model: ModelReference,
    out: Out = None,
    per_base: PerBase = False,
    single_pass: SinglePass = False,
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
    """Say how likely each sequence is under a language model, and how many bits per base that makes.

    A model that reads from left to right gives the log likelihood; one that fills gaps the pseudo-log-likelihood: each
    base is hidden in turn, which takes a pass for every base. Lower bits per base: the sequence is more like
    what the model has learned; 2.0 is what a model that knows nothing gives. With --per-base a track along the
    sequence; long sequences then need --window, and each base is taken from the window that shows its context best.
    """
    from glmbench.cli.own_files import load, records_of, say_done, to_standard_output, written
    from glmbench.errors import UsageError
    from glmbench.inference.answers import ROWS, Likelihood
    from glmbench.inference.driving import CHUNK
    from glmbench.inference.records import in_chunks
    from glmbench.inference.sinks import TABLE_ENDINGS, ending_of
    from glmbench.models.model import PredictsBases

    if single_pass and not per_base:
        raise UsageError("--single-pass goes with --per-base")
    if per_base and (step is not None or tail != "keep"):
        raise UsageError("--step, --tail: with --per-base windows overlap by half; leave them out")
    if out is not None:
        ending_of(out, TABLE_ENDINGS)
    opened, records = records_of(source, genome, column, None if per_base else window, step, tail)
    loaded = load(model, trust_remote_code=trust_remote_code, offline=offline, overflow=overflow)
    if per_base:
        answer, left_only = _per_base(loaded, single_pass, opened.located)
        if window is not None:
            from glmbench.inference.records import with_context

            records = with_context(records, window, left_only=left_only)
    else:
        answer = _whole(loaded, opened.located)
    hidden = isinstance(loaded, PredictsBases) and loaded.reach == "both" and not single_pass
    chunk = CHUNK_OF_HIDDEN if hidden else CHUNK
    chunks, likelihood = in_chunks(records, chunk), Likelihood()
    if out is None:
        done = to_standard_output(
            loaded, chunks, answer, ROWS, as_json=as_json, total=opened.total, also=likelihood.add
        )
    else:
        request = {"verb": "score", "chunk": chunk, "per base": per_base, "single pass": single_pass}
        write = partial(_write, out, likelihood)
        done = written(out, request, loaded, chunks, answer, write, total=opened.total)
    summary = likelihood.summary()
    bits = summary["bits_per_base"]
    also = "" if bits is None else f"{bits:.4f} bits per base over {likelihood.bases:,} known bases"
    say_done(done, loaded, out, as_json, also=also, more=summary)


def _write(out: Path, likelihood: Likelihood, parts: Parts) -> None:
    import polars as pl

    from glmbench.inference.answers import ROWS
    from glmbench.inference.sinks import write_table

    for path in parts.tables(ROWS):
        likelihood.add(pl.read_parquet(path))
    write_table(parts.tables(ROWS), out)


def _whole(model: Model, located: bool) -> Answer:
    from glmbench.inference import answers
    from glmbench.inference.capabilities import cannot
    from glmbench.models.model import ScoresSequences

    if not isinstance(model, ScoresSequences):
        raise cannot(model, "say how likely a sequence is")
    return answers.score(model, located=located)


def _per_base(model: Model, single_pass: bool, located: bool) -> tuple[Answer, bool]:
    from glmbench.inference import answers
    from glmbench.inference.capabilities import cannot
    from glmbench.models.model import PredictsBases

    if not isinstance(model, PredictsBases):
        raise cannot(model, "give probabilities of single bases")
    return answers.score_bases(model, single_pass=single_pass, located=located), model.reach == "left"
