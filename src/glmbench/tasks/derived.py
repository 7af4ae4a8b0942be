"""Corrected versions of a task: the rows of the base task, less those that leak.

A correction is a new version of a task (`name@2`) with a rule in its card; the base keeps its meaning. Two rules:

`grouped-by-parent`
    Families are the connected components of aligned identity over the rows of all splits (see
    `tasks.leakage.families`), by the rule in the derivation's parameters or, without one, under the card's
    `leakage.parent_child`. `group` holds the family, so that inner cross-validation and resampling keep it together.
    Training sets lose nothing, and so keep their N rows per class: dev and test lose the rows whose family has a member
    in any split named `train…`, and dev those whose family is in test. Every budget is scored on the same rows.

`deduplicated`
    A sequence with more than one label, anywhere, goes from every split. Then sequence and reverse complement count as
    one: training splits lose what is in dev or test, dev loses what is in test, and within a split the first row stays.
    A pair of sequences counts as one, so two pairs may still have one of them in common.

Both look at all splits at once. A split whose file the card has a checksum of must be here. One that nobody has
verified and that cannot be had takes no part; the data hash tells the difference.
"""

from __future__ import annotations

import polars as pl

from glmbench.errors import DataError, MissingData
from glmbench.storage.hashing import sha256_json
from glmbench.tasks.card import TaskCard
from glmbench.tasks.leakage.aligned import AlignedIdentity, families, read_rule
from glmbench.tasks.leakage.copies import copy_keys, strand_keys
from glmbench.tasks.task import LetterCounts, ReportsLetters, Task

DERIVATION_VERSION = 1
"""Grows when a rule keeps other rows than before, so that old results are not taken for new ones."""


class DerivedTask:
    """A task whose rows are those of `base` that the derivation of `card` keeps, with their ids; implements `Task`.

    What is kept is worked out at the first `load` and stays in memory, until a split is asked for that was absent then.
    """

    def __init__(self, base: Task, card: TaskCard) -> None:
        """Name the task to correct and the card of the corrected version.

        Raises:
            DataError: the card has no derivation, or its derivation lacks the rule for families.
        """
        if card.derivation is None:
            raise DataError(f"the card of {card.reference} has no derivation; give it one, with a rule")
        self.card = card
        self._base = base
        self._family_rule: AlignedIdentity | None = None
        if card.derivation.rule == "grouped-by-parent":
            self._family_rule = _family_rule(card)
        self._kept: dict[str, pl.DataFrame] = {}
        self._removed: dict[str, int] = {}

    def splits(self) -> tuple[str, ...]:
        """The splits of the base."""
        return self._base.splits()

    def load(self, split: str, *, context: int | None = None) -> pl.DataFrame:
        """The rows of a split that the derivation keeps, in the order of the base.

        With `context`, the rows are chosen by their whole sequences and cut then.

        Raises:
            UsageError: there is no such split.
            MissingData: the file of this split, or of one that this split is compared with, is absent.
            DataError: a file is there but not what the card says.
        """
        cut = self._base.load(split, context=context)
        if split not in self._kept:
            self._derive()
        kept = self._kept[split]
        if context is None:
            return kept
        return kept.select("id", "group").join(cut.drop("group"), on="id", maintain_order="left").select(cut.columns)

    def data_hash(self) -> str:
        """SHA-256 over the base, the derivation, and the version of its rule.

        Raises:
            MissingData: as the base.
        """
        assert self.card.derivation is not None
        families_by = None if self._family_rule is None else self._family_rule.model_dump()
        derivation = self.card.derivation.model_dump(mode="json", exclude={"why"})
        return sha256_json(
            {
                "base": self._base.data_hash(),
                "derivation": derivation,
                "families": families_by,
                "version": DERIVATION_VERSION,
            }
        )

    def references(self, split: str) -> dict[str, pl.DataFrame]:
        """None: reference scores belong to the rows of the base."""
        return {}

    def removed(self) -> dict[str, int]:
        """How many rows of the base each split lacks; splits that take no part are left out.

        Raises:
            MissingData: as `load`.
        """
        if not self._kept:
            self._derive()
        return dict(self._removed)

    def letters(self, split: str) -> LetterCounts:
        """What was altered in one split of the base, rows that the derivation removes included; errors as `load`."""
        return self._base.letters(split) if isinstance(self._base, ReportsLetters) else LetterCounts()

    def _derive(self) -> None:
        base = self._comparable_splits()
        kept = deduplicate(base) if self._family_rule is None else group_by_parent(base, self._family_rule)
        self._removed = {split: base[split].height - rows.height for split, rows in kept.items()}
        self._kept = kept

    def _comparable_splits(self) -> dict[str, pl.DataFrame]:
        verified = {file.split for file in self._base.card.files if file.verifiable}
        splits: dict[str, pl.DataFrame] = {}
        for split in self._base.splits():
            try:
                splits[split] = self._base.load(split)
            except MissingData:
                if split in verified:
                    raise
        return splits


def group_by_parent(splits: dict[str, pl.DataFrame], rule: AlignedIdentity) -> dict[str, pl.DataFrame]:
    """Apply the rule `grouped-by-parent` (see the module) to the splits of a task.

    A family is named by the id of its first row, in the order of `splits`.
    """
    rows = _stacked(splits)
    rows = rows.with_columns(group=families(rows, rule))
    in_training, in_test = _IN_TRAINING.any().over("group"), _IN_TEST.any().over("group")
    leaks = ~_IN_TRAINING & (in_training | (~_IN_TEST & in_test))
    return _unstacked(rows.filter(~leaks), splits)


def deduplicate(splits: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Apply the rule `deduplicated` (see the module) to the splits of a task."""
    rows = _stacked(splits)
    rows = rows.filter(pl.col("label").n_unique().over(copy_keys(rows)) == 1)
    rows = rows.with_columns(_key=strand_keys(rows))
    in_test, not_in_training = _IN_TEST.any().over("_key"), (~_IN_TRAINING).any().over("_key")
    leaks = (~_IN_TEST & in_test) | (_IN_TRAINING & not_in_training)
    return _unstacked(rows.filter(~leaks).unique(["_split", "_key"], keep="first", maintain_order=True), splits)


_IN_TRAINING = pl.col("_split").str.starts_with("train")
_IN_TEST = pl.col("_split") == "test"


def _stacked(splits: dict[str, pl.DataFrame]) -> pl.DataFrame:
    return pl.concat([rows.with_columns(_split=pl.lit(split)) for split, rows in splits.items()])


def _unstacked(rows: pl.DataFrame, splits: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    return {split: rows.filter(pl.col("_split") == split).select(like.columns) for split, like in splits.items()}


def _family_rule(card: TaskCard) -> AlignedIdentity:
    stated = (card.derivation and card.derivation.parameters) or card.leakage.get("parent_child")
    rule = read_rule(stated, card)
    if rule is None:
        raise DataError(
            f"the card of {card.reference} is grouped by parent but does not say what a parent is; "
            "give it leakage.parent_child with min_identity and length"
        )
    return rule
