"""`glmbench score-variants`: what a model makes of the variants of a VCF."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from glmbench.cli.options import AsJson, Offline, TrustRemoteCode

if TYPE_CHECKING:
    from glmbench.methods.variant_effect.annotate import Summary

Vcf = Annotated[Path, typer.Argument(metavar="VCF", help="VCF (plain or bgzip) or BCF file.")]
GenomeFile = Annotated[
    Path, typer.Option("--genome", "-g", help="The reference genome these variants are called on: FASTA or bgzip.")
]
ModelReference = Annotated[str, typer.Option("--model", "-m", help="hf:FOLDER-OR-HUB-ID, h5:FILE, kmer:5, ….")]
Out = Annotated[Path, typer.Option("--out", "-o", help="File to write: .vcf, .vcf.gz, .vcf.bgz or .parquet.")]
ModeName = Annotated[
    Literal["auto", "masked", "single-pass", "likelihood", "embedding", "prediction"],
    typer.Option(help="How the model is asked; auto: by what it can do."),
]
Score = Annotated[
    list[str] | None,
    typer.Option("--score", help="llr, abs_llr, llr_per_entropy, …; repeatable. Default: all that the mode gives."),
]
Width = Annotated[
    int | None,
    typer.Option(min=4, help="Bases of a window; default 512, or fewer where the model cannot read as many."),
]
BothStrands = Annotated[bool, typer.Option("--both-strands", help="Average with the reverse complement.")]
Windows = Annotated[
    Literal["auto", "centred", "shared"],
    typer.Option(help="Around each variant, or one for near variants, which saves passes; auto: by the mode."),
]
Mismatch = Annotated[
    Literal["error", "skip"], typer.Option(help="Where REF is not what the genome has: stop, or leave it unscored.")
]
RegionText = Annotated[str | None, typer.Option("--region", help="Only chr1 or chr1:1,000-2,000, counted from 1.")]
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many records: a trial.")]
Prefix = Annotated[str, typer.Option(help="Of the INFO fields: GLM_LLR, …; one a model, to score with several.")]
Chunk = Annotated[
    int, typer.Option(min=1, help="Records that are scored together and kept: what a crash costs at most.")
]


def command(
    vcf: Vcf,
    genome: GenomeFile,
    model: ModelReference,
    out: Out,
    mode: ModeName = "auto",
    score: Score = None,
    width: Width = None,
    both_strands: BothStrands = False,
    windows: Windows = "auto",
    on_mismatch: Mismatch = "error",
    region: RegionText = None,
    limit: Limit = None,
    prefix: Prefix = "GLM",
    chunk: Chunk = 512,
    trust_remote_code: TrustRemoteCode = False,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Score the variants of a VCF by a model, and write them with their scores.

    REF is checked against the genome first. The same command goes on where an interrupted one stopped.
    """
    import re

    from glmbench.cli.printing import print_json
    from glmbench.errors import UsageError
    from glmbench.genomes.variants import Selection, parse_region
    from glmbench.methods.variant_effect.annotate import annotate
    from glmbench.methods.variant_effect.definitions import settings_for
    from glmbench.methods.variant_effect.vcf_output import require_output_name
    from glmbench.models.registry import load
    from glmbench.storage.parts import require_place

    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*", prefix):
        raise UsageError(f"--prefix {prefix!r}: want letters and digits, a letter first")
    require_output_name(out)
    require_place(out)
    selection = Selection(vcf, None if region is None else parse_region(region), limit)
    loaded = load(model, trust_remote_code=trust_remote_code, offline=offline)
    settings = settings_for(
        loaded,
        mode=mode,
        scores=score,
        width=width,
        strands="both" if both_strands else "forward",
        placing=None if windows == "auto" else windows,
    )
    done = annotate(loaded, selection, genome, out, settings, on_mismatch=on_mismatch, prefix=prefix, chunk=chunk)
    if as_json:
        print_json(asdict(done) | {"out": str(out), "width": settings.width, "windows": settings.placing})
    else:
        _print(done, settings.width)
        print(f"written: {out}")


def _print(done: Summary, width: int) -> None:
    from glmbench.cli.printing import seconds

    modes = ", ".join(f"{count:,} {mode}" for mode, count in sorted(done.modes.items())) or "none"
    print(f"{done.scored:,} alleles of {done.records:,} records scored: {modes}; windows of {width} bp")
    for reason, count in sorted(done.skipped.items(), key=lambda pair: -pair[1]):
        print(f"not scored: {count:,} {reason}")
    if done.with_n:
        print(f"{done.with_n:,} windows hold unknown bases (N)")
    if done.found:
        print(f"{done.found:,} records were finished before")
    work = "forwards not counted by this model" if done.forwards is None else f"{done.forwards:,} forwards"
    rate = f", {done.alleles_per_second:,.1f} alleles/s" if done.alleles_per_second else ""
    print(f"{work} in {seconds(done.seconds)}{rate}")
