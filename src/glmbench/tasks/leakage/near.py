"""Near-duplicates: rows that lie on each other without gaps, at any offset and on either strand, and nearly agree.

Of pairs of sequences, both lie on both, one after the other at one offset; the other strand is that of each, in place.

The search misses none. Where all but d bases of a row agree with its partner and the row is cut into d + 1 pieces, one
piece is found whole in the partner, near its place. So an index of the k-mers of a, with k no longer than a piece,
offers every partner; each offer is then counted base by base at the offset it came with.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from glmbench.progress import progress
from glmbench.sequences.alphabet import encode_batch
from glmbench.tasks.leakage.copies import other_strand, strand_keys

MIN_IDENTITY = 0.9
MIN_LENGTH = 20
"""Shorter rows take no part: one difference in ten bases is no evidence of kinship."""

_LONGEST_SEED = 10
_ROWS_A_STEP = 256


def near_duplicates(
    a: pl.DataFrame, b: pl.DataFrame | None = None, *, min_identity: float = MIN_IDENTITY
) -> pl.DataFrame:
    """Rows of b (without b: later rows of a) that nearly agree with a row of a.

    Two rows are near-duplicates if, laid on each other without gaps at some offset, on either strand, the number of
    equal bases is at least `min_identity` of the length of the longer one. Copies, exact or of the other strand, are no
    near-duplicates. Letters beyond A, C, G, T equal nothing. Both rows have at least `MIN_LENGTH` bases.

    Args:
        a: examples, see `tasks.task`.
        b: other examples.
        min_identity: the share, of the longer row, that must agree; below 1.

    Returns:
        Partners: the columns a, b (ids).
    """
    offered, asking = _distinct(a), _distinct(a if b is None else b)
    partner = _first_partners(offered, asking, min_identity)
    matched = asking.select("_canonical", _first=pl.Series(partner)).filter(pl.col("_first") >= 0)
    firsts = offered.select(pl.col("id").alias("a"), "_row").with_row_index("_first").cast({"_first": pl.Int64})
    rows = (a if b is None else b).with_row_index("_row_b").rename({"id": "b"})
    pairs = (
        rows.with_columns(_canonical=strand_keys(rows))
        .join(matched, on="_canonical", maintain_order="left")
        .join(firsts, on="_first", maintain_order="left")
    )
    if b is None:
        pairs = pairs.filter(pl.col("_row") < pl.col("_row_b"))
    return pairs.select("a", "b")


def _distinct(rows: pl.DataFrame) -> pl.DataFrame:
    """One row for each sequence (or pair) or its reverse complement, by first row: id, _canonical, _row."""
    return (
        rows.select("id", _canonical=strand_keys(rows))
        .with_row_index("_row")
        .unique("_canonical", keep="first", maintain_order=True)
    )


def _first_partners(a: pl.DataFrame, b: pl.DataFrame, min_identity: float) -> NDArray[np.int64]:
    """For each distinct sequence of b the place of its first near-duplicate among those of a, or -1."""
    from glmbench.tasks.leakage import seed_kernels

    places = a.select("_canonical").with_row_index("_place").cast({"_place": pl.Int64})
    itself = b.join(places, on="_canonical", how="left", maintain_order="left")["_place"].fill_null(-1).to_numpy()
    best = np.full(b.height, a.height, dtype=np.int64)
    seed = _seed_length(_end_to_end(b["_canonical"]), min_identity)
    if seed == 0:
        return np.full(b.height, -1, dtype=np.int64)
    batch = encode_batch(_end_to_end(a["_canonical"]).to_list())
    index = seed_kernels.index_seeds(batch.codes, batch.offsets, seed)
    forward = _end_to_end(b["_canonical"]).to_list()
    reverse = _end_to_end(pl.Series([other_strand(key) for key in b["_canonical"]], dtype=pl.String)).to_list()
    with progress("near-duplicates", total=2 * b.height) as bar:
        for strand in (forward, reverse):
            for start in range(0, b.height, _ROWS_A_STEP):
                step = slice(start, start + _ROWS_A_STEP)
                other = encode_batch(strand[step])
                seed_kernels.first_partners(
                    batch.codes, batch.offsets, *index, other.codes, other.offsets, itself[step], best[step],
                    seed, MIN_LENGTH, min_identity,
                )  # fmt: skip
                bar.advance(len(other))
    return np.where(best < a.height, best, -1)


def _end_to_end(keys: pl.Series) -> pl.Series:
    """The bases of each key (see `copies.copy_keys`): of a pair, those of the second after those of the first."""
    return keys.str.replace_all("|", "", literal=True)


def _seed_length(sequences: pl.Series, min_identity: float) -> int:
    """The longest seed that no piece of any sequence is shorter than, at most `_LONGEST_SEED`; 0 without sequences."""
    from glmbench.tasks.leakage import seed_kernels

    lengths = [n for n in sequences.str.len_chars().unique().to_list() if n >= MIN_LENGTH]
    pieces = [n // (n - seed_kernels.needed_matches(n, min_identity) + 1) for n in lengths]
    return min([*pieces, _LONGEST_SEED]) if pieces else 0
