"""`glmbench npmi`: which n-grams stand out of a genome, and do binding motifs among them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from glmbench.cli.options import AsJson

if TYPE_CHECKING:
    import polars as pl

    from glmbench.pretraining.npmi import Definition
    from glmbench.sequences.alphabet import AlphabetCounts
    from glmbench.sequences.ngrams import NGramCounts


def command(
    fasta: Annotated[
        list[Path] | None, typer.Argument(help="FASTA or GenBank files, also .gz, or folders of them")
    ] = None,
    k: Annotated[int, typer.Option("--k", min=2, max=12, help="Length of the n-grams that are ranked.")] = 6,
    longest: Annotated[int, typer.Option(min=2, max=12, help="Longest n-gram that is counted and summarised.")] = 10,
    definition: Annotated[
        Literal["reference", "levine"],
        typer.Option(help="As GeneMask's released ranking was made, or as PMI-Masking defines it (all segmentations)."),
    ] = "reference",
    min_count: Annotated[int, typer.Option(min=1, help="n-grams that occur less often have no rank.")] = 101,
    chromosomes: Annotated[str | None, typer.Option(help="Only contigs of these names: chr1,chr2,chr3.")] = None,
    mask_lower_case: Annotated[
        bool, typer.Option("--mask-lower-case", help="Read soft-masked (lower-case) bases as N.")
    ] = False,
    ranking: Annotated[
        Path | None,
        typer.Option(
            help="A table of --out, or the CSV that GeneMask released, instead of counting. "
            "FASTA files then only tell which k-mers are repeats."
        ),
    ] = None,
    motifs: Annotated[
        Path | None, typer.Option(help="JASPAR, four-column or MEME file: how its motifs' k-mers rank.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the table of all n-grams: .csv or .parquet.")] = None,
    motifs_out: Annotated[Path | None, typer.Option(help="Write the table of all motifs: .csv or .parquet.")] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Draw the motifs' AUCs: a file name that ends in .svg, .pdf, .png or .html.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many of the best and the worst to print.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Rank n-grams by pointwise mutual information (NPMI), for GeneMask's objectives, and compare motifs with them."""
    from glmbench.cli.npmi_text import print_record
    from glmbench.cli.printing import print_json
    from glmbench.errors import UsageError
    from glmbench.pretraining.rankings import require_table_suffix, write_table
    from glmbench.report.render import FIGURE_SUFFIXES
    from glmbench.storage.atomic import require_writable

    if not fasta and ranking is None:
        raise UsageError("no sequence: give one or more FASTA files, or --ranking with a table made before")
    if ranking is not None and (definition != "reference" or mask_lower_case or (k, longest) != (6, 10)):
        raise UsageError(
            "--ranking is taken as it is; --k, --longest, --definition, --mask-lower-case are for counting"
        )
    names = None if chromosomes is None else [name.strip() for name in chromosomes.split(",")]
    if names is not None and not all(names):
        raise UsageError(f"--chromosomes {chromosomes!r} holds an empty name; give names between commas: chr1,chr2")
    if names is not None and not fasta:
        raise UsageError("--chromosomes chooses contigs of FASTA files, and none is given")
    if k > longest:
        raise UsageError(f"--k {k} is longer than the longest n-gram counted, --longest {longest}; raise --longest")
    if motifs is None and (motifs_out or figure):
        raise UsageError("--motifs-out and --figure show what --motifs finds; give --motifs FILE too")
    if figure is not None and figure.suffix not in FIGURE_SUFFIXES:
        raise UsageError(f"{figure}: a figure is drawn as {', '.join(FIGURE_SUFFIXES)}; give such a name")
    for path in filter(None, (out, motifs_out)):
        require_table_suffix(path)
    for path in filter(None, (out, motifs_out, figure)):
        require_writable(path)
    found = (
        _count(fasta or [], k, longest, definition, min_count, names, mask_lower_case)
        if ranking is None
        else _read(ranking, fasta or [], min_count, names)
    )
    record = _describe(found, top) | {"definition": definition if ranking is None else None}
    if motifs is not None:
        table, record["motifs"] = _compare_motifs(motifs, found, top)
        if motifs_out is not None:
            write_table(motifs_out, table)
        if figure is not None:
            _draw(figure, table, found.source)
    if out is not None:
        write_table(out, found.ranking)
    if as_json:
        print_json(record)
    else:
        print_record(record)
        for path in filter(None, (out, motifs_out, figure)):
            print(f"written: {path}")


@dataclass(frozen=True, slots=True)
class _Found:
    """A ranking and what it came with."""

    ranking: pl.DataFrame
    source: str
    """Where the ranking is from."""
    genome: str
    letters: AlphabetCounts | None
    """Of the genome, where there is one."""
    counts: NGramCounts | None
    """Of all bases of the genome."""
    unmasked: NGramCounts | None
    """Of its upper-case bases, where it has lower case."""
    orders: list[dict[str, Any]]
    others: dict[str, pl.DataFrame]
    """Other rankings of the same n-grams, to compare with."""

    @property
    def k(self) -> int:
        return len(self.ranking["ngram"][0])


def _count(
    fasta: list[Path],
    k: int,
    longest: int,
    definition: Definition,
    min_count: int,
    names: list[str] | None,
    mask_lower_case: bool,
) -> _Found:
    from glmbench.pretraining.npmi import describe_order, score_ngrams
    from glmbench.pretraining.rankings import frequency_ranking

    counts, unmasked, letters = _count_both(fasta, longest, names, mask_lower_case)
    used = unmasked if mask_lower_case and unmasked is not None else counts
    ranking = score_ngrams(used, k, definition, min_count)
    other: Definition = "levine" if definition == "reference" else "reference"
    others = {other: score_ngrams(used, k, other, min_count), "frequency": frequency_ranking(ranking)}
    if unmasked is not None and unmasked.of(k).max() >= min_count:
        second = ("lower case included", counts) if mask_lower_case else ("lower case left out", unmasked)
        others[second[0]] = score_ngrams(second[1], k, definition, min_count)
    orders = [describe_order(used, n, definition, min_count) for n in range(1, longest + 1)]
    source = _names(fasta, names)
    return _Found(ranking, source, source, letters, counts, unmasked, orders, others)


def _count_both(
    fasta: list[Path], longest: int, names: list[str] | None, mask_lower_case: bool
) -> tuple[NGramCounts, NGramCounts | None, AlphabetCounts]:
    """Counts of all bases, and of the upper-case ones where there are both cases."""
    from glmbench.errors import DataError
    from glmbench.genomes.ngram_counting import count_file_ngrams
    from glmbench.sequences.alphabet import AlphabetPolicy

    counts, letters = count_file_ngrams(fasta, longest, contigs=names)
    if mask_lower_case and not letters.lower_case:
        raise DataError("no lower-case base, so there is nothing to mask; get a soft-masked FASTA or drop the option")
    unmasked = None
    if letters.lower_case:
        try:
            policy = AlphabetPolicy(lower_case="n")
            unmasked = count_file_ngrams(fasta, longest, contigs=names, policy=policy)[0]
        except DataError:
            if mask_lower_case:
                raise
    return counts, unmasked, letters


def _read(path: Path, fasta: list[Path], min_count: int, names: list[str] | None) -> _Found:
    from glmbench.errors import DataError
    from glmbench.pretraining.npmi import score_ngrams
    from glmbench.pretraining.rankings import counts_of_ranking, frequency_ranking, read_ranking

    ranking = read_ranking(path)
    counts = unmasked = letters = None
    if fasta:
        counts, unmasked, letters = _count_both(fasta, len(ranking["ngram"][0]), names, mask_lower_case=False)
    others = {"frequency": frequency_ranking(ranking)}
    try:
        own = counts_of_ranking(ranking)
    except DataError:  # a part of a ranking can be compared with motifs, but not computed again
        pass
    else:
        for definition in ("reference", "levine"):
            name = f"{definition}, from its counts"
            others[name] = score_ngrams(own, own.longest, definition, min_count)
    return _Found(ranking, path.name, _names(fasta, names), letters, counts, unmasked, [], others)


def _names(fasta: list[Path], contigs: list[str] | None) -> str:
    return ", ".join(path.name for path in fasta) + (f" ({', '.join(contigs)})" if contigs else "")


def _describe(found: _Found, top: int) -> dict[str, Any]:
    from dataclasses import asdict

    from glmbench.pretraining.rankings import compare_rankings, strand_shift

    ranked = found.ranking.drop_nulls("rank")
    shown = min(top, ranked.height)
    return {
        "source": found.source,
        "genome": found.genome,
        "letters": None if found.letters is None else asdict(found.letters),
        "k": found.k,
        "ranked": ranked.height,
        "negative": int((ranked["npmi"] < 0).sum()),
        "strand_shift": strand_shift(ranked),
        "best": ranked.head(shown).to_dicts(),
        "worst": ranked.tail(shown).to_dicts(),
        "orders": found.orders,
        "agreement": {name: asdict(compare_rankings(found.ranking, other)) for name, other in found.others.items()},
    }


def _compare_motifs(path: Path, found: _Found, top: int) -> tuple[pl.DataFrame, dict[str, Any]]:
    """The table of all motifs, and what is said of it."""
    import polars as pl

    from glmbench.pretraining.motif_ranks import (
        COMPARISONS,
        rank_motifs,
        repeat_kmers,
        shuffled_motifs,
        summarise_motifs,
    )
    from glmbench.simulation.motif_files import read_motifs

    repeats = repeat_kmers(found.k, found.counts, found.unmasked)
    motifs = read_motifs(path)
    table = rank_motifs(motifs, found.ranking, repeats)
    control = rank_motifs(shuffled_motifs(motifs), found.ranking, repeats)
    strictest = table.filter((pl.col("comparison") == COMPARISONS[-1]) & (pl.col("auc") > 0.5))
    return table, {
        "source": path.name,
        "motifs": table.height // len(COMPARISONS),
        "repeat_kmers": int(repeats.sum()),
        "soft_masked": found.unmasked is not None,
        "summary": summarise_motifs(table).to_dicts(),
        "shuffled": summarise_motifs(control).to_dicts(),
        "best": strictest.sort("p", "motif").head(top).to_dicts(),
    }


def _draw(path: Path, table: pl.DataFrame, source: str) -> None:
    from glmbench.pretraining.motif_ranks import summarise_motifs
    from glmbench.report.figures.npmi import motif_figure
    from glmbench.report.render import write_figure

    write_figure(motif_figure(table, summarise_motifs(table), source), path)
