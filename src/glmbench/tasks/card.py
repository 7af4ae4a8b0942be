"""What is known of a task before its data are read: the card, one TOML file each under `cards/`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from glmbench.storage.fetch import SourceFile


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
    label: str = "label"
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
    kind: Literal["classification", "regression"] = "classification"
    species: tuple[str, ...] = ()
    length: int | None = None
    """Nominal length of a sequence, in bp."""
    classes: tuple[str, ...] = ()
    """Names of the labels 0, 1, … in order; a name in angle brackets is our guess, the source documents none."""
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

    @property
    def reference(self) -> str:
        """The full name with its version, as in `genemask/prom-core@2`."""
        return f"{self.name}@{self.version}"
