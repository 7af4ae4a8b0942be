"""Every rule on every pair of splits that matters for a score."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import polars as pl

from glmbench.errors import Unsupported
from glmbench.progress import progress
from glmbench.tasks.leakage.aligned import AlignedIdentity, parent_child, read_rule
from glmbench.tasks.leakage.composition import PROPERTIES, composition_bias
from glmbench.tasks.leakage.copies import (
    exact_duplicates,
    label_conflicts,
    reverse_complement_duplicates,
    shared_sides,
)
from glmbench.tasks.leakage.finding import CheckResult, Finding, Kind, SkippedSplit
from glmbench.tasks.leakage.near import MIN_IDENTITY, MIN_LENGTH, near_duplicates
from glmbench.tasks.task import ReportsLetters, Task, is_paired

_EXAMPLES = 3

_COPY_RULE = "same sequence"
_STRAND_RULE = "the reverse complement is a sequence of a; sequences that are their own are left out"
_NEAR_RULE = (
    f"not a copy; without gaps, at any offset, on either strand, at least {MIN_IDENTITY:.0%} of the bases of the "
    f"longer row agree; rows of at least {MIN_LENGTH} bp"
)
_CONFLICT_RULE = "same sequence, other label"
_SIDE_RULE = "at least one sequence of the pair, on either strand, is in a pair of a; copies included"
_COMPOSITION_RULE = (
    f"of {', '.join(PROPERTIES)}, the one that alone tells a class from the rest best (see `detail`); of all pairs "
    "of a row inside and a row outside that class, count are in order: count / of is its AUROC, and a half is no bias"
)
_LETTER_RULES: tuple[tuple[Kind, str], ...] = (
    ("lower-case", "sequences with lower-case letters, which are read as upper case"),
    ("uracil", "sequences with U, which is read as T"),
    ("ambiguous", "sequences with N or another IUPAC code, which are kept"),
)


def check(task: Task) -> CheckResult:
    """Look for leakage within each split of a task and from every split into those that are scored.

    Splits whose name begins with `train` are not scored, all others are. Between two training sets nothing is compared.
    Label conflicts are of all labels but measured values, composition of classifications only. Of pairs of sequences a
    copy is a copy of both, and rows that share one are counted as well. The card states the parent–child rule under
    `leakage.parent_child` (`min_identity`, `length`); without it that rule is not applied. Of a task that is read from
    text (`ReportsLetters`), what the alphabet policy did is counted too.

    Returns:
        A finding for each rule and two splits, with its count even where that is 0, and the splits whose files are
        absent or cannot be read as examples.

    Raises:
        DataError: a file is there but not what the card says, or the card's parent–child rule is none or of pairs.
    """
    splits: dict[str, pl.DataFrame] = {}
    skipped = []
    for name in task.splits():
        try:
            splits[name] = task.load(name)
        except Unsupported as unsupported:
            skipped.append(SkippedSplit(split=name, reason=str(unsupported)))
    rule = read_rule(task.card.leakage.get("parent_child"), task.card)
    findings: list[Finding] = []
    pairs = [(a, b) for a in splits for b in splits if a == b or not b.startswith("train")]
    with progress(f"checking {task.card.reference}", total=len(pairs)) as bar:
        for a, b in pairs:
            findings += _between(a, b, splits, rule, measured=task.card.kind == "regression")
            bar.advance()
    if task.card.kind == "classification":
        findings += _compositions(splits)
    if isinstance(task, ReportsLetters):
        findings += _letters(task, splits)
    return CheckResult(task=task.card.reference, findings=tuple(findings), skipped=tuple(skipped))


def _between(
    a: str, b: str, splits: dict[str, pl.DataFrame], rule: AlignedIdentity | None, *, measured: bool
) -> Iterator[Finding]:
    """The findings of all rules that pair rows of split a with rows of split b."""
    one, other = splits[a], None if a == b else splits[b]

    def finding(kind: Kind, words: str, partners: pl.DataFrame, detail: dict[str, int] | None = None) -> Finding:
        return Finding(
            kind=kind,
            a=a,
            b=b,
            count=partners.height,
            of=splits[b].height,
            rule=words,
            detail={**(detail or {})},
            examples=tuple(partners.select("a", "b").head(_EXAMPLES).iter_rows()),
        )

    yield finding("exact-duplicate", _COPY_RULE, exact_duplicates(one, other))
    yield finding("reverse-complement-duplicate", _STRAND_RULE, reverse_complement_duplicates(one, other))
    yield finding("near-duplicate", _NEAR_RULE, near_duplicates(one, other))
    if not measured:
        yield finding("label-conflict", _CONFLICT_RULE, label_conflicts(one, other))
    if rule is not None:
        words = f"at least {rule.min_identity} of {rule.length} bases equal at equal offsets, exact copies included"
        yield finding("parent-child", words, parent_child(one, other, rule=rule))
    if is_paired(one):
        shared = shared_sides(one, other)
        first, second = shared["first"], shared["second"]
        counts = {"first": int(first.sum()), "second": int(second.sum()), "both": int((first & second).sum())}
        yield finding("shared-side", _SIDE_RULE, shared, counts)


def _compositions(splits: dict[str, pl.DataFrame]) -> Iterator[Finding]:
    for name, rows in splits.items():
        bias = composition_bias(rows)
        if bias is None:
            continue
        aurocs = {f"auroc_{key}": round(value, 4) for key, value in bias.auroc.items()}
        yield Finding(
            kind="composition-bias",
            a=name,
            b=name,
            count=bias.ordered,
            of=bias.pairs,
            rule=_COMPOSITION_RULE,
            detail={"strongest": bias.strongest, "label": bias.label, **aurocs},
        )


def _letters(task: ReportsLetters, splits: Iterable[str]) -> Iterator[Finding]:
    for name in splits:
        letters = task.letters(name)
        for (kind, words), count in zip(
            _LETTER_RULES, (letters.lower_case, letters.uracil, letters.ambiguous), strict=True
        ):
            yield Finding(kind=kind, a=name, b=name, count=count, of=letters.rows, rule=words)
