from __future__ import annotations

import polars as pl
import pytest

from glmbench.report.figures.tokenizers import PANELS, tokenizer_figure
from glmbench.report.render import draw


def table(groups: tuple[str, ...]) -> pl.DataFrame:
    rows = [
        {"group": group, "tokenizer": name, **dict.fromkeys(PANELS, float(i))}
        for group in groups
        for i, name in enumerate(("character", "bpe-4096"))
    ]
    return pl.DataFrame(rows)


@pytest.mark.parametrize("groups", [("PRO",), ("PRO", "EUK", "VIR")])
def test_every_row_and_panel_is_drawn(groups: tuple[str, ...]) -> None:
    figure = tokenizer_figure(table(groups), 500)
    assert figure.spec["datasets"]["rows"] == table(groups).to_dicts()
    svg = draw(figure).svg
    for words in ("character", "bpe-4096", *(title for title, _ in PANELS.values())):
        assert words in svg
    # With one group there is nothing to tell apart, so no legend names it.
    assert all((f">{group}<" in svg) is (len(groups) > 1) for group in groups)
    assert "windows of 500 bases" in figure.caption
