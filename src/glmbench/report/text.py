"""Text to paste into a paper: the methods paragraph, the citations, and the scores as CSV and Markdown."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence

from glmbench.report.boards import boards, budget_key, natural_key
from glmbench.report.citation import unique_entries
from glmbench.report.data import ReportData, Score

_COLUMNS = (
    "suite", "task", "model", "model_name", "kind", "method", "budget", "protocol", "metric", "value", "low", "high",
    "fits", "train_rows", "test_rows", "rank_low", "rank_high", "wall_s", "cpu_s", "peak_memory_mb", "parameters",
    "chance", "copied_rows", "without_copies", "without_copies_low", "without_copies_high",
    "corrected_task", "corrected", "corrected_low", "corrected_high", "species_seen", "source", "caveat", "flagged",
)  # fmt: skip


_FITTING = ("truncated_share", "collapsed", "retried", "without_retried", "first_attempts")
"""Fields of a score's `fitting`."""


def listing(items: Sequence[str]) -> str:
    """Join names as in a sentence: `a`, `a and b`, `a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""


def number(value: float | None, digits: int = 3) -> str:
    """A number with a fixed number of decimals, or a dash."""
    return "–" if value is None else f"{value:.{digits}f}"


def rank(score: Score) -> str:
    """The rank of a score, `2–4` where the data leave it open, or nothing."""
    if score.rank_low is None or score.rank_high is None:
        return ""
    return str(score.rank_low) if score.rank_low == score.rank_high else f"{score.rank_low}–{score.rank_high}"


def methods_sentences(data: ReportData) -> list[str]:
    """The methods paragraph, sentence by sentence, from what was run; empty where nothing was."""
    measured = [s for s in data.scores if s.kind != "published" and s.value is not None]
    fitted = [s for s in measured if s.kind != "reference"]
    if not fitted:
        return []
    version = f" {data.methods.version}" if data.methods.version else ""
    tasks = sorted({s.task for s in measured}, key=natural_key)
    models = _names(fitted, ("model", "stand-in"))
    controls = _names(fitted, ("control",))
    sentences = [f"Models were evaluated with glmbench{version} on {_count(tasks, 'task')}: {listing(tasks)}."]
    who = f"{_count(models, 'model')} ({listing(models)})" if models else "No model besides controls"
    sentences.append(
        f"{who} {'was' if len(models) < 2 else 'were'} run"
        + (f" beside {_count(controls, 'control')} ({listing(controls)})." if controls else " without controls.")
    )
    stand_ins = _names(fitted, ("stand-in",))
    if stand_ins:
        role = "small checkpoints that show where a real model goes and say nothing of its quality"
        sentences.append(f"Stand-ins, {role}: {listing(stand_ins)}.")
    sentences += [f"{m}: {text.rstrip('.')}." for m, text in sorted(data.methods.procedures.items()) if _ran(fitted, m)]
    sentences.append(_training_data(fitted))
    sentences += _protocols(fitted, data)
    metrics = sorted({s.metric for s in fitted})
    units = sorted({t.unit for t in data.tasks if t.name in tasks})
    resampled = f", resampling unit: {listing(units)}" if units else ""
    sentences.append(
        f"The main metric was {listing(metrics)}; "
        f"95 % confidence intervals are from a {data.methods.interval}{resampled}."
    )
    if data.comparisons or any(s.versus_control for s in fitted):
        sentences.append(f"Differences between models were tested by a {data.methods.comparison}.")
        sentences.append("Ranks are given as intervals where the data do not decide them.")
    sentences += _leakage(fitted)
    if any(s.kind == "published" for s in data.scores):
        sentences.append(
            "Published figures are shown for orientation; they were not measured here and enter no test or rank."
        )
    if data.skipped:
        lost = Counter(item.status for item in data.skipped)
        numbers = {"skipped": lost["skip"], "failed": lost["failed"]}
        parts = [f"{_count_of(number, 'job')} {word}" for word, number in numbers.items() if number]
        sentences.append(f"{listing(parts)}; the reasons are listed.")
    return sentences


def _leakage(scores: Sequence[Score]) -> list[str]:
    sentences = []
    if any(s.copied_rows for s in scores):
        sentences.append(
            "Where test rows have an exact, reverse-complement or near-duplicate in a training or dev split, the score "
            "on the other rows is given beside the score."
        )
    seen = Counter(s.species_seen for s in scores if s.species_seen)
    if seen:
        parts = [
            f"{words} ({_count_of(seen[words], 'score')})" for words in ("seen", "not seen", "unknown") if seen[words]
        ]
        sentences.append(f"Species of the tasks in pre-training, by the models' cards: {listing(parts)}.")
    return sentences


def _names(scores: Iterable[Score], kinds: tuple[str, ...]) -> list[str]:
    return sorted({s.model_name for s in scores if s.kind in kinds}, key=natural_key)


def _count(items: Sequence[str], noun: str) -> str:
    return _count_of(len(items), noun)


def _count_of(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _ran(scores: Iterable[Score], method: str) -> bool:
    return any(s.method == method for s in scores)


def _training_data(scores: Sequence[Score]) -> str:
    budgets = sorted({s.budget for s in scores}, key=budget_key)
    per_class = [b for b in budgets if budget_key(b)[0] == 1]
    fractions = [f"{100 * float(b):g} %" for b in budgets if budget_key(b)[0] == 0]
    parts = [f"{listing(per_class)} labelled examples per class"] if per_class else []
    parts += [f"{listing(fractions)} of the training rows"] if fractions else []
    parts += ["the full training split"] if "full" in budgets else []
    fits = sorted({s.fits for s in scores if s.fits})
    spread = (
        ""
        if not fits
        else f", {fits[0]} fit"
        if fits == [1]
        else f", {fits[0]} to {fits[-1]} fits"
        if len(fits) > 1
        else f", {fits[0]} fits"
    )
    each = f"{spread} (draws of the training rows or seeds) a cell" if spread else ""
    return f"They were trained on {listing(parts)}{each}."


def _protocols(scores: Sequence[Score], data: ReportData) -> list[str]:
    used = sorted({s.protocol for s in scores})
    if len(used) == 1:
        words = data.methods.protocols.get(used[0])
        return [f"The protocol was `{used[0]}`" + (f": {words.rstrip('.')}." if words else ".")]
    described = [
        f"`{p}`" + (f" ({data.methods.protocols[p].rstrip('.')})" if p in data.methods.protocols else "") for p in used
    ]
    return [f"The protocols were {listing(described)}."]


def citations(data: ReportData) -> list[str]:
    """BibTeX entries of the report and of the tasks that were scored, each once, in the order they first occur."""
    scored = {score.task for score in data.scores}
    return unique_entries(
        [*data.citations, *(task.citation for task in data.tasks if task.name in scored or not scored)]
    )


def to_csv(data: ReportData) -> str:
    """All scores, one line each: main metric, leakage, provenance, how fits went, and every other metric.

    Another metric has the columns `name`, `name_low`, `name_high`.
    """
    others = sorted({name for score in data.scores for name in score.all_metrics})
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*_COLUMNS, *_FITTING, *(f"{name}{end}" for name in others for end in ("", "_low", "_high"))])
    for row in (row for board in boards(data.scores) for row in board.rows):
        values = [getattr(row.score, column) for column in _COLUMNS]
        values += [getattr(row.score.fitting, name, None) for name in _FITTING]
        for name in others:
            values += row.score.all_metrics.get(name, (None, None, None))
        writer.writerow(["" if value is None else value for value in values])
    return out.getvalue()
