"""What `glmbench npmi` found, as tables for people."""

from __future__ import annotations

from typing import Any

from glmbench.cli.printing import print_table, with_interval


def print_record(record: dict[str, Any]) -> None:
    """What `glmbench npmi --json` prints, as tables."""
    letters = record["letters"]
    if letters is not None:
        print(f"{record['genome']}: {letters['bases']:,} bases, {letters['lower_case']:,} letters in lower case")
    if record["orders"]:
        columns = ["n", "n-grams", "different", "ranked", "negative", "best"]
        print_table(columns, map(_order_cells, record["orders"]), right=columns[:-1])
    if record["source"] != record["genome"]:
        print(f"Ranking: {record['source']}")
    shift = record["strand_shift"]
    strands = "" if shift is None else f"; median difference to the reverse complement's rank {shift:g}"
    print(f"{record['k']}-mers: {record['ranked']:,} ranked, {record['negative']:,} with negative NPMI{strands}")
    columns = ["rank", "ngram", "count", "naive_pmi", "two_part_pmi", "pmi", "npmi"]
    rows = {row["rank"]: row for row in (*record["best"], *record["worst"])}
    cells = [tuple(_cell(row[name]) for name in columns) for row in rows.values()]
    if len(rows) < record["ranked"]:
        cells.insert(len(record["best"]), ("…",))
    print_table(columns, (row + ("",) * (len(columns) - len(row)) for row in cells), right=[columns[0], *columns[2:]])
    print("The same n-grams ranked otherwise")
    columns = ["ranking", "shared", "Spearman", "same rank", "largest shift", "of the top 100"]
    agreement = record["agreement"].items()
    print_table(columns, ((name, *_agreement_cells(each)) for name, each in agreement), right=columns[1:])
    if "motifs" in record:
        _print_motifs(record["motifs"])


def _print_motifs(found: dict[str, Any]) -> None:
    how = (
        "soft-masked bases and short periods"
        if found["soft_masked"]
        else "short periods only; no genome with lower case"
    )
    used = found["summary"][0]["motifs"]
    print(f"{used} of {found['motifs']} motifs of {found['source']}; {found['repeat_kmers']:,} repeat k-mers ({how})")
    columns = ["compared with", "mean AUC [95 %]", "positions shuffled", "median", "above 0.5", "q<0.05: high", "low"]
    rows = [
        (
            row["comparison"], _mean(row), _mean(control), f"{row['median_auc']:.3f}", f"{row['above']:.0%}",
            row["ranked_high"], row["ranked_low"],
        )
        for row, control in zip(found["summary"], found["shuffled"], strict=True)
        if used
    ]  # fmt: skip
    print_table(columns, rows, right=columns[3:])
    columns = ["motif", "k-mers", "AUC", "p", "q"]
    best = [(row["motif"], row["kmers"], *(f"{row[name]:.3g}" for name in ("auc", "p", "q"))) for row in found["best"]]
    print("Lowest p with AUC above 0.5, no repeats, GC-matched")
    print_table(columns, best, right=columns[1:])


def _mean(row: dict[str, Any]) -> str:
    return with_interval(row["mean_auc"], row["low"], row["high"]) if row["motifs"] else ""


def _cell(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _order_cells(row: dict[str, Any]) -> tuple[object, ...]:
    negative = "" if row["negative"] is None else f"{row['negative']:.1%}"
    ranked = "" if row["ranked"] is None else f"{row['ranked']:,}"
    return row["n"], f"{row['ngrams']:,}", f"{row['distinct']:,}", ranked, negative, row["best"]


def _agreement_cells(row: dict[str, Any]) -> tuple[str, ...]:
    shares = (f"{row['identical']:.1%}", f"{row['largest_shift']:,}", f"{row['shared_top']:.0%}")
    return f"{row['shared']:,}", f"{row['spearman']:.6f}", *shares
