"""What every benchmark is made of: two candidates timed in turns, and one measurement."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

SHORTEST_TIMING_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Measurement:
    """How much work per second ours and theirs did in the same process, in turns.

    Attributes:
        name: the benchmark's name.
        ours: median throughput of glmbench, in `unit`.
        theirs: median throughput of what a user would do without it, in `unit`.
        ratio: ours / theirs; above 1, ours is faster.
        unit: what is counted per second.
        what_is_theirs: the library and call that `theirs` is.
        note: what a reader must know to judge the figure.
    """

    name: str
    ours: float
    theirs: float
    ratio: float
    unit: str
    what_is_theirs: str
    note: str = ""


def race(
    name: str,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    *,
    amount: float,
    unit: str,
    what_is_theirs: str,
    rounds: int = 7,
    note: str = "",
    clock: Callable[[], float] = time.perf_counter,
) -> Measurement:
    """Time both candidates in turns, so that a busy machine slows both, and compare the medians over `rounds`.

    Args:
        name: of the benchmark.
        ours: does the work once; the caller has checked that both give the same result.
        theirs: does the same work once.
        amount: units of work that one call does.
        unit: of throughput, such as "sequences/s".
        what_is_theirs: the library and call.
        rounds: timings of each candidate, after one call each that is not timed.
        note: what a reader must know to judge the figure.
        clock: seconds; `time.process_time` for CPU seconds of all threads.
    """
    ours_calls, theirs_calls = _calls_per_timing(ours, clock), _calls_per_timing(theirs, clock)
    ours_seconds, theirs_seconds = [], []
    for _ in range(rounds):
        ours_seconds.append(_seconds_per_call(ours, ours_calls, clock))
        theirs_seconds.append(_seconds_per_call(theirs, theirs_calls, clock))
    ours_rate = amount / statistics.median(ours_seconds)
    theirs_rate = amount / statistics.median(theirs_seconds)
    return Measurement(name, ours_rate, theirs_rate, ours_rate / theirs_rate, unit, what_is_theirs, note)


def _seconds_per_call(candidate: Callable[[], object], calls: int, clock: Callable[[], float]) -> float:
    begin = clock()
    for _ in range(calls):
        candidate()
    return (clock() - begin) / calls


def _calls_per_timing(candidate: Callable[[], object], clock: Callable[[], float]) -> int:
    """So many calls that one timing is long against the clock's grain; the first call warms caches and compilers."""
    candidate()
    return max(1, round(SHORTEST_TIMING_SECONDS / max(_seconds_per_call(candidate, 1, clock), 1e-9)))
