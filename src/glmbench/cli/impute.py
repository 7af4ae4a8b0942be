"""`glmbench impute`: unknown bases filled by a language model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from glmbench.cli.options import AsJson, Offline, TrustRemoteCode
from glmbench.cli.own_files import Genome, Input, ModelReference

if TYPE_CHECKING:
    from collections.abc import Iterable

    from glmbench.inference.records import Record, Records
    from glmbench.methods.imputation import Imputation, Order
    from glmbench.models.model import PredictsBases
    from glmbench.storage.parts import Parts

Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        help="FASTA file of the filled sequences (.fa, .fasta, .fna, also with .gz); with --mask a table of the hidden "
        "bases, which may be left out.",
    ),
]
Table = Annotated[
    Path | None,
    typer.Option(help="Table of every base that was asked, with its four probabilities; default: OUT.bases.tsv."),
]
Width = Annotated[
    int | None,
    typer.Option(min=8, help="Bases around an N that the model sees; default: 512, or as many as it can read."),
]
OrderOption = Annotated[
    str | None,
    typer.Option(
        "--order",
        help="once: each N by itself, all others still unknown. confident: the surest N of a window first. left: from "
        "left to right. Default: left for models that read from the left, else once.",
    ),
]
Least = Annotated[
    float, typer.Option("--min-confidence", min=0, max=1, help="Leave N where no base is as probable as this.")
]
LongestRun = Annotated[
    int, typer.Option(min=1, help="Leave runs of N that are longer: gaps of an assembly are no bases to guess.")
]
BothStrands = Annotated[bool, typer.Option("--both-strands", help="Ask the reverse strand too, and average.")]
Masked = Annotated[bool, typer.Option("--masked", help="Fill lower-case (soft-masked) bases as well as N.")]
Mask = Annotated[
    float | None,
    typer.Option(
        metavar="FRACTION",
        min=0,
        max=1,
        help="Self-test instead: hide this fraction of the known bases and say how many come back.",
    ),
]
Seed = Annotated[int, typer.Option(help="Of --mask: which bases are hidden.")]

CHUNK = 1 << 18
"""What the segments of a chunk weigh, see `inference.imputing.weight`."""
_ORDERS = ("once", "confident", "left")


def command(
    source: Input,
    model: ModelReference,
    out: Out = None,
    table: Table = None,
    width: Width = None,
    order: OrderOption = None,
    min_confidence: Least = 0.0,
    longest_run: LongestRun = 50,
    both_strands: BothStrands = False,
    masked: Masked = False,
    mask: Mask = None,
    seed: Seed = 0,
    genome: Genome = None,
    trust_remote_code: TrustRemoteCode = False,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Fill the N of sequences with what a language model finds most probable.

    Upper and lower case stay as they are. Beside the FASTA file stands a table of every base that was asked. First
    see with --mask 0.01 how often the model is right on bases of yours that are known.
    """
    from glmbench.cli.own_files import load, records_of
    from glmbench.errors import UsageError
    from glmbench.inference.capabilities import cannot
    from glmbench.models.model import PredictsBases

    if order is not None and order not in _ORDERS:
        raise UsageError(f"--order {order}: want one of {', '.join(_ORDERS)}")
    if mask is not None and (masked or table is not None):
        raise UsageError("--mask hides known bases and writes the table of them to --out; leave out --masked, --table")
    if mask is None and out is None:
        raise UsageError("want --out FASTA for the filled sequences, or --mask FRACTION for the self-test")
    opened, records = records_of(source, genome, None)
    loaded = load(model, trust_remote_code=trust_remote_code, offline=offline)
    if not isinstance(loaded, PredictsBases):
        raise cannot(loaded, "give probabilities of single bases")
    how = _how(loaded, width, cast("Order | None", order), both_strands, min_confidence)
    if mask is not None:
        _self_test(loaded, how, opened, records, out, mask, seed, as_json)
    elif out is not None:
        _fill(loaded, how, opened, records, out, table, longest_run, masked, as_json)


def _how(model: PredictsBases, width: int | None, order: Order | None, both_strands: bool, least: float) -> Imputation:
    from glmbench.methods.imputation import Imputation
    from glmbench.methods.window_width import default_width

    return Imputation(default_width(model.card) if width is None else width, order, both_strands, least)


def _request(model: PredictsBases, how: Imputation) -> dict[str, Any]:
    from glmbench.inference.imputing import SEGMENT

    return {
        "verb": "impute",
        "chunk": [CHUNK, SEGMENT],
        "width": how.width,
        "order": how.order_for(model),
        "both strands": how.both_strands,
        "min confidence": how.least,
    }


def _fill(
    model: PredictsBases,
    how: Imputation,
    opened: Records,
    records: Iterable[Record],
    out: Path,
    table: Path | None,
    longest_run: int,
    masked: bool,
    as_json: bool,
) -> None:
    from glmbench.cli.own_files import say_done, written
    from glmbench.inference import imputing
    from glmbench.inference.records import in_chunks, segments
    from glmbench.inference.sinks import FASTA_ENDINGS, TABLE_ENDINGS, ending_of, write_fasta, write_table

    ending_of(out, FASTA_ENDINGS)
    beside = table if table is not None else out.with_name(out.name + ".bases.tsv")
    ending_of(beside, TABLE_ENDINGS)
    counted: dict[str, int] = {}

    def write(parts: Parts) -> None:
        write_table(parts.tables(imputing.FILLED), beside)
        counted.update(_counted(parts))
        write_fasta(parts.tables(imputing.SEQUENCES), out)

    unknown = "Nnacgtryswkmbdhv" if masked else "Nn"
    cut = segments(records, imputing.SEGMENT, how.width, unknown=unknown)
    done = written(
        out,
        _request(model, how) | {"longest run": longest_run, "masked": masked},
        model,
        in_chunks(cut, CHUNK, imputing.weight),
        imputing.fill_unknown(model, how, longest_run=longest_run, masked=masked, located=opened.located),
        write,
        total=opened.total,
        beside=[beside],
    )
    say_done(done, model, out, as_json, more={"table": str(beside), **counted})
    if not as_json:
        left = f"; {counted['left_bases']:,} were left, in runs longer than {longest_run}"
        print(
            f"{counted['filled']:,} of {counted['asked']:,} unknown bases filled"
            f"{left if counted['left_bases'] else ''}; each with its probabilities: {beside}"
        )


def _counted(parts: Parts) -> dict[str, int]:
    import polars as pl

    from glmbench.inference import imputing

    asked = pl.scan_parquet(parts.tables(imputing.FILLED)).select(pl.len(), pl.col("filled").sum()).collect().row(0)
    left = pl.scan_parquet(parts.tables(imputing.LEFT)).select(pl.col("runs", "bases").sum()).collect().row(0)
    return {"asked": asked[0], "filled": asked[1], "left_runs": left[0], "left_bases": left[1]}


def _self_test(
    model: PredictsBases,
    how: Imputation,
    opened: Records,
    records: Iterable[Record],
    out: Path | None,
    fraction: float,
    seed: int,
    as_json: bool,
) -> None:
    import polars as pl

    from glmbench.cli.own_files import say_done, written
    from glmbench.cli.printing import print_json
    from glmbench.inference import imputing
    from glmbench.inference.driving import Tables, run_streamed
    from glmbench.inference.records import in_chunks, segments
    from glmbench.inference.sinks import TABLE_ENDINGS, ending_of, write_table

    test = imputing.SelfTest()
    cut = segments(records, imputing.SEGMENT, how.width)
    chunks = in_chunks(cut, CHUNK, lambda record: round(record.bases * (1 + 64 * fraction)))
    answer = imputing.hide_known(model, how, fraction=fraction, seed=seed, located=opened.located)

    def write(parts: Parts) -> None:
        tables = parts.tables(imputing.FILLED)
        for path in tables:
            test.add(pl.read_parquet(path))
        if out is not None:
            write_table(tables, out)

    def emit(tables: Tables) -> None:
        test.add(tables[imputing.FILLED])

    if out is None:
        done = run_streamed(chunks, answer, emit, model=model, total=opened.total)
    else:
        ending_of(out, TABLE_ENDINGS)
        request = _request(model, how) | {"mask": fraction, "seed": seed}
        done = written(out, request, model, chunks, answer, write, total=opened.total)
    summary = test.summary()
    if as_json:
        print_json({"model": model.card.reference, "out": str(out) if out else None, **done.summary(), **summary})
        return
    say_done(done, model, out, as_json)
    _print_self_test(summary, how)


def _print_self_test(summary: dict[str, Any], how: Imputation) -> None:
    from glmbench.cli.printing import print_table

    if not summary["hidden"]:
        print("no base was hidden: raise --mask, or give sequences with known bases")
        return
    print(
        f"{summary['hidden']:,} bases hidden, {summary['accuracy']:.1%} found (the most frequent base everywhere: "
        f"{summary['most_frequent_base']:.1%}), {summary['bits_per_base']:.3f} bits per base"
    )
    if how.least:
        right = "" if summary["filled_accuracy"] is None else f", {summary['filled_accuracy']:.1%} of them right"
        print(f"at --min-confidence {how.least:g}: {summary['filled'] / summary['hidden']:.1%} filled{right}")
    rows = [
        (
            f"{row['from']:.2f}–{row['to']:.2f}",
            f"{row['bases']:,}",
            f"{row['confidence']:.3f}",
            f"{row['accuracy']:.3f}",
        )
        for row in summary["bins"]
    ]
    headings = ("confidence", "bases", "mean", "right")
    print_table(headings, rows, right=headings[1:])
    print(f"expected calibration error {summary['calibration_error']:.3f}")
