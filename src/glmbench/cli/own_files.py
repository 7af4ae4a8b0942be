"""What the verbs over a person's own files share: their options, how the input is opened, what is said at the end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import polars as pl

    from glmbench.inference.driving import Answer, Done
    from glmbench.inference.records import Record, Records
    from glmbench.models.model import Model
    from glmbench.storage.parts import Parts

Input = Annotated[
    Path,
    typer.Argument(
        metavar="IN",
        help="Your sequences: FASTA, FASTQ (plain or gzip), GenBank, a table with a column 'sequence' (.csv, .tsv, "
        ".parquet), or intervals (.bed, with --genome). - is standard input.",
    ),
]
ModelReference = Annotated[
    str, typer.Option("--model", "-m", help="Any model: hf:FOLDER-OR-HUB-ID, kmer:5, …; see `glmbench ls models`.")
]
Genome = Annotated[
    Path | None, typer.Option(help="FASTA file (plain or bgzip) that the intervals of a BED file lie on.")
]
Column = Annotated[str | None, typer.Option(help="Of a table: the column that holds the sequences.")]
Window = Annotated[
    int | None, typer.Option(min=1, help="Cut long sequences into windows of so many bases; each is a row.")
]
Step = Annotated[int | None, typer.Option(min=1, help="Bases from one window to the next; default: side by side.")]
TailOption = Annotated[
    Literal["keep", "shift", "drop"],
    typer.Option(
        "--tail",
        help="A last window that is shorter: keep it, shift it back to full width (it overlaps), or drop it.",
    ),
]
Overflow = Annotated[
    str | None,
    typer.Option(help="Sequences longer than the model's context: refuse (an error; the default), window, truncate."),
]


def load(reference: str, *, trust_remote_code: bool, offline: bool, **options: object) -> Model:
    """The model of a reference, with options added that were given as options of the verb."""
    from glmbench.inference.capabilities import with_options
    from glmbench.models import registry

    return registry.load(with_options(reference, **options), trust_remote_code=trust_remote_code, offline=offline)


def records_of(
    path: Path,
    genome: Path | None,
    column: str | None,
    window: int | None = None,
    step: int | None = None,
    tail: Literal["keep", "shift", "drop"] = "keep",
) -> tuple[Records, Iterable[Record]]:
    """The input, and its records, cut into windows where that was asked."""
    from glmbench.errors import UsageError
    from glmbench.inference.records import open_records, require_some, windows

    if step is not None and (window is None or step > window):
        raise UsageError(f"--step {step}: goes with --window, and is at most as long; else bases would be left out")
    if tail != "keep" and window is None:
        raise UsageError(f"--tail {tail}: goes with --window")
    opened = open_records(path, genome=genome, column=column)
    wanted = "a FASTA, FASTQ, BED or table with at least one was wanted"
    records = require_some(opened, f"{opened.origin} holds no sequence; {wanted}")
    if window is None:
        return opened, records
    cut = windows(records, window, step, tail)
    return opened, require_some(cut, f"{opened.origin} holds no window of {window} bases; want a smaller --window")


def written(
    out: Path,
    request: Mapping[str, Any],
    model: Model,
    chunks: Iterable[list[Record]],
    answer: Answer,
    write: Callable[[Parts], None],
    *,
    total: int | None,
    beside: Sequence[Path] = (),
) -> Done:
    """Compute what is not there yet, write the output and what stands beside it, and clear up behind it."""
    from glmbench.inference.capabilities import identity
    from glmbench.inference.driving import run_kept
    from glmbench.storage.parts import open_parts

    with open_parts(out, {**identity(model), **request}, beside) as parts:
        done = run_kept(chunks, answer, parts, model=model, total=total)
        parts.claim(beside)
        write(parts)
        parts.remove()
    return done


def to_standard_output(
    model: Model,
    chunks: Iterable[list[Record]],
    answer: Answer,
    table: str,
    *,
    as_json: bool,
    total: int | None,
    also: Callable[[pl.DataFrame], None] | None = None,
) -> Done:
    """Rows as they come: TSV, or with `--json` a JSON object a line; `also` sees each table too."""
    from glmbench.inference.driving import Tables, run_streamed
    from glmbench.inference.sinks import as_text

    begun = False

    def emit(tables: Tables) -> None:
        nonlocal begun
        text = as_text(tables[table], ".jsonl" if as_json else ".tsv", header=not begun)
        sys.stdout.write(text.decode())
        sys.stdout.flush()
        begun = True
        if also is not None:
            also(tables[table])

    return run_streamed(chunks, answer, emit, model=model, total=total)


def say_done(
    done: Done,
    model: Model,
    out: Path | None,
    as_json: bool,
    *,
    also: str = "",
    more: Mapping[str, Any] | None = None,
) -> None:
    """The summary of a run: on standard output, or on standard error where the rows went to standard output.

    Args:
        done: what was done.
        model: by which model.
        out: where to; None for standard output.
        as_json: one object, which holds `more` as well.
        also: a line for people.
        more: plain values for programs.
    """
    from glmbench.cli.printing import print_json, seconds

    if as_json and out is not None:
        print_json({"out": str(out), "model": model.card.reference, **done.summary(), **(more or {})})
        return
    counts = done.counts
    sequences = "1 sequence" if counts.records == 1 else f"{counts.records:,} sequences"
    windows = f" in {counts.windows:,} windows" if counts.windows != counts.records else ""
    rate = f", {done.computed / done.seconds:,.0f} bases/s" if done.computed and done.seconds else ""
    passes = f", {counts.passes:,} inputs through the network" if counts.passes is not None else ""
    again = f"; chunks that were there from before: {done.reused:,}" if done.reused else ""
    where = f"{out}: " if out is not None else ""
    stream = sys.stdout if out is not None else sys.stderr
    print(
        f"{where}{sequences}{windows}, {counts.bases:,} bases in {seconds(done.seconds)}{rate}{passes}{again}",
        file=stream,
    )
    if also:
        print(also, file=stream)
