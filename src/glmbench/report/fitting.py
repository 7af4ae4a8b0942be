"""How the trainings behind a score went: what was cut, what collapsed, what was tried again."""

from __future__ import annotations

import numpy as np

from glmbench.evaluation.job import Result
from glmbench.evaluation.summary import Arm
from glmbench.report.data import Fitting


def fitting(arm: Arm) -> Fitting | None:
    """What the fits of an arm say of themselves; None where they say nothing."""
    shares = [share for result in arm.results if (share := _truncated(result)) is not None]
    judged = [result for result in arm.results if result.details.get("collapsed") is not None]
    retried = [result for result in arm.results if result.details.get("retries")]
    if not shares and not judged and not retried:
        return None
    others = [result.metrics.get(arm.metric) for result in arm.results if result not in retried]
    return Fitting(
        truncated_share=max(shares, default=None),
        collapsed=sum(bool(result.details["collapsed"]) for result in judged),
        judged=len(judged),
        retried=len(retried),
        without_retried=_mean(others) if retried else None,
        first_attempts=_mean([_first(result, arm.metric) for result in arm.results]) if retried else None,
    )


def _truncated(result: Result) -> float | None:
    read = result.details.get("input")
    share = read.get("truncated_share") if isinstance(read, dict) else None
    return share if isinstance(share, float | int) else None


def _first(result: Result, metric: str) -> float | None:
    """The metric of the first attempt at a fit; None where it was tried again and the first was not scored."""
    if not result.details.get("retries"):
        return result.metrics.get(metric)
    scored = result.details.get("before_retry")
    return scored.get(metric) if isinstance(scored, dict) else None


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None
