"""What a task gives away: rows that splits share, sequences with two labels, classes told apart by composition.

Rules on frames return *partners*: a frame with the columns `a` and `b` (ids), one row for each row of b that has a
partner in a, with that partner. Within one split (no b given) a row counts where an *earlier* row is its partner, so k
copies of one sequence count k - 1.
"""

from glmbench.tasks.leakage.aligned import AlignedIdentity, families, parent_child
from glmbench.tasks.leakage.checking import check
from glmbench.tasks.leakage.composition import CompositionBias, composition_bias
from glmbench.tasks.leakage.copies import (
    canonical,
    exact_duplicates,
    label_conflicts,
    reverse_complement_duplicates,
    shared_sides,
)
from glmbench.tasks.leakage.finding import KINDS, CheckResult, Finding, SkippedSplit
from glmbench.tasks.leakage.near import near_duplicates

__all__ = [
    "KINDS",
    "AlignedIdentity",
    "CheckResult",
    "CompositionBias",
    "Finding",
    "SkippedSplit",
    "canonical",
    "check",
    "composition_bias",
    "exact_duplicates",
    "families",
    "label_conflicts",
    "near_duplicates",
    "parent_child",
    "reverse_complement_duplicates",
    "shared_sides",
]
