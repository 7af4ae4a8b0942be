"""The card of a published model: where it lies, how it runs here, what it reads, and what it has seen."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from glmbench.models.reference import ModelReference

Runs = Literal["native", "transformers", "remote code", "worker", "not supported"]
"""`native`: a network of ours reads its files, and none of its code runs. `transformers`: stock classes. `remote code`:
its own code, where the user allows it at a pinned revision. `worker`: an environment of its own. `not supported`: not.
"""

TokensAre = Literal["single bases", "overlapping k-mers", "k-mers side by side", "BPE", "alignment columns"]


class ZooCard(BaseModel):
    """What is known of a published model. None and empty mean unknown, never zero."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    """What stands after `zoo:`."""
    title: str
    family: str
    runs: Runs
    repository: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")
    """Of the Hugging Face hub, `ORG/NAME`; None: its weights are not there."""
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    """A commit of the repository that had all files when the card was written; None: not known."""
    options: dict[str, str] = Field(default_factory=dict)
    """Options that its reference needs, such as `kmer`."""
    tokenizer: str = ""
    """Its kind and options, in words."""
    tokens: TokensAre | None = None
    """How tokens map to bases."""
    layers: int | None = None
    dim: int | None = None
    """Features of a hidden state."""
    heads: int | None = None
    """Attention heads; None also where there is no attention."""
    parameters: int | None = None
    vocabulary: int | None = None
    special: tuple[str, ...] = ()
    """Special tokens; those that go around a sequence are named in `tokenizer`."""
    context: int | None = None
    """Longest input in tokens, special tokens included."""
    context_bp: int | None = None
    """Longest input in bp, exact where tokens have one length, as its authors say for BPE."""
    objective: Literal["masked", "causal", "span corruption", "contrastive"] | None = None
    strands: Literal["forward", "both"] = "forward"
    """`both`: by construction it treats a sequence and its reverse complement alike."""
    pretraining: dict[str, Any] = Field(default_factory=dict)
    """`species` (list of names), `data`, and what else is known, for contamination flags."""
    licence: str | None = None
    packages: tuple[str, ...] = ()
    """Packages that its own way of running needs beyond ours."""
    environment: dict[str, Any] | None = None
    """Of a worker: fields of `models.workers.environment.Environment`, which `glmbench env build NAME` makes."""
    citation: str = ""
    notes: tuple[str, ...] = ()
    """What to mind when using it."""
    tried: Literal["tiny stand-in", "not run here"]
    """`tiny stand-in`: a small random checkpoint of this architecture and tokenizer goes through the tests. Published
    weights were out of reach where glmbench is built, so none were run."""
    reason: str = ""
    """Why it was not run here."""
    sources: tuple[str, ...] = ()
    """Where the facts stand."""

    @model_validator(mode="after")
    def _consistent(self) -> ZooCard:
        if (self.tried == "not run here") != bool(self.reason):
            raise ValueError(f"{self.name}: a reason belongs to models that were not run here, and to no others")
        if self.runs != "not supported" and self.repository is None:
            raise ValueError(f"{self.name}: a model that runs as {self.runs!r} needs a repository")
        if (self.runs == "worker") != (self.environment is not None):
            raise ValueError(f"{self.name}: an environment belongs to models that run as 'worker', and to no others")
        return self

    @property
    def reference(self) -> ModelReference | None:
        """What it is loaded by; None where it is not."""
        if self.repository is None or self.runs == "not supported":
            return None
        if self.runs == "worker":
            return ModelReference("worker", self.name)
        return ModelReference("hf", self.repository, self.revision, self.options)

    @property
    def species(self) -> tuple[str, ...]:
        """What it was pre-trained on, as far as known."""
        return tuple(self.pretraining.get("species", ()))
