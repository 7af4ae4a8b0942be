"""What of a corpus is never trained on: named contigs, named files, or blocks that a seed chooses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from glmbench.errors import UsageError
from glmbench.sequences.typing import Integers

STRETCH_SCHEMA = {"shard": pl.Int64, "contig": pl.String, "start": pl.Int64, "end": pl.Int64}
DEFAULT_FRACTION = 0.02
_SMALLEST_BLOCK = 1_024
"""Bases; a shard of which this is more than a quarter is too small to give a block away."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What to hold out.

    Attributes:
        contigs: contig names, in every species that has one so called, or `species:contig`.
        files: file names or species that are held out whole.
        fraction: of the known bases of every other file, held out in blocks; None for 2 % where neither contigs nor
            files are named, and else nothing.
        block: bases of a block, at most. A file whose fraction is less than a block gives one smaller block.
        seed: chooses the blocks. Those of a file depend on its content and this seed, not on what else is there.
    """

    contigs: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    fraction: float | None = None
    block: int = 100_000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        if self.fraction is not None and not 0 <= self.fraction < 1:
            raise UsageError(f"the fraction to hold out is {self.fraction}, it must be at least 0 and below 1")
        if self.block < _SMALLEST_BLOCK:
            raise UsageError(f"blocks of {self.block} bases are too short to hold out; want at least {_SMALLEST_BLOCK}")

    @property
    def fraction_in_blocks(self) -> float:
        """The fraction of files that are not held out whole."""
        if self.fraction is not None:
            return self.fraction
        return 0.0 if self.contigs or self.files else DEFAULT_FRACTION


@dataclass(frozen=True, slots=True)
class Shard:
    """What choosing needs to know of one source file.

    Attributes:
        file: its name.
        species: its species.
        sha256: of its base codes.
        stretches: maximal stretches without N: contig, start, end (0-based half-open).
        contigs: names of all its contigs.
    """

    file: str
    species: str
    sha256: str
    stretches: pl.DataFrame
    contigs: tuple[str, ...]


def choose_held_out(shards: Sequence[Shard], wanted: HeldOut) -> pl.DataFrame:
    """The stretches that are held out, without N: shard (index), contig, start, end, sorted.

    Raises:
        UsageError: a name fits nothing.
    """
    _check_names(shards, wanted)
    parts: list[pl.DataFrame] = []
    for index, shard in enumerate(shards):
        whole = shard.file in wanted.files or shard.species in wanted.files
        named = [name for name in shard.contigs if {name, f"{shard.species}:{name}"} & set(wanted.contigs)]
        is_named = pl.col("contig").is_in(named)
        kept = shard.stretches.filter(pl.lit(whole) | is_named)
        if not whole and wanted.fraction_in_blocks > 0:
            rest = shard.stretches.filter(~is_named)
            kept = pl.concat([kept, _blocks(rest, wanted.fraction_in_blocks, wanted, shard.sha256)])
        parts.append(kept.select(pl.lit(index, pl.Int64).alias("shard"), "contig", "start", "end"))
    if wanted.fraction_in_blocks > 0 and not sum(part.height for part in parts):
        largest = max(range(len(shards)), key=lambda i: _bases(shards[i].stretches))
        one = _one_piece(shards[largest].stretches, wanted.fraction_in_blocks)
        parts.append(one.select(pl.lit(largest, pl.Int64).alias("shard"), "contig", "start", "end"))
    return pl.concat([pl.DataFrame(schema=STRETCH_SCHEMA), *parts]).sort("shard", "contig", "start")


def subtract(stretches: pl.DataFrame, taken: pl.DataFrame) -> pl.DataFrame:
    """What is left of `stretches` (shard, contig, start, end) without `taken`; a row of `taken` lies within one."""
    borders = [
        pl.concat([stretches.select("shard", "contig", at=a), taken.select("shard", "contig", at=b)])
        for a, b in (("start", "end"), ("end", "start"))
    ]
    # Within a contig both kinds of border lie in order, so sorting pairs them up again.
    starts, ends = (border.sort("shard", "contig", "at") for border in borders)
    left = starts.rename({"at": "start"}).with_columns(ends.get_column("at").alias("end"))
    return left.filter(pl.col("end") > pl.col("start"))


def _check_names(shards: Sequence[Shard], wanted: HeldOut) -> None:
    files = {name for shard in shards for name in (shard.file, shard.species)}
    contigs = {f"{shard.species}:{name}" for shard in shards for name in shard.contigs}
    contigs |= {name for shard in shards for name in shard.contigs}
    for what, asked, known in (("file or species", wanted.files, files), ("contig", wanted.contigs, contigs)):
        unknown = sorted(set(asked) - known)
        if unknown:
            raise UsageError(
                f"to hold out: no {what} {', '.join(unknown)}; there are {', '.join(sorted(known)[:12])}"
                f"{f' and {len(known) - 12} more' if len(known) > 12 else ''}"
            )


def _blocks(stretches: pl.DataFrame, fraction: float, wanted: HeldOut, sha256: str) -> pl.DataFrame:
    """Blocks of one file, in random order until the fraction is best met; none of a file that is too small."""
    total = _bases(stretches)
    target = fraction * total
    block = min(wanted.block, max(int(target), _SMALLEST_BLOCK))
    if block > total // 4:
        return stretches.clear()
    pieces = _pieces(stretches, block)
    order = np.random.default_rng([wanted.seed, int(sha256[:12], 16)]).permutation(pieces.height)
    taken = np.cumsum(_lengths(pieces)[order])
    number = int(np.abs(taken - target).argmin()) + 1
    chosen = order[: min(number, pieces.height - 1)]
    return pieces.select(pl.all().gather(chosen))


def _pieces(stretches: pl.DataFrame, block: int) -> pl.DataFrame:
    """The stretches in equal pieces of about a block, or a quarter of a stretch if less: no plasmid goes whole."""
    lengths = _lengths(stretches)
    number = np.maximum(lengths // block, np.clip(lengths // _SMALLEST_BLOCK, 1, 4))
    row = np.repeat(np.arange(len(lengths)), number)
    within = np.arange(int(number.sum())) - np.repeat(np.cumsum(number) - number, number)
    first = stretches.get_column("start").to_numpy()[row]
    starts, ends = (first + (within + i) * lengths[row] // number[row] for i in (0, 1))
    return pl.DataFrame({"contig": stretches.get_column("contig").gather(row), "start": starts, "end": ends})


def _one_piece(stretches: pl.DataFrame, fraction: float) -> pl.DataFrame:
    """For a corpus too small for blocks: the end of its longest stretch, a quarter of it at most."""
    lengths = _lengths(stretches)
    row = stretches.row(int(lengths.argmax()), named=True)
    length = int(lengths.max())
    size = min(max(int(fraction * length), _SMALLEST_BLOCK), length // 4)
    values: dict[str, Any] = {"contig": [row["contig"]], "start": [row["end"] - size], "end": [row["end"]]}
    return pl.DataFrame(values, schema=stretches.schema).filter(pl.col("end") > pl.col("start"))


def _lengths(stretches: pl.DataFrame) -> Integers:
    lengths: Integers = (stretches["end"] - stretches["start"]).to_numpy()
    return lengths


def _bases(stretches: pl.DataFrame) -> int:
    return int(_lengths(stretches).sum())
