"""The table of `docs/zoo.md`, from the cards: `python -m glmbench.models.zoo.table docs/zoo.md` writes it anew."""

from __future__ import annotations

import sys
from pathlib import Path

from glmbench.errors import DataError
from glmbench.models.zoo.card import ZooCard
from glmbench.models.zoo.zoo import load_card, names

BEGIN, END = "<!-- table of cards: begin -->", "<!-- table of cards: end -->"

_COLUMNS = ("model", "runs", "run here", "tokens", "context, bp", "parameters", "pre-trained on", "licence")


def table() -> str:
    """A Markdown table with a row for each card; families together, an empty cell where something is unknown."""
    lines = [_row(_COLUMNS), _row(["---"] * len(_COLUMNS))]
    lines += [_row(_cells(load_card(name))) for name in names()]
    return "\n".join(lines) + "\n"


def with_table(page: str) -> str:
    """A page with the table between its two marks.

    Raises:
        DataError: the page does not have the marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise DataError(f"the page has no marks for the table; want a line {BEGIN!r} and a later line {END!r}")
    return f"{before}{BEGIN}\n\n{table()}\n{END}{after}"


def _cells(card: ZooCard) -> list[str]:
    name = f"`zoo:{card.name}`"
    return [
        f"[{name}](https://huggingface.co/{card.repository})" if card.repository else name,
        card.runs,
        f"{card.tried}: {card.reason}" if card.reason else card.tried,
        card.tokens or "",
        _number(card.context_bp),
        _number(card.parameters),
        ", ".join(card.species),
        card.licence or "",
    ]


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")
