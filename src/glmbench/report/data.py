"""What the page shows, as plain values: everything in `ReportData` goes to JSON and comes back.

Numbers that do not exist are None; a NaN or an infinity given by a caller becomes None here, so that nothing later
has to ask. Scores are on the metric's own scale (accuracy 0.71, not 71).
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Kind = Literal["model", "control", "stand-in", "reference", "published"]
KINDS: tuple[Kind, ...] = ("model", "stand-in", "control", "reference", "published")


def _absent(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_absent)]
"""A finite number, or None where there is none."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Difference(_Frozen):
    """A score minus another one of the same board, with its 95 % interval."""

    against: str
    """Name of the other row, normally the best control."""
    delta: Number
    low: Number = None
    high: Number = None
    p: Number = None
    q: Number = None
    """p after Benjamini–Hochberg over the tasks."""


class Fitting(_Frozen):
    """How the trainings behind a score went; shares and counts over its fits."""

    truncated_share: Number = None
    """Share of test sequences that were cut."""
    collapsed: int = 0
    """Fits whose network gave one answer, by the rows it was stopped on."""
    judged: int = 0
    """Fits of which this is known."""
    retried: int = 0
    """Fits that were started again from another seed."""
    without_retried: Number = None
    """The score of the other fits alone."""
    first_attempts: Number = None
    """The score with the first attempt of every fit, whatever became of it."""


class Score(_Frozen):
    """One row of the leaderboard: the main metric of one model on one task under one method, budget and protocol."""

    task: str
    """Reference with its version, as in `genemask/prom-core@2`."""
    task_title: str = ""
    suite: str = ""
    model: str
    """Model reference; for a published row, the name the source uses."""
    model_name: str
    kind: Kind = "model"
    """`reference` is a bound that nobody fitted, such as the Bayes-optimal score of a simulated task."""
    method: str = ""
    budget: str = "full"
    """`10` (per class), `0.01` (fraction), or `full`."""
    protocol: str = "corrected"
    metric: str
    higher_is_better: bool = True
    value: Number
    low: Number = None
    high: Number = None
    fits: int | None = None
    """Number of draws or seeds the value is the mean of."""
    train_rows: int | None = None
    test_rows: int | None = None
    rank_low: int | None = None
    """Best rank on its board that these data leave possible; with `rank_high`, 2 and 4 mean undecided between both."""
    rank_high: int | None = None
    versus_control: Difference | None = None
    wall_s: Number = None
    """Seconds of wall clock, all fits together; `cpu_s` likewise."""
    cpu_s: Number = None
    peak_memory_mb: Number = None
    parameters: int | None = None
    chance: Number = None
    copied_rows: int | None = None
    """Test rows with an exact, reverse-complement or near copy in another split; None where not looked for."""
    without_copies: Number = None
    """The score on the other test rows, where there are copied ones."""
    without_copies_low: Number = None
    without_copies_high: Number = None
    corrected: Number = None
    """The score on the next version of the task, by the same model, method and budget, where it was measured."""
    corrected_low: Number = None
    corrected_high: Number = None
    corrected_task: str = ""
    """That version, as in `gue/tf/0@2`."""
    species_seen: Literal["", "seen", "not seen", "unknown"] = ""
    """Whether the model saw the task's species in pre-training, as its card says; nothing for controls."""
    fitting: Fitting | None = None
    source: str = ""
    """For a published row: where the figure stands in the literature."""
    caveat: str = ""
    """What a reader must know before comparing with this row."""
    flagged: bool = False
    """The caveat is grave: a metric that is not certain, another protocol, or read at second hand."""
    all_metrics: dict[str, tuple[Number, Number, Number]] = Field(default_factory=dict)
    """Every metric: value, low, high."""


class Aggregate(_Frozen):
    """A number over several tasks, as its suite declares it, for one model, method, budget and protocol."""

    name: str
    """As in `mean over 28 datasets`."""
    suite: str = ""
    model: str
    model_name: str
    kind: Kind = "model"
    method: str = ""
    budget: str = "full"
    protocol: str = "corrected"
    higher_is_better: bool = True
    value: Number = None
    """None where tasks are missing: an incomplete mean is not shown."""
    low: Number = None
    high: Number = None
    have: int
    """Number of its tasks that have a score, out of `of`."""
    of: int
    source: str = ""
    """For a published row: where the figure stands in the literature."""
    caveat: str = ""
    flagged: bool = False
    """As of a `Score`."""


class Leak(_Frozen):
    """A kind of copies, as `check` counts them: `count` of the `of` rows in b have a partner in a."""

    kind: str
    a: str
    b: str
    count: int
    of: int


class TaskInfo(_Frozen):
    """What the page says of a task."""

    name: str
    """Reference with its version; what `Score.task` holds."""
    title: str = ""
    suite: str = ""
    description: str = ""
    metric: str = ""
    unit: str = "example"
    """What is resampled for confidence intervals."""
    classes: tuple[str, ...] = ()
    sizes: dict[str, int] = Field(default_factory=dict)
    """Rows by split."""
    licence: str = "not stated"
    citation: str = ""
    """BibTeX."""
    urls: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    leaks: tuple[Leak, ...] = ()
    """Copies of test rows in other splits, those kinds that occur."""
    leaks_note: str = ""
    """What was not looked for, and why."""
    chance: Number = None


class Comparison(_Frozen):
    """Two rows of one board, compared on the same test rows: a minus b."""

    task: str
    metric: str
    a: str
    b: str
    method: str = ""
    budget: str = "full"
    protocol: str = "corrected"
    estimate: Number
    low: Number = None
    high: Number = None
    p: Number = None
    q: Number = None


class Skipped(_Frozen):
    """A job without a score, and why."""

    task: str
    model: str
    method: str = ""
    budget: str = ""
    status: Literal["skip", "failed"] = "skip"
    reason: str = ""
    trace: str = ""


class Methods(_Frozen):
    """What the methods paragraph is built from, besides the scores themselves."""

    version: str = ""
    """Version of glmbench."""
    procedures: dict[str, str] = Field(default_factory=dict)
    """Method -> what it did, as the end of a sentence that starts with its name."""
    interval: str = "two-level bootstrap (fits × resampling units), 95 % percentile"
    comparison: str = (
        "paired two-level bootstrap on the same test rows, two-sided, Benjamini–Hochberg correction over the tasks"
    )
    protocols: dict[str, str] = Field(default_factory=dict)
    """Protocol -> what it means, in words."""
    command: str = ""
    """The command that made the results."""


class ReportData(_Frozen):
    """Everything on the page. All parts may be empty."""

    title: str = "glmbench report"
    created: str = ""
    """ISO 8601, UTC."""
    suites: tuple[str, ...] = ()
    scores: tuple[Score, ...] = ()
    aggregates: tuple[Aggregate, ...] = ()
    tasks: tuple[TaskInfo, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    environment: dict[str, Any] = Field(default_factory=dict)
    methods: Methods = Methods()
    citations: tuple[str, ...] = ()
    """BibTeX besides that of the tasks: the tool, the suites, the models."""
    notes: tuple[str, ...] = ()
    """Sentences for the top of the page, as `results with --limit are left out`."""
