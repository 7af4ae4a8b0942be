"""How far composition alone tells the classes apart."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from glmbench.tasks.task import is_paired

PROPERTIES = ("gc", "length", "a", "c", "g", "t")
"""Share of G and C, number of letters, and share of each base; shares are of the letters A, C, G, T."""


@dataclass(frozen=True)
class CompositionBias:
    """The AUROC of every property, and the most telling one as counts.

    Attributes:
        ordered: pairs (a row of `label`, a row of another class) that `strongest` puts in order, the way round that
            fits more of them; of a tie, one half; rounded down.
        pairs: all such pairs.
        strongest: the property whose AUROC is farthest from one half.
        label: the class it tells from all others.
        auroc: by property, of the class that it tells best; below one half where that class has the lower values. With
            two classes it is always that of the second.
    """

    ordered: int
    pairs: int
    strongest: str
    label: int
    auroc: dict[str, float]


def composition_bias(rows: pl.DataFrame) -> CompositionBias | None:
    """Measure by the Mann–Whitney statistic how well single properties of the composition separate the classes.

    With more than two classes each is set against all others. Of a pair both sequences count together.

    Args:
        rows: examples of a classification, see `tasks.task`.

    Returns:
        The measurement; None where all rows have one label.
    """
    labels = sorted(rows["label"].unique().to_list())
    if len(labels) < 2:
        return None
    ranked = _properties(rows).select(pl.all().rank("average")).with_columns(label=rows["label"])
    auroc: dict[str, float] = {}
    told: dict[str, tuple[int, float, int]] = {}
    for name in PROPERTIES:
        # Of two classes the AUROC of one is 1 - that of the other: keep the second.
        sides = [_rank_sum(ranked, name, label) for label in (labels[1:] if len(labels) == 2 else labels)]
        label, statistic, pairs = max(sides, key=lambda side: abs(side[1] / side[2] - 0.5))
        told[name] = (label, statistic, pairs)
        auroc[name] = statistic / pairs
    strongest = max(PROPERTIES, key=lambda name: abs(auroc[name] - 0.5))
    label, statistic, pairs = told[strongest]
    return CompositionBias(int(max(statistic, pairs - statistic)), pairs, strongest, label, auroc)


def _properties(rows: pl.DataFrame) -> pl.DataFrame:
    sequences = rows["sequence"] + rows["sequence_2"] if is_paired(rows) else rows["sequence"]
    counts = {base: sequences.str.count_matches(base, literal=True).cast(pl.Int64) for base in "ACGT"}
    known = (counts["A"] + counts["C"] + counts["G"] + counts["T"]).clip(lower_bound=1)
    shares = {base.lower(): count / known for base, count in counts.items()}
    # One division of whole numbers: a sum of two shares would break ties by rounding.
    return pl.DataFrame({"gc": (counts["G"] + counts["C"]) / known, "length": sequences.str.len_chars(), **shares})


def _rank_sum(ranked: pl.DataFrame, name: str, label: int) -> tuple[int, float, int]:
    """The label, its Mann–Whitney U over a property, and the number of pairs."""
    inside = ranked.filter(pl.col("label") == label)[name]
    statistic = float(inside.sum()) - inside.len() * (inside.len() + 1) / 2
    return label, statistic, inside.len() * (ranked.height - inside.len())
