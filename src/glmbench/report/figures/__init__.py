"""The figures, each one Vega-Lite specification: drawn live on the page, and as SVG and PDF beside it."""

from glmbench.report.figures.cost import cost
from glmbench.report.figures.curves import all_curves, curve_rows, task_curves
from glmbench.report.figures.figure import Figure, budget_words, slug
from glmbench.report.figures.forest import aggregate_forest, board_forest
from glmbench.report.figures.heatmap import heatmap

__all__ = [
    "Figure", "aggregate_forest", "all_curves", "board_forest", "budget_words", "cost", "curve_rows", "heatmap", "slug",
    "task_curves",
]  # fmt: skip
