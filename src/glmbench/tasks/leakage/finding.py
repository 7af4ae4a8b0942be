"""The nouns Finding and CheckResult: what `check` says of a task."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal[
    "exact-duplicate",
    "reverse-complement-duplicate",
    "near-duplicate",
    "label-conflict",
    "parent-child",
    "shared-side",
    "composition-bias",
    "lower-case",
    "uracil",
    "ambiguous",
]
KINDS: tuple[str, ...] = get_args(Kind)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Finding(_Frozen):
    """One rule applied to one pair of splits.

    `count` of the `of` rows of split `b` have a partner in split `a`; where a is b, an earlier row of the split is the
    partner. Of pairs of sequences, `shared-side` counts rows of b of which at least one sequence is in a pair of a;
    `detail` says of how many it is the first, the second, and both. A `composition-bias` counts pairs of rows instead:
    of all `of` pairs of a row of one class with a row outside it, `count` are put in order by the most telling
    property, so that `count / of` is its AUROC and one half is no bias. `lower-case`, `uracil` and `ambiguous` have no
    partner either: they count sequences by the letters in the file.
    """

    kind: Kind
    a: str
    b: str
    count: int
    of: int
    rule: str = ""
    """What was counted, in words with its numbers."""
    detail: dict[str, float | int | str] = Field(default_factory=dict)
    examples: tuple[tuple[str, str], ...] = ()
    """The first few partners, as (id in a, id in b)."""


class SkippedSplit(_Frozen):
    """A split that could not be checked, and why."""

    split: str
    reason: str


class CheckResult(_Frozen):
    """Everything `check` found, zeros included, and the splits it could not look at."""

    task: str
    """The task with its version, as in `genemask/prom-core@1`."""
    findings: tuple[Finding, ...]
    skipped: tuple[SkippedSplit, ...] = ()
