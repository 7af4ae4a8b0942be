"""What a tokenizer does to genomes: how far it compresses, what it cannot read, and what one inserted base changes.

The last is the sample-inefficiency argument of DNABERT-2: k-mers side by side share almost no token with the same
sequence shifted by one base, so a model has to learn that two disjoint strings mean the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from glmbench.errors import DataError, UsageError
from glmbench.genomes.codes import Genome
from glmbench.genomes.windows import random_windows
from glmbench.progress import progress
from glmbench.sequences.alphabet import N
from glmbench.sequences.typing import Codes
from glmbench.tokenizers.tokenizer import Tokenizer, Tokens

LAYERS, HIDDEN, LAYER_PARAMETERS = 12, 768, 9_444_096
"""DNABERT-2's encoder: layers, hidden size, parameters of one layer."""

SCHEMA = {
    "group": pl.String,
    "tokenizer": pl.String,
    "vocabulary": pl.Int64,
    "bases_per_token": pl.Float64,
    "unknown_rate": pl.Float64,
    "median_length": pl.Float64,
    "max_length": pl.Int64,
    "insertion_jaccard": pl.Float64,
    "insertion_distance": pl.Float64,
    "deletion_jaccard": pl.Float64,
    "deletion_distance": pl.Float64,
    "relative_flops": pl.Float64,
}


@dataclass(frozen=True, slots=True)
class Change:
    """How much of a token string is left when the sequence behind it changes by one base, means over windows.

    Attributes:
        jaccard: distinct tokens in both strings over those in either.
        distance: tokens to insert, delete or replace, over the tokens of the longer string.
    """

    jaccard: float
    distance: float


def compare_tokenizers(
    tokenizers: Mapping[str, Tokenizer],
    groups: Mapping[str, Genome],
    *,
    width: int = 500,
    windows: int = 1000,
    baseline: str | None = None,
    seed: int = 0,
) -> pl.DataFrame:
    """Measure tokenizers on random windows of genomes, every tokenizer on the same ones.

    Args:
        tokenizers: by the names that the table shows.
        groups: genomes by the names that the table shows; each is measured by itself.
        width: bases of a window.
        windows: how many a group; they may hold N, which is what the unknown rate is about.
        baseline: the tokenizer whose FLOPs are 1 in each group; None: the first.
        seed: decides windows and inserted bases.

    Returns:
        One row a group and tokenizer, columns as in `SCHEMA`: `bases_per_token` is bases over tokens; `unknown_rate`
        the share of tokens that are unknown; `median_length` and `max_length` in bases, over the other tokens;
        `insertion_…` and `deletion_…` as in `Change`, for a base put before the window or taken off its front;
        `relative_flops` see `encoder_macs`.

    Raises:
        UsageError: `baseline` is none of the tokenizers, or one of them has no token for `width` - 1 bases.
        DataError: a genome has no contig of `width` bases, or its windows are all N.
    """
    names = list(tokenizers)
    first = names[0] if baseline is None else baseline
    if first not in tokenizers:
        raise UsageError(f"no tokenizer {first!r} to compare FLOPs with; there are {', '.join(names)}")
    rows = []
    with progress("Comparing tokenizers", total=len(groups) * len(tokenizers)) as bar:
        for group, genome in groups.items():
            rng = np.random.default_rng(seed)
            sample = _windows(group, genome, width, windows, rng)
            inserted = np.column_stack([rng.integers(0, 4, len(sample), dtype=np.uint8), sample])
            found: list[tuple[str, dict[str, float | int]]] = []
            for name, tokenizer in tokenizers.items():
                bar.describe(f"Comparing tokenizers: {name} on {group}")
                found.append((name, _measure(tokenizer, sample, inserted)))
                bar.advance()
            unit = dict(found)[first]["macs"]
            for name, row in found:
                rows.append({"group": group, "tokenizer": name, **row, "relative_flops": row["macs"] / unit})
    return pl.DataFrame([{column: row[column] for column in SCHEMA} for row in rows], schema=SCHEMA)


def token_change(tokenizer: Tokenizer, before: Tokens, changed: Codes) -> Change:
    """Compare the tokens of sequences with those of `changed`, uint8 (sequences, length)."""
    from glmbench.tokenizers.compare_kernels import token_changes

    after = tokenizer.encode(changed)
    jaccard, distance = np.empty((2, len(before)))
    token_changes(before.ids, before.offsets, after.ids, after.offsets, jaccard, distance)
    return Change(float(jaccard.mean()), float(distance.mean()))


def encoder_macs(lengths: NDArray[np.int64]) -> float:
    """Mean multiply-accumulates of DNABERT-2's encoder over sequences of so many tokens, special ones included.

    Layer parameters x tokens + 2 x layers x tokens² x hidden size. Embedding and head are left out: the first costs
    nothing, the second is paid at masked positions only.
    """
    tokens = lengths.astype(np.float64)
    return float((LAYERS * (LAYER_PARAMETERS * tokens + 2 * tokens**2 * HIDDEN)).mean())


def _windows(group: str, genome: Genome, width: int, windows: int, rng: np.random.Generator) -> Codes:
    try:
        sample = random_windows(genome, width, windows, rng, avoid_n=False).codes
    except DataError as error:
        raise DataError(f"{group}: {error}") from error
    if (sample == N).all():
        raise DataError(f"{group}: all {windows} windows of {width} bases are N; there is nothing to compare")
    return sample


def _measure(tokenizer: Tokenizer, sample: Codes, inserted: Codes) -> dict[str, float | int]:
    tokens = tokenizer.encode(sample)
    unknown = tokens.ids == tokenizer.special.unknown
    lengths = (tokens.ends - tokens.starts)[~unknown]
    if not min(tokens.lengths.min(), tokenizer.encode(sample[:, 1:]).lengths.min()):
        width = sample.shape[1]
        raise UsageError(
            f"{tokenizer.name} has no token for windows of {width} bases with one taken off; want a larger width"
        )
    insertion = token_change(tokenizer, tokens, inserted)
    deletion = token_change(tokenizer, tokens, sample[:, 1:])
    return {
        "vocabulary": len(tokenizer.vocabulary),
        "bases_per_token": sample.size / len(tokens.ids),
        "unknown_rate": float(unknown.mean()),
        "median_length": float(np.median(lengths)) if lengths.size else 0.0,
        "max_length": int(lengths.max(initial=0)),
        "insertion_jaccard": insertion.jaccard,
        "insertion_distance": insertion.distance,
        "deletion_jaccard": deletion.jaccard,
        "deletion_distance": deletion.distance,
        "macs": encoder_macs(tokens.lengths + (1 if tokenizer.special.sep is None else 2)),
    }
