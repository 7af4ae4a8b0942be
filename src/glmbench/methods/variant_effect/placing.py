"""Windows: where around an allele the model looks, and the two sequences that it sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from glmbench.genomes.reference_genome import ReferenceGenome
from glmbench.genomes.variants import Change
from glmbench.methods.variant_effect.definitions import Placing


@dataclass(frozen=True, slots=True)
class Placed:
    """A change in its window.

    Attributes:
        change: on the contig.
        start: first base of the window on the contig, 0-based.
        reference: the window as it is in the genome.
        alternative: of as many bases, other than the reference, with the allele whole in it. It begins at the same
            base, and bases beyond an indel come in or go out at the window's end. Where the contig ends there, a
            deletion is made up for at the window's start; and where fewer bases follow an insertion than it has, as
            many go out at the window's start.
    """

    change: Change
    start: int
    reference: str
    alternative: str

    @property
    def offset(self) -> int:
        """The change's first base in the window."""
        return self.change.start - self.start


def window_start(change: Change, length: int, width: int, placing: Placing) -> int:
    """First base of the window of a change on a contig of `length` bases, 0-based.

    `centred`: the middle of the change is base `width // 2`. `shared`: windows start at multiples of half the width, so
    near changes fall into one, each within a quarter of the width of its middle. At the edges of a contig windows are
    shifted inwards and keep their width; a contig that is shorter is its own window (of a deletion, one as much
    shorter as the contig is with it).
    """
    centre = change.start + len(change.ref) // 2
    start = centre - width // 2
    if placing == "shared":
        step = max(1, width // 2)
        start = (start + step // 2) // step * step
    return max(0, min(start, length - width))


def place(
    change: Change, contig: str, genome: ReferenceGenome, width: int, placing: Placing
) -> Placed | Literal["too_long", "same_in_window"]:
    """The windows of a change, or why there are none.

    `too_long`: an allele is longer than half the width, or, of an indel, half the contig. `same_in_window`: both
    windows are the same, as in a repeat that reaches over the window's end.
    """
    length = genome.lengths[contig]
    size = min(width, length)
    if max(len(change.ref), len(change.alt)) > (width if change.is_substitution else size) // 2:
        return "too_long"
    gained = len(change.alt) - len(change.ref)
    if length + gained < size:  # with the deletion the contig is shorter than the window
        size, placing = length + gained, "centred"
    start = window_start(change, length, size, placing)
    end = start + size
    if not (start <= change.start and change.end <= end):
        return "too_long"
    first = start + gained if gained > end - change.end else min(start, length + gained - size)
    origin = min(start, first)
    bases = genome.fetch(contig, origin, min(length, end + max(0, -gained)))
    haplotype = bases[: change.start - origin] + change.alt + bases[change.end - origin :]
    reference = bases[start - origin : end - origin]
    alternative = haplotype[first - origin :][:size]
    return Placed(change, start, reference, alternative) if reference != alternative else "same_in_window"
