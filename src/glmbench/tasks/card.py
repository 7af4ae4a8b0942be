"""What is known of a task before its data are read: the card, one TOML file each under `cards/`."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from glmbench.storage.fetch import SourceFile

TaskKind = Literal["classification", "regression", "multilabel", "per-base"]
"""One class a sequence; one value; several yes/no labels (`classes` names them); one class a base."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataFile(SourceFile):
    """A source file that holds one split of a task."""

    split: str
    rows: int | None = None
    """Number of examples the source states or we counted; checked on load."""


class TableFormat(_Frozen):
    """How to read a delimited table of sequences and labels."""

    separator: str = ","
    quote: str | None = '"'
    """Empty or None where quotes have no meaning."""
    sequence: str = "sequence"
    sequence_2: str | None = None
    """The column of the second sequence of a pair; without it pairs are found by the rules of `tasks.columns`."""
    label: str = "label"
    labels: tuple[str, ...] = ()
    """The columns of several yes/no labels, in place of `label`."""
    kmer_joined: int | None = None
    """k, where the sequence is written as overlapping k-mers joined by blanks (stride 1)."""


class Derivation(_Frozen):
    """A corrected version of a task: the same files, with rows removed or grouped by a named rule."""

    rule: Literal["deduplicated", "grouped-by-parent"]
    why: str
    parameters: dict[str, Any] = Field(default_factory=dict)


class TaskCard(_Frozen):
    """The card of one version of a task.

    `name` is stable; `version` grows when the data are corrected, and the old version keeps its meaning.
    """

    name: str
    version: int = 1
    title: str
    description: str = ""
    group: str = ""
    """The task that the source counts this set under, as in its tables (`EMP` of GUE)."""
    kind: TaskKind = "classification"
    species: tuple[str, ...] = ()
    length: int | None = None
    """Nominal length of a sequence, in bp."""
    classes: tuple[str, ...] = ()
    """Names of the labels 0, 1, … in order; a name in angle brackets is our guess, the source documents none.

    Of several yes/no labels: the name of each; where left out, as their columns are named."""
    metric: str
    """The main metric: the one on leaderboards."""
    metrics: tuple[str, ...]
    unit: str = "example"
    """What is resampled for confidence intervals: `example`, or what the `group` column holds (`parent`, `genome`)."""
    split_rule: str = ""
    """How the source made its splits, in words, with what is known to leak."""
    licence: str = "not stated"
    citation: str = ""
    """BibTeX of the source."""
    urls: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    format: TableFormat = TableFormat()
    files: tuple[DataFile, ...] = ()
    leakage: dict[str, Any] = Field(default_factory=dict)
    """Parameters of the leakage rules that are stated per task (see `tasks.leakage`)."""
    derivation: Derivation | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Parameters of the generator, for a simulated task."""

    @model_validator(mode="after")
    def _labels_have_names(self) -> Self:
        columns = self.format.labels
        if columns and self.kind != "multilabel":
            raise ValueError(f"format.labels names {len(columns)} columns of a {self.kind}; want kind 'multilabel'")
        if columns and len(self.classes or columns) != len(columns):
            raise ValueError(
                f"{len(self.classes)} classes for {len(columns)} label columns; want one name each, or no classes"
            )
        if columns and not self.classes:
            object.__setattr__(self, "classes", columns)
        return self

    @property
    def reference(self) -> str:
        """The full name with its version, as in `genemask/prom-core@2`."""
        return f"{self.name}@{self.version}"


def described(card: TaskCard, *fields: str) -> dict[str, Any]:
    """The fields of a card that decide how its files are read, as plain values for a data hash.

    Settings of the format that are not made use of are left out where they came after the first hashes, so that a task
    which was read before them keeps its hash.
    """
    values: dict[str, Any] = card.model_dump(mode="json", include={"kind", "classes", "format", *fields})
    values["format"] = {name: value for name, value in values["format"].items() if name not in _LATER or value}
    return values


_LATER = ("sequence_2", "labels")
