"""The noun Family: an architecture whose checkpoints ship code of their own, and which runs here on ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from transformers import PretrainedConfig

Role = Literal["states", "masked", "causal", "classifier", "flanks"]


@dataclass(frozen=True)
class Family:
    """How released files of one architecture come into a network of `glmbench.networks`.

    Attributes:
        name: for messages and tables.
        recognises: whether a `config.json` is of this family; it must not claim checkpoints of stock architectures.
        make_config: our configuration from the released `config.json`.
        networks: the class for each role as `module:Class`, imported when it is needed.
        rename: our name of a released weight; None for one that is known to be no part of the network (buffers that
            old versions saved).
        make_tokenizer: the tokenizer from `tokenizer_config.json`, for repositories whose tokenizer is code and no
            file; None where transformers reads it.
        sign: part of a weight's name that no stock architecture has, and the field of config.json without which the
            checkpoint is not recognised: for users who took it out.
        quirks: in words, what of the released code is kept for equal numbers and would be done otherwise today.
    """

    name: str
    recognises: Callable[[Mapping[str, Any]], bool]
    make_config: Callable[[Mapping[str, Any]], PretrainedConfig]
    networks: Mapping[Role, str]
    rename: Callable[[str], str | None] = lambda name: name
    make_tokenizer: Callable[[Mapping[str, Any]], Any] | None = None
    sign: tuple[str, str] | None = None
    quirks: tuple[str, ...] = field(default=())
