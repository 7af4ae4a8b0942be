"""How many bases of a sequence a model is shown where nobody says it."""

from __future__ import annotations

from glmbench.models.model import ModelCard
from glmbench.models.reference import parse_reference

LONGEST_WINDOW = 512
"""Bases, where the model can take them."""
_WITH_SPECIAL_TOKENS = ("hf", "random", "zoo")


def default_width(card: ModelCard) -> int:
    """512 bases, or the context where that is less; of transformers' networks less two, for special tokens."""
    if card.context is None:
        return LONGEST_WINDOW
    ends = 2 if parse_reference(card.reference).scheme in _WITH_SPECIAL_TOKENS else 0
    return max(4, min(LONGEST_WINDOW, card.context - ends))
