"""What stands beside a score: the score without copied rows, that on corrected data, and what the model saw before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from glmbench.evaluation.contamination import contamination
from glmbench.evaluation.plan import REFERENCE
from glmbench.evaluation.summary import Arm, corrected
from glmbench.report.data import Leak

KINDS = {
    "exact": "exact-duplicate",
    "reverse_complement": "reverse-complement-duplicate",
    "near": "near-duplicate",
}
"""Keys of a result's counts, and the names that `check` has for them."""


def beside(arm: Arm, found: Iterable[Arm]) -> dict[str, Any]:
    """Fields of `Score`: copied rows and the score without them, the corrected version, the species."""
    fields: dict[str, Any] = {}
    if arm.key.method == REFERENCE:
        return fields
    if "of" in _counts(arm):
        fields["copied_rows"] = 0
    if (rest := arm.without_copies) is not None:
        fields |= {
            "copied_rows": _counts(arm)["of"] - rest.rows,
            "without_copies": rest.value,
            "without_copies_low": rest.low,
            "without_copies_high": rest.high,
        }
    if (twin := corrected(arm, found)) is not None and twin.metric == arm.metric:
        low, high = twin.interval(twin.metric)
        fields |= {
            "corrected": twin.mean(twin.metric),
            "corrected_low": low,
            "corrected_high": high,
            "corrected_task": twin.key.cell.task,
        }
    return fields | {"species_seen": contamination(arm.card, arm.task) or ""}


def leaks(members: Sequence[Arm]) -> tuple[Leak, ...]:
    """The kinds of copies of a task's test rows that occur, by the first of its arms that knows."""
    counts = next((counts for arm in members if "of" in (counts := _counts(arm))), None)
    if counts is None:
        return ()
    others = ", ".join(counts["splits"])
    return tuple(
        Leak(kind=words, a=others, b="test", count=counts[kind], of=counts["of"])
        for kind, words in KINDS.items()
        if counts[kind]
    )


def leaks_note(members: Sequence[Arm]) -> str:
    """What is not known of a task's copies, and why; empty where all kinds were looked for, or no result says."""
    told = [counts for arm in members if (counts := _counts(arm))]
    if any(counts.get("near") is not None for counts in told):
        return ""
    if any("of" in counts for counts in told):
        return "near-duplicates were not looked for: the splits are too large"
    return next((str(counts["reason"]) for counts in told), "")


def _counts(arm: Arm) -> dict[str, Any]:
    found = arm.results[0].details.get("leakage")
    return found if isinstance(found, dict) else {}
