"""Questions that are asked once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Generic, TypeVar

Question = TypeVar("Question", bound=Hashable)
Answer = TypeVar("Answer")


class Memory(Generic[Question, Answer]):
    """Answers to the questions of one call and of the call before.

    Variants come in chunks, and two chunks may share windows at their border: with this memory, how variants are cut
    into chunks changes neither scores nor, in a sorted file, the number of forwards.

    Args:
        ask: answers distinct questions, in order.
    """

    def __init__(self, ask: Callable[[Sequence[Question]], Iterable[Answer]]) -> None:
        self._ask = ask
        self._kept: dict[Question, Answer] = {}
        self.asked = 0
        """Questions put so far."""

    def __call__(self, questions: Iterable[Question]) -> dict[Question, Answer]:
        """The answer to each question."""
        wanted = dict.fromkeys(questions)
        new = [question for question in wanted if question not in self._kept]
        answers = dict(zip(new, self._ask(new), strict=True)) if new else {}
        self.asked += len(new)
        self._kept = {q: self._kept[q] if q in self._kept else answers[q] for q in wanted}
        return self._kept
