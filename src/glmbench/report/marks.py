"""How series look, the same in every figure: a colour a model, grey controls, a shape a kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from glmbench.report.boards import label_of, natural_key, series_labels
from glmbench.report.data import KINDS, Aggregate, Kind, Score

PAPER = "#ffffff"
"""Fill of hollow marks; the page swaps it for its own background in the dark."""
INK, FAINT = "#22262e", "#8a919c"

KIND_COLOURS: dict[Kind, str] = {
    "model": "#0072b2",
    "stand-in": "#b1508b",
    "control": "#5c6470",
    "reference": "#00836a",
    "published": "#d55e00",
}
KIND_SHAPES: dict[Kind, str] = {
    "model": "circle",
    "stand-in": "triangle-up",
    "control": "square",
    "reference": "stroke",
    "published": "diamond",
}

# Okabe and Ito's colours without black and yellow (too close to the controls, too pale on white), then darker shades.
_MODELS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7b3294", "#8c510a", "#01665e", "#c51b7d")
_CONTROLS = ("#4b5563", "#7c8591", "#a3abb5", "#2f3640", "#929aa6")
_DASHES: tuple[list[int], ...] = ([5, 3], [2, 2], [8, 3, 2, 3], [1, 3], [10, 4])


@dataclass(frozen=True)
class Look:
    """Colour and dash of one series."""

    label: str
    kind: Kind
    colour: str
    dash: list[int]


def looks(items: Sequence[Score | Aggregate]) -> list[Look]:
    """Give every series of a report its look: models first, each kind in the order of its names.

    Controls are grey beside models, and coloured where there is nothing else; they are dashed always.
    """
    labels = series_labels(items)
    kinds = {label_of(item, labels): item.kind for item in items}
    ordered = sorted(kinds, key=lambda label: (KINDS.index(kinds[label]), natural_key(label)))
    any_model = not {"model", "stand-in"}.isdisjoint(kinds.values())
    given, found = {"model": 0, "control": 0}, []
    for label in ordered:
        kind = kinds[label]
        if kind == "reference":
            found.append(Look(label, kind, KIND_COLOURS[kind], [6, 3]))
            continue
        family = "control" if kind == "control" else "model"
        palette = _CONTROLS if family == "control" and any_model else _MODELS
        place = given[family]
        given[family] += 1
        dash = _DASHES[place % len(_DASHES)] if family == "control" else []
        found.append(Look(label, kind, palette[place % len(palette)], dash))
    return found


_TEXT = {"labelColor": INK, "titleColor": INK, "labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal"}
CONFIG: dict[str, Any] = {
    "font": "Helvetica Neue, Helvetica, Arial, sans-serif",
    "background": "transparent",
    "padding": 8,
    "view": {"stroke": None},
    "axis": _TEXT
    | {"labelLimit": 260, "titlePadding": 8, "gridColor": "#e4e7ec", "domainColor": "#c3c8d0", "tickColor": "#c3c8d0"},
    "legend": _TEXT | {"labelLimit": 260, "symbolSize": 70},
    "title": {
        "color": INK, "fontSize": 13, "fontWeight": "bold", "anchor": "start", "offset": 10, "subtitleColor": "#667085",
        "subtitleFontSize": 11,
    },
    "header": {"labelColor": INK, "labelFontSize": 12, "labelFontWeight": "bold", "labelLimit": 230},
}  # fmt: skip
"""Type, axes and legend, alike in all figures: Vega-Lite's `config`."""
