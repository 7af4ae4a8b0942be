"""`glmbench tokenizer`: train, compare and show tokenizers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from glmbench.cli.options import AsJson

if TYPE_CHECKING:
    import polars as pl

    from glmbench.tokenizers.tokenizer import Tokenizer, Tokens

app = typer.Typer(
    help="Train, compare and show tokenizers: characters, k-mers, BPE, unigram.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

_REFERENCE = (
    "character, kmer:6 (overlapping), blocks:6 (non-overlapping k-mers), or the folder or tokenizer.json of a saved one"
)


@app.command()
def train(
    fasta: Annotated[list[Path], typer.Argument(help="FASTA or GenBank files, also .gz, or folders of them")],
    out: Annotated[Path, typer.Option(help="Folder for tokenizer.json and tokenizer_config.json.")],
    kind: Annotated[Literal["bpe", "unigram"], typer.Option(help="Byte-pair encoding, or unigram.")] = "bpe",
    size: Annotated[int, typer.Option(help="Tokens wanted, five special ones among them.")] = 4096,
    as_json: AsJson = False,
) -> None:
    """Train a tokenizer on genomes and save it so that transformers.AutoTokenizer opens it."""
    from glmbench.cli.printing import print_json
    from glmbench.errors import UsageError
    from glmbench.storage.atomic import require_writable
    from glmbench.tokenizers.choices import ToTrain, train_tokenizer
    from glmbench.tokenizers.genome_files import read_corpus
    from glmbench.tokenizers.tokenizer import describe_settings

    choice = ToTrain(kind, size)
    if out.exists() and (not out.is_dir() or (out / "tokenizer.json").exists()):
        raise UsageError(f"{out} exists already; choose another --out, or remove it")
    require_writable(out / "tokenizer.json")
    corpus = read_corpus(fasta)
    tokenizer = train_tokenizer(choice, corpus)
    tokenizer.save(out)
    if as_json:
        print_json(describe_settings(tokenizer) | {"folder": str(out), "bases": int(corpus.size)})
    else:
        learned = len(tokenizer.vocabulary) - len(tokenizer.special.ids)
        fewer = f" (asked for {size:,}: the corpus has no more)" if len(tokenizer.vocabulary) < size else ""
        print(f"{tokenizer.name}: {learned:,} tokens{fewer} from {corpus.size:,} bases, in {out}")


@app.command()
def compare(
    references: Annotated[list[str], typer.Argument(metavar="REF...", help=_REFERENCE)],
    on: Annotated[
        list[Path], typer.Option("--on", help="A FASTA or GenBank file, or a folder of them: one group. Repeatable.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder for tokenizers.csv and the figure (SVG, PDF, PNG, HTML).")
    ] = None,
    width: Annotated[int, typer.Option(min=1, help="Bases of a window.")] = 500,
    windows: Annotated[int, typer.Option(min=1, help="Windows drawn from each group.")] = 1000,
    baseline: Annotated[str | None, typer.Option(help="The REF whose FLOPs are 1; default: the first.")] = None,
    seed: Annotated[int, typer.Option(help="Decides windows and inserted bases.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Compare tokenizers on genomes: compression, unknown tokens, what one inserted base changes, relative FLOPs."""
    from glmbench.cli.printing import print_json
    from glmbench.storage.atomic import require_writable
    from glmbench.tokenizers.compare import compare_tokenizers
    from glmbench.tokenizers.genome_files import read_groups

    if out is not None:
        require_writable(out / "tokenizers.csv")
    opened = _open_all(references)
    names = {reference: name for name, (reference, _) in opened.items()}
    table = compare_tokenizers(
        {name: tokenizer for name, (_, tokenizer) in opened.items()},
        read_groups(on),
        width=width,
        windows=windows,
        baseline=None if baseline is None else names.get(baseline, baseline),
        seed=seed,
    )
    if as_json:
        for row in table.iter_rows(named=True):
            print_json(row)
    else:
        _print_comparison(table)
    if out is not None:
        _write_comparison(table, out, width)


@app.command()
def show(
    reference: Annotated[str, typer.Argument(metavar="REF", help=_REFERENCE)],
    sequence: Annotated[str | None, typer.Argument(help="bases to cut into tokens; upper or lower case")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a tokenizer's vocabulary, or how it cuts a sequence: every token with its id and the bases it covers."""
    from glmbench.errors import UsageError
    from glmbench.sequences.alphabet import encode

    tokenizer = _open(reference)
    if sequence is None:
        _show_vocabulary(tokenizer, as_json)
        return
    if not sequence:
        raise UsageError("the sequence is empty; want bases, as in `glmbench tokenizer show kmer:3 ACGTACGT`")
    _show_tokens(tokenizer, tokenizer.encode(encode(sequence)), sequence.upper(), as_json)


def _open(reference: str) -> Tokenizer:
    from glmbench.errors import UsageError
    from glmbench.tokenizers.choices import ToTrain, parse_tokenizer

    found = parse_tokenizer(reference)
    if isinstance(found, ToTrain):
        raise UsageError(
            f"{reference} has to be trained first: `glmbench tokenizer train FASTA --kind {found.kind} --size "
            f"{found.size} --out DIR`; then name DIR"
        )
    return found


def _open_all(references: list[str]) -> dict[str, tuple[str, Tokenizer]]:
    """Reference and tokenizer by the name in tables; where two have one name, by their references."""
    opened = {reference: _open(reference) for reference in references}
    names = [tokenizer.name for tokenizer in opened.values()]
    return {
        tokenizer.name if names.count(tokenizer.name) == 1 else reference: (reference, tokenizer)
        for reference, tokenizer in opened.items()
    }


_COLUMNS = {
    "vocabulary": ("vocabulary", "{:,}"),
    "bases_per_token": ("bases/token", "{:.2f}"),
    "unknown_rate": ("unknown", "{:.2%}"),
    "median_length": ("median", "{:g}"),
    "max_length": ("longest", "{:d}"),
    "insertion_jaccard": ("+1 bp Jaccard", "{:.3f}"),
    "insertion_distance": ("+1 bp edits", "{:.3f}"),
    "deletion_jaccard": ("-1 bp Jaccard", "{:.3f}"),
    "deletion_distance": ("-1 bp edits", "{:.3f}"),
    "relative_flops": ("FLOPs", "{:.2f}"),
}


def _print_comparison(table: pl.DataFrame) -> None:
    from glmbench.cli.printing import print_table

    headings = [heading for heading, _ in _COLUMNS.values()]
    for (group,), rows in table.group_by("group", maintain_order=True):
        print(group)
        lines = [
            (row["tokenizer"], *(form.format(row[column]) for column, (_, form) in _COLUMNS.items()))
            for row in rows.iter_rows(named=True)
        ]
        print_table(("tokenizer", *headings), lines, right=headings)
    print("+1 bp, -1 bp: the window with a base put before it or its first taken off, against the window itself:")
    print("token sets shared (Jaccard; 1 is best) and token edits over tokens (0 is best), means over windows.")
    print("FLOPs: of DNABERT-2's encoder per window, as a multiple of the tokenizer that has 1.00.")


def _write_comparison(table: pl.DataFrame, out: Path, width: int) -> None:
    import sys

    from glmbench.report.figures.tokenizers import tokenizer_figure
    from glmbench.report.render import FIGURE_SUFFIXES, write_figure
    from glmbench.storage.atomic import write_text

    figure = tokenizer_figure(table, width)
    write_text(out / "tokenizers.csv", table.write_csv())
    write_figure(figure, *(out / f"{figure.name}{suffix}" for suffix in FIGURE_SUFFIXES))
    print(f"written: {out / 'tokenizers.csv'}, {figure.name}.svg, .pdf, .png, .html", file=sys.stderr)


def _show_vocabulary(tokenizer: Tokenizer, as_json: bool) -> None:
    from glmbench.cli.printing import print_json, print_table
    from glmbench.tokenizers.tokenizer import describe_settings, special_mask

    special = special_mask(tokenizer)
    words = [token for token, is_special in zip(tokenizer.vocabulary, special, strict=True) if not is_special]
    by_length: dict[int, list[str]] = {}
    for word in words:
        by_length.setdefault(len(word), []).append(word)
    names = {name: getattr(tokenizer.special, name) for name in ("unknown", "cls", "sep", "pad", "mask")}
    if as_json:
        lengths = {str(length): len(found) for length, found in sorted(by_length.items())}
        print_json(describe_settings(tokenizer) | {"special": names, "overlap": tokenizer.overlap, "lengths": lengths})
        return
    print(f"{tokenizer.name}: {len(tokenizer.vocabulary):,} ids, {len(words):,} of them stand for bases\n")
    held = {name: index for name, index in names.items() if index is not None}
    print("special  ", ", ".join(f"{name} {tokenizer.vocabulary[index]}={index}" for name, index in held.items()))
    print("overlap  ", f"{tokenizer.overlap} bases" if tokenizer.overlap else "none: tokens stand side by side")
    print("sha256   ", tokenizer.content_hash())
    rows = [(length, f"{len(found):,}", _examples(found)) for length, found in sorted(by_length.items())]
    print_table(("bases", "tokens", "for example"), rows, right=("bases", "tokens"))


def _examples(words: list[str]) -> str:
    shown = words[: 2 if len(words[0]) > 20 else 6]
    return ", ".join(shown) + (" …" if len(words) > len(shown) else "")


def _show_tokens(tokenizer: Tokenizer, tokens: Tokens, sequence: str, as_json: bool) -> None:
    from glmbench.cli.printing import print_json, print_table

    rows: list[dict[str, Any]] = [
        {"id": index, "token": tokenizer.vocabulary[index], "start": start, "end": end, "bases": sequence[start:end]}
        for index, start, end in zip(tokens.ids.tolist(), tokens.starts.tolist(), tokens.ends.tolist(), strict=True)
    ]
    if as_json:
        print_json({"tokenizer": tokenizer.name, "bases": len(sequence), "tokens": rows})
        return
    if not rows:
        print(f"{tokenizer.name}: no token; {len(sequence)} bases are fewer than a k-mer has")
        return
    print(
        f"{tokenizer.name}: {len(sequence)} bases, {len(rows)} tokens, {len(sequence) / len(rows):.2f} bases a token\n"
    )
    if not tokenizer.overlap:
        print(" ".join(row["bases"] for row in rows))
    lines = [tuple(row.values()) for row in rows]
    print_table(("id", "token", "start", "end", "bases"), lines, right=("id", "start", "end"))
