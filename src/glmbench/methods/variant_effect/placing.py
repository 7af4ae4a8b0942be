"""Windows: where around an allele the model looks, and the two sequences that it sees."""

from __future__ import annotations

from dataclasses import dataclass

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
        alternative: of as many bases from the same start, with the change: bases beyond an indel come in or go out at
            the window's end. Where a contig ends there, a deletion is made up for at the window's start.
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
    shifted inwards and keep their width; a contig that is shorter is its own window.
    """
    centre = change.start + len(change.ref) // 2
    start = centre - width // 2
    if placing == "shared":
        step = max(1, width // 2)
        start = (start + step // 2) // step * step
    return max(0, min(start, length - width))


def place(change: Change, contig: str, genome: ReferenceGenome, width: int, placing: Placing) -> Placed | None:
    """The windows of a change; None where one of its alleles is longer than half the width."""
    if max(len(change.ref), len(change.alt)) > width // 2:
        return None
    length = genome.lengths[contig]
    start = window_start(change, length, width, placing)
    size = min(width, length - start)
    if not (start <= change.start and change.end <= start + size):
        return None
    lost = max(0, len(change.ref) - len(change.alt))
    after = min(lost, length - start - size)
    before = min(lost - after, start)
    bases = genome.fetch(contig, start - before, start + size + after)
    offset = change.start - start + before
    alternative = bases[:offset] + change.alt + bases[offset + len(change.ref) :]
    return Placed(change, start, bases[before : before + size], alternative[:size])
