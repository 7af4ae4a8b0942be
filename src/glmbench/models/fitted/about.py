"""What is written beside fitted weights: all that is needed to answer again."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

FOLDER = "fitted"
"""Name of the folder within that of a result."""
ABOUT = "fitted.json"
WEIGHTS = "weights.safetensors"


class About(BaseModel):
    """The file `fitted.json` of a folder with a fitted predictor."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    model: str
    """Reference of the model that was fitted, in canonical form; a folder as an absolute path."""
    fingerprint: str
    """Of that model: weights of another are refused."""
    method: str
    task: str
    """Reference of the task, with its version."""
    budget: str
    seed: int
    classes: tuple[str, ...] = ()
    """Names of the outputs."""
    paired: bool = False
    """Whether it answers about pairs of sequences."""
    part: Literal["linear", "adapters", "network"]
    """What the weights are: of a linear model, of adapters and a head, or of a whole network."""
    target: dict[str, Any]
    """Fields of `target.Target`."""
    form: dict[str, Any] = Field(default_factory=dict)
    """Fields of `building.Form`; of a linear model its scaling."""
    precision: Literal["fp32", "bf16"] = "fp32"
    reverse_complements: bool = False
    batch_codes: int | None = None
