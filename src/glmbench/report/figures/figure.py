"""The noun Figure: one Vega-Lite specification with its caption, and what all figures share.

altair is imported inside the functions: reading a report's data must not cost its import.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from glmbench.report.boards import budget_key
from glmbench.report.data import KINDS
from glmbench.report.marks import CONFIG, KIND_SHAPES, Look

GAPS = {"row": 66, "column": 58}
"""Room for the axes between small multiples, which are aligned by their frames."""
PANELS = 24
"""At most so many tasks in one figure of small multiples; every task has its own figure below anyway."""


@dataclass(frozen=True)
class Figure:
    """A specification with what is written under it."""

    name: str
    """File name without suffix; also the element's id on the page."""
    caption: str
    spec: dict[str, Any]


def slug(text: str) -> str:
    """Lower-case letters, digits and hyphens: a file name and an element id."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "figure"


def finish(name: str, caption: str, chart: Any, **datasets: list[dict[str, Any]]) -> Figure:
    """Finish a chart; its rows and its config are put in last, since altair copies all a chart holds at every step."""
    return Figure(slug(name), caption, chart.to_dict(validate=False) | {"config": CONFIG, "datasets": datasets})


def named(name: str) -> Any:
    """Data that `finish` puts in under this name."""
    import altair as alt

    return alt.NamedData(name=name)


def tooltip() -> list[Any]:
    """What every mark says under the pointer."""
    import altair as alt

    return [
        alt.Tooltip("label:N", title="model"),
        alt.Tooltip("kind:N"),
        alt.Tooltip("shown:N", title="value"),
        alt.Tooltip("interval:N", title="95 % interval"),
    ]


def described(label: str, kind: str, value: float, low: float | None, high: float | None) -> dict[str, Any]:
    """One mark as a row of data."""
    interval = "none" if low is None or high is None else f"{low:.3f} to {high:.3f}"
    return {
        "label": label,
        "kind": kind,
        "value": value,
        "low": low,
        "high": high,
        "shown": f"{value:.3f}",
        "interval": interval,
    }


def budget_words(budget: str) -> str:
    """A budget in words."""
    if budget == "full":
        return "full training data"
    return f"{budget} examples per class" if budget_key(budget)[0] == 1 else f"{float(budget):g} of the training data"


def series_scales(present: set[str], styles: Sequence[Look]) -> dict[str, Any]:
    """Encodings of colour and dash by series, for the measured ones that occur."""
    import altair as alt

    shown = [look for look in styles if look.label in present and look.kind not in ("reference", "published")]
    domain = [look.label for look in shown]
    legend = alt.Legend(
        title=None, orient="right", symbolType="stroke", symbolStrokeWidth=2.5, symbolSize=360, symbolOpacity=1
    )
    return {
        "color": alt.Color("label:N", scale=alt.Scale(domain=domain, range=[k.colour for k in shown]), legend=legend),
        "strokeDash": alt.StrokeDash(
            "label:N", scale=alt.Scale(domain=domain, range=[k.dash or [1, 0] for k in shown]), legend=legend
        ),
    }


def kind_shapes() -> Any:
    """Encoding of shape by kind, without a legend."""
    import altair as alt

    return alt.Shape("kind:N", legend=None, scale=alt.Scale(domain=list(KINDS), range=[KIND_SHAPES[k] for k in KINDS]))
