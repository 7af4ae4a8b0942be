"""Windows of one width cut from a genome: at random, or at regular steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from glmbench.errors import DataError
from glmbench.genomes.codes import Genome
from glmbench.sequences.typing import Codes, Integers


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows and where they come from.

    Attributes:
        codes: uint8 (n, width).
        contig: int64 (n,), the row of the contig in `genome.contigs`.
        start: int64 (n,), 0-based on the contig.
        genome: what they were cut from.
    """

    codes: Codes
    contig: Integers
    start: Integers
    genome: Genome

    def intervals(self) -> pl.DataFrame:
        """One row a window: contig (name), start, end, 0-based half-open."""
        names = self.genome.contigs.get_column("name").gather(self.contig)
        return pl.DataFrame({"contig": names, "start": self.start, "end": self.start + self.codes.shape[1]})


def random_windows(genome: Genome, width: int, n: int, rng: np.random.Generator, *, avoid_n: bool = True) -> Windows:
    """Draw `n` windows of `width` bases with replacement, every possible start equally likely.

    Args:
        genome: where to draw from; no window reaches over the end of a contig.
        width: bases in a window.
        n: number of windows.
        rng: decides the outcome alone.
        avoid_n: draw among the windows without N only.

    Raises:
        DataError: the genome has no such window.
        ValueError: `width` is below 1.
    """
    _check_width(width)
    starts, ends = stretches_without_n(genome) if avoid_n else _contig_spans(genome)
    possible = np.cumsum(np.maximum(ends - starts - width + 1, 0))
    if possible.size == 0 or possible[-1] == 0:
        longest = int((ends - starts).max(initial=0))
        what = "stretch without N" if avoid_n else "contig"
        raise DataError(f"no window of {width} bases: the longest {what} has {longest} bases; choose a smaller width")
    drawn = rng.integers(0, possible[-1], size=n)
    stretch = np.searchsorted(possible, drawn, side="right")
    after_it = possible[stretch] - 1 - drawn  # possible starts that follow in the same stretch
    return _cut(genome, ends[stretch] - width - after_it, width)


def regular_windows(genome: Genome, width: int, step: int, *, avoid_n: bool = False) -> Windows:
    """Cut windows at 0, step, 2 step, … of every contig; what is left at its end and fills no window is left out.

    Args:
        genome: where to cut; no window reaches over the end of a contig.
        width: bases in a window.
        step: bases from one start to the next.
        avoid_n: leave out windows that hold an N.

    Raises:
        ValueError: `width` or `step` is below 1.
    """
    _check_width(width)
    if step < 1:
        raise ValueError(f"step is {step}, it must be at least 1 base")
    starts, ends = _contig_spans(genome)
    number = np.maximum((ends - starts - width) // step + 1, 0)
    within = np.arange(int(number.sum())) - np.repeat(np.cumsum(number) - number, number)
    flat = np.repeat(starts, number) + within * step
    if avoid_n:
        flat = flat[~_holds_n(genome, flat, width)]
    return _cut(genome, flat, width)


def _check_width(width: int) -> None:
    if width < 1:
        raise ValueError(f"width is {width}, it must be at least 1 base")


def _cut(genome: Genome, flat: Integers, width: int) -> Windows:
    """Copy the windows that start at `flat`, positions in `genome.codes`."""
    offsets = genome.contigs.get_column("offset").to_numpy()
    contig = np.searchsorted(offsets, flat, side="right") - 1
    none = np.empty((0, width), dtype=np.uint8)  # a genome shorter than the width has no view to index
    codes = sliding_window_view(genome.codes, width)[flat] if flat.size else none
    return Windows(codes, contig, flat - offsets[contig], genome)


def _contig_spans(genome: Genome) -> tuple[Integers, Integers]:
    """Where contigs start and end in `genome.codes`."""
    starts = genome.contigs.get_column("offset").to_numpy()
    return starts, starts + genome.contigs.get_column("length").to_numpy()


def _n_spans(genome: Genome) -> tuple[Integers, Integers]:
    """Where runs of N start and end in `genome.codes`, in order."""
    offsets = genome.contigs.select(contig="name", offset="offset")
    runs = genome.n_runs.join(offsets, on="contig", how="left", maintain_order="left")
    offset = runs.get_column("offset").to_numpy()
    return offset + runs.get_column("start").to_numpy(), offset + runs.get_column("end").to_numpy()


def stretches_without_n(genome: Genome) -> tuple[Integers, Integers]:
    """Where maximal stretches of known bases start and end in `genome.codes`; some may be empty."""
    contig_starts, contig_ends = _contig_spans(genome)
    if genome.n_runs.is_empty():
        return contig_starts, contig_ends
    n_starts, n_ends = _n_spans(genome)
    # Both kinds of border lie in order and a run stays within its contig, so sorting pairs them up again.
    return np.sort(np.concatenate([contig_starts, n_ends])), np.sort(np.concatenate([contig_ends, n_starts]))


def _holds_n(genome: Genome, flat: Integers, width: int) -> NDArray[np.bool_]:
    n_starts, n_ends = _n_spans(genome)
    first_ending_after = np.searchsorted(n_ends, flat, side="right")
    starts = np.append(n_starts, genome.codes.size)[first_ending_after]
    return starts < flat + width
