"""The task of a card whose rows are simulated: nothing to fetch, and the best possible scores are known."""

from __future__ import annotations

from functools import lru_cache

import polars as pl

from glmbench.errors import UsageError
from glmbench.sequences.alphabet import decode
from glmbench.sequences.typing import Codes, Integers
from glmbench.simulation.classification import (
    GENERATOR_VERSION,
    SimulationParameters,
    labelled_distribution,
    parse_parameters,
    split_generator,
)
from glmbench.storage.hashing import sha256_json, sha256_strings
from glmbench.tasks.card import TaskCard
from glmbench.tasks.table import central

BAYES_OPTIMAL = "bayes-optimal"


class SimulatedTask:
    """A task drawn from the generator that the card's `parameters` name; implements `tasks.task.Task`.

    Drawn splits are kept in memory.
    """

    def __init__(self, card: TaskCard) -> None:
        """Read the card's parameters.

        Raises:
            DataError: a generator or a setting is unknown, absent or out of range.
        """
        self.card = card
        self.parameters = parse_parameters(card.parameters)

    def splits(self) -> tuple[str, ...]:
        """Every split that the card gives a size."""
        return tuple(self.parameters.rows)

    def load(self, split: str, *, context: int | None = None) -> pl.DataFrame:
        """Examples of one split (columns: `tasks.task`); `context` keeps the central `context` bp.

        Raises:
            UsageError: the card has no such split.
            DataError: the generator's settings contradict each other.
        """
        codes, labels = self._draw(split)
        letters = decode(codes)
        length = codes.shape[1]
        sequences = [letters[start : start + length] for start in range(0, len(letters), length)]
        ids = [f"{split}/{row}" for row in range(len(sequences))]
        examples = pl.DataFrame({"id": ids, "sequence": sequences, "label": labels, "group": ids})
        return central(examples, context)

    def data_hash(self) -> str:
        """SHA-256 over the parameters, the generator's version, and every row of every split.

        Rows are part of it: where a numerical library drew other ones, that gives another hash, not another meaning.
        """
        rows = {}
        for split in self.splits():
            examples = self.load(split)
            labels = [str(label) for label in examples["label"].to_list()]
            rows[split] = sha256_strings([*examples["sequence"].to_list(), *labels])
        parameters = self.parameters.model_dump(mode="json")
        return sha256_json({"generator": GENERATOR_VERSION, "parameters": parameters, "rows": rows})

    def references(self, split: str) -> dict[str, pl.DataFrame]:
        """Predictions by name: `bayes-optimal`, the exact p(class | whole sequence), one score column a class.

        Raises:
            UsageError: the card has no such split.
        """
        codes, _ = self._draw(split)
        posterior = labelled_distribution(self.parameters).posterior(codes)
        scores = [pl.Series(f"score_{label}", column) for label, column in enumerate(posterior.T)]
        return {BAYES_OPTIMAL: self.load(split).select("id", "group", "label").with_columns(scores)}

    def _draw(self, split: str) -> tuple[Codes, Integers]:
        if split not in self.parameters.rows:
            raise UsageError(f"{self.card.reference} has no split {split!r}; it has {', '.join(self.splits())}")
        return _draw(self.parameters.model_dump_json(), split)


@lru_cache(maxsize=32)
def _draw(parameters_json: str, split: str) -> tuple[Codes, Integers]:
    """Codes (n, length) and labels (n,) of one split, read-only."""
    parameters = SimulationParameters.model_validate_json(parameters_json)
    distribution = labelled_distribution(parameters)
    codes, labels = distribution.sample(split_generator(parameters, split), parameters.rows[split])
    codes.flags.writeable = labels.flags.writeable = False
    return codes, labels
