"""`glmbench pretrain`: FASTA in, a checkpoint out that transformers loads and `glmbench run` scores."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glmbench.cli.options import AsJson

if TYPE_CHECKING:
    from collections.abc import Sequence

Sources = Annotated[
    list[Path], typer.Argument(metavar="FASTA...", help="FASTA or GenBank files, gzipped or not, or folders of them.")
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder of the finished model; must be new.")]
RecipeName = Annotated[
    str, typer.Option("--recipe", "-r", help="A TOML file, or one of ours: small, dnabert2, genemask, ….")
]
Tokenizer = Annotated[
    str | None, typer.Option(help="character, kmer:6, blocks:6, bpe:4096, unigram:4096, or a folder or tokenizer.json.")
]
Network = Annotated[str | None, typer.Option(help="dnabert2, modern, dnabert, logo, t5-small, genomenet-lstm, ….")]
Depth = Annotated[int | None, typer.Option(help="The dial: layers; width, heads, rate and horizon follow from it.")]
Objective = Annotated[
    str | None, typer.Option(help="uniform, contiguous, genemask, random-spans, span, next-base, middle-base, ….")
]
Rate = Annotated[float | None, typer.Option(help="Probability that a token, or a span's centre, is hidden.")]
Hide = Annotated[float | None, typer.Option(help="Instead of a rate: the share that is to be hidden, e.g. 0.15.")]
Of = Annotated[str | None, typer.Option(help="What --hide counts: tokens or nucleotides.")]
Ranks = Annotated[Path | None, typer.Option(help="Table of `glmbench npmi`; default: counted on the corpus.")]
Crop = Annotated[int | None, typer.Option(help="Bases of a random crop.")]
BatchSize = Annotated[int | None, typer.Option("--batch", help="Crops in an optimiser step.")]
Accumulate = Annotated[int | None, typer.Option(help="Micro-batches that a step is cut into, in each process.")]
Steps = Annotated[int | None, typer.Option(help="Optimiser steps; default: by the size of the network.")]
Rate0 = Annotated[float | None, typer.Option("--lr", help="Peak learning rate; default: by the width.")]
Precision = Annotated[str | None, typer.Option(help="auto, fp32 or bf16.")]
Seed = Annotated[int | None, typer.Option(help="Of weights, crops and masks.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Any other value of the recipe, as training.eps=1e-8.")]
HoldOut = Annotated[
    list[str] | None, typer.Option(help="A contig (or SPECIES:CONTIG) to hold out; default: 2 % in blocks.")
]
HoldOutFile = Annotated[list[str] | None, typer.Option(help="A file or species to hold out whole.")]
HoldOutFraction = Annotated[float | None, typer.Option(help="Share of every genome to hold out, in blocks.")]
CorpusFolder = Annotated[Path | None, typer.Option("--corpus", help="Where to keep the corpus; default: the cache.")]
Snapshots = Annotated[
    bool, typer.Option("--snapshots", help="Keep a model of every evaluation too, under OUT/snapshots.")
]
CheckpointEvery = Annotated[
    float, typer.Option(min=0, metavar="SECONDS", help="Between checkpoints: what a crash costs at most.")
]
Dry = Annotated[bool, typer.Option("--plan", help="Only say what would be done: sizes, steps, FLOPs, time.")]


def command(
    sources: Sources,
    out: Out,
    recipe: RecipeName = "small",
    tokenizer: Tokenizer = None,
    network: Network = None,
    depth: Depth = None,
    objective: Objective = None,
    rate: Rate = None,
    hide: Hide = None,
    of: Of = None,
    ranks: Ranks = None,
    crop: Crop = None,
    batch: BatchSize = None,
    accumulate: Accumulate = None,
    steps: Steps = None,
    lr: Rate0 = None,
    precision: Precision = None,
    seed: Seed = None,
    set_: Set = None,
    hold_out: HoldOut = None,
    hold_out_file: HoldOutFile = None,
    hold_out_fraction: HoldOutFraction = None,
    corpus: CorpusFolder = None,
    snapshots: Snapshots = False,
    checkpoint_every: CheckpointEvery = 60.0,
    plan: Dry = False,
    as_json: AsJson = False,
) -> None:
    """Pre-train a genomic language model on genomes and measure it on what was held out.

    The same command goes on where an interrupted one stopped. Under torchrun all processes train one model.
    """
    from glmbench.cli.pretrain_text import print_plan, print_report
    from glmbench.cli.printing import print_json
    from glmbench.pretraining import recipe as recipes
    from glmbench.pretraining.held_out import HeldOut
    from glmbench.pretraining.planning import plan as planned
    from glmbench.pretraining.pretrain import pretrain

    changes = {
        "tokenizer": tokenizer,
        "network.name": network,
        "network.depth": depth,
        "objective.name": objective,
        "objective.rate": rate,
        "objective.hide": hide,
        "objective.of": of,
        "objective.ranks": ranks,
        "data.crop": crop,
        "data.batch": batch,
        "training.accumulate": accumulate,
        "training.steps": steps,
        "training.lr": lr,
        "training.precision": precision,
        "training.seed": seed,
        **_assignments(set_ or []),
    }
    chosen = recipes.changed(recipes.load(recipe), changes)
    held_out = HeldOut(tuple(hold_out or ()), tuple(hold_out_file or ()), hold_out_fraction)
    if plan:
        made = planned(sources, chosen, held_out=held_out, corpus_folder=corpus)
        print_json(made) if as_json else print_plan(made)
        return
    try:
        report = pretrain(
            sources,
            out,
            chosen,
            held_out=held_out,
            corpus_folder=corpus,
            snapshots=snapshots,
            checkpoint_every=checkpoint_every,
        )
    except KeyboardInterrupt:
        print(f"glmbench: {_how_to_go_on(out)}", file=sys.stderr)
        raise typer.Exit(130) from None
    if report is None:  # another process than the first of several: what there is to say, that one says
        return
    print_json(report) if as_json else print_report(report, out)


def _assignments(texts: Sequence[str]) -> dict[str, Any]:
    """`training.eps=1e-8` as a dotted key and a TOML value; what is no TOML value is text."""
    import tomllib

    from glmbench.errors import UsageError

    values: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text}: want KEY=VALUE, as training.eps=1e-8")
        try:
            values[key.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            values[key.strip()] = value.strip()
    return values


def _how_to_go_on(out: Path) -> str:
    """What an interruption leaves."""
    from glmbench.pretraining.workspace import folder_of, last_step

    work = folder_of(out)
    step = last_step(work)
    if step is None:
        return "interrupted before the first checkpoint; the same command starts again"
    return f"interrupted; {work} keeps step {step:,}, the same command goes on from there"
