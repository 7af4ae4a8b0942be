"""Ways to put token rows of different lengths through a frozen network; all give the same states.

| way         | for which networks                                           | what it computes for nothing          |
|-------------|--------------------------------------------------------------|---------------------------------------|
| `Own`       | ours: `packed_states` and `layer_states`                     | nothing                               |
| `Stock`     | those of transformers whose attention can be ours, tried out | nothing                               |
| `Padded`    | any other with an attention mask                             | the padding of a batch, on the right  |
| `EqualRows` | those without, and those with block-sparse attention         | nothing: a batch has rows of one length |
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from inspect import signature
from itertools import accumulate
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from glmbench.errors import Unsupported
from glmbench.models.huggingface.attention_type import attention_type
from glmbench.networks.packing import Packing
from glmbench.networks.transformers_attention import packed_attention
from glmbench.networks.unpadding import positions

Rows = Sequence[Sequence[int]]

CLOSE = 1e-4
"""Of the largest state: what two ways may differ by. Rounding gives about 1e-6, a neighbour that is seen about 1."""

_PROBE_LENGTHS = (3, 11, 7, 24)
_LAST_ONLY = "{} shows its last layer only; leave out ?layer"


@dataclass(frozen=True)
class Batching:
    """Which rows may go together.

    Attributes:
        pads: a batch costs as much as if all its rows were as long as the longest.
        equal_only: rows of a batch have one length.
        single: a batch is one row.
    """

    pads: bool = False
    equal_only: bool = False
    single: bool = False


class Forward(Protocol):
    """One way."""

    batching: Batching

    def states(self, rows: Rows, packing: Packing, layer: int, asked: Tensor | None = None) -> Tensor:
        """States of a layer, (tokens, dim) of rows end to end; with `asked`, int64 (n,), of these tokens, (n, dim).

        Raises:
            Unsupported: the network shows its last layer only, and another was asked for.
        """


class Own:
    """A network of ours over packed tokens."""

    batching = Batching()

    def __init__(self, body: nn.Module, device: torch.device) -> None:
        self._body, self._device = cast(Any, body), device

    def states(self, rows: Rows, packing: Packing, layer: int, asked: Tensor | None = None) -> Tensor:
        """See `Forward`."""
        ids = _concatenated(rows, self._device)
        if layer == -1:
            return cast(Tensor, self._body.packed_states(ids, packing, asked))
        states: Tensor = self._body.layer_states(ids, packing, every=True)[layer]
        return states if asked is None else states[asked]


class EqualRows:
    """A network called in its usual way on rows of one length."""

    batching = Batching(equal_only=True)

    def __init__(self, body: nn.Module, device: torch.device, pad: int) -> None:
        self._body, self._device, self._pad = body, device, pad
        # A decoder would keep keys and values of every layer for a next token that never comes.
        accepted = signature(body.forward).parameters
        self._fixed: dict[str, Any] = {"use_cache": False} if "use_cache" in accepted else {}
        self._attention = attention_type(body)

    def states(self, rows: Rows, packing: Packing, layer: int, asked: Tensor | None = None) -> Tensor:
        """See `Forward`."""
        ids, real = padded(rows, self._pad, self._device)
        arguments = {"attention_mask": real} if not self.batching.equal_only else {}
        with nullcontext() if self._attention is None else self._attention.of_rows(packing.longest):
            states = _states_of(self._body, layer, input_ids=ids, **arguments, **self._fixed)
        states = states[:, : packing.longest]  # networks that fill up blocks show the filling in all but the last layer
        packed = states.flatten(0, 1) if packing.uniform else states[real != 0]
        return packed if asked is None else packed[asked]


class Padded(EqualRows):
    """A network called in its usual way on rows padded on the right, which its attention mask hides."""

    batching = Batching(pads=True)


class Outputs:
    """A whole network with a classification head, on rows padded on the right.

    A decoder classifies by its last token that is not padding, and without an id for that takes one row at a time.
    """

    def __init__(self, network: nn.Module, device: torch.device, pad: int) -> None:
        self._network, self._device, self._pad = network, device, pad
        accepted = signature(network.forward).parameters
        self._masks = "attention_mask" in accepted
        self._fixed: dict[str, Any] = {"use_cache": False} if "use_cache" in accepted else {}
        self._attention = attention_type(network)
        configured = getattr(getattr(network, "config", None), "pad_token_id", None)
        equal_only = not self._masks or self._attention is not None
        self.batching = Batching(pads=True, equal_only=equal_only, single=configured is None)

    def __call__(self, rows: Rows) -> Tensor:
        """Outputs (rows, labels)."""
        ids, real = padded(rows, self._pad, self._device)
        masked = {"attention_mask": real} if self._masks else {}
        with nullcontext() if self._attention is None else self._attention.of_rows(ids.shape[1]):
            output: Any = self._network(input_ids=ids, **masked, **self._fixed)
        return cast(Tensor, output[0] if isinstance(output, tuple) else output.logits)


class Stock:
    """A network of transformers on one row of sequences end to end, with an attention of ours.

    Args:
        body: the network.
        device: where it is.
        first_position: of each sequence; None for networks that take no positions.
        padded: for rows that it computes otherwise in one row: those with masks where embeddings are scaled by the
            share of masks in a row (ESM's token dropout).
    """

    batching = Batching()

    def __init__(self, body: nn.Module, device: torch.device, first_position: int | None, padded: Padded) -> None:
        self._body, self._device, self._first, self._padded = body, device, first_position, padded
        self._fixed: dict[str, Any] = {"use_cache": False} if "use_cache" in signature(body.forward).parameters else {}
        config: Any = getattr(body, "config", None)
        self._scaling_mask = config.mask_token_id if getattr(config, "token_dropout", False) else None

    def states(self, rows: Rows, packing: Packing, layer: int, asked: Tensor | None = None) -> Tensor:
        """See `Forward`."""
        if self._scaling_mask is not None and any(self._scaling_mask in row for row in rows):
            return self._padded.states(rows, packing, layer, asked)
        arguments: dict[str, Any] = dict(self._fixed)
        if self._first is not None:
            arguments["position_ids"] = (positions(packing) + self._first)[None]
        with packed_attention(self._body, packing):
            states = _states_of(self._body, layer, input_ids=_concatenated(rows, self._device)[None], **arguments)[0]
        return states if asked is None else states[asked]


def choose_forward(body: nn.Module, device: torch.device, pad: int) -> Forward:
    """The way with the least computed for nothing that gives the states of each row alone.

    Stock networks are tried on a few rows, in one row and one by one.
    """
    if hasattr(body, "packed_states") and hasattr(body, "layer_states"):
        return Own(body, device)
    accepted = signature(body.forward).parameters
    if "attention_mask" not in accepted or attention_type(body) is not None:
        return EqualRows(body, device, pad)
    padded = Padded(body, device, pad)
    config: Any = getattr(body, "config", None)
    # RoBERTa and ESM number learned positions from the one after that of padding.
    starts = (0, (getattr(config, "pad_token_id", None) or 0) + 1) if "position_ids" in accepted else (None,)
    rows = _probe_rows(body, pad)
    if len(rows) > 1:
        for start in starts:
            stock = Stock(body, device, start, padded)
            if _same(stock, padded, rows, device):
                return stock
    return padded


def packing_of(rows: Rows, device: torch.device) -> Packing:
    """How rows lie end to end."""
    lengths = tuple(map(len, rows))
    return Packing(lengths, torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=device))


def padded(rows: Rows, pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids and attention mask, int64 (rows, longest); padding is on the right."""
    longest = max(map(len, rows))
    ids = [[*row, *[pad] * (longest - len(row))] for row in rows]
    real = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(real, device=device)


def _concatenated(rows: Rows, device: torch.device) -> Tensor:
    return torch.tensor([token for row in rows for token in row], device=device)


def _states_of(body: nn.Module, layer: int, **arguments: Any) -> Tensor:
    if layer != -1:
        accepted = signature(body.forward).parameters
        if "output_hidden_states" not in accepted and all(each.kind != each.VAR_KEYWORD for each in accepted.values()):
            raise Unsupported(_LAST_ONLY.format(type(body).__name__))
        arguments["output_hidden_states"] = True
    output: Any = body(**arguments)
    if layer == -1:
        return cast(Tensor, output[0] if isinstance(output, tuple) else output.last_hidden_state)
    states = None if isinstance(output, tuple) else output.hidden_states
    if states is None:
        raise Unsupported(_LAST_ONLY.format(type(body).__name__))
    return cast(Tensor, states[layer])


def _probe_rows(body: nn.Module, pad: int) -> list[list[int]]:
    """Rows of various ids and lengths, within the positions that the network has; few where it says nothing."""
    try:
        vocabulary = int(cast(Any, body).get_input_embeddings().num_embeddings)
    except (AttributeError, NotImplementedError):
        return []
    config: Any = getattr(body, "config", None)
    special = {pad, getattr(config, "pad_token_id", None), getattr(config, "mask_token_id", None)}
    known = [token for token in range(vocabulary) if token not in special]
    room = getattr(config, "max_position_embeddings", None) or max(_PROBE_LENGTHS)
    ids = (known[(7 * place + 3) % len(known)] for place in range(10**6))
    lengths = [min(length, room - 2) for length in _PROBE_LENGTHS] if known and room > 2 else []
    return [[next(ids) for _ in range(length)] for length in lengths]


def _same(packed: Forward, reference: Forward, rows: Rows, device: torch.device) -> bool:
    """Whether two ways give the same states of the last layer."""
    with torch.inference_mode():
        wanted = torch.cat([reference.states([row], packing_of([row], device), -1) for row in rows])
        try:
            got = packed.states(rows, packing_of(rows, device), -1)
        except Exception:  # code of a checkpoint may raise anything, and the usual way is there
            return False
    if got.shape != wanted.shape:
        return False
    return bool((got - wanted).abs().max() <= CLOSE * wanted.abs().max())
