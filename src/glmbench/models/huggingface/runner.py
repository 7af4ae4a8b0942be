"""Runs a frozen network over token rows of any lengths, computing no padding where the network allows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

from glmbench.errors import Unsupported
from glmbench.models.huggingface.forwards import Batching, Forward, Outputs, Rows, choose_forward, packing_of
from glmbench.models.huggingface.network import LoadedNetwork
from glmbench.networks.packing import Packing
from glmbench.training.precision import Precision

Out = TypeVar("Out")

CPU_BATCH_TOKENS = 2_048
"""More leaves the processor's cache and is slower."""
GPU_BATCH_TOKENS = 65_536


class Runner:
    """States and logits of token rows, batch by batch, the longest rows first.

    Rows do not see each other: what a row gives does not depend, but for rounding, on the batch it is in. Where a
    device has too little memory for a batch, batches become smaller for good.

    Args:
        network: moved to the device, frozen.
        pad: id that fills padded rows, where there are any; it is masked.
        device: where it runs.
        precision: of its arithmetic; what comes out is float32.
    """

    def __init__(self, network: LoadedNetwork, *, pad: int, device: torch.device, precision: Precision) -> None:
        self._network, self._device, self._precision, self._pad = network, device, precision, pad
        self._body = network.body
        for part in (network.body, network.head, network.classifier):
            if part is not None:
                part.to(device)
        self.passes = 0
        """Token rows that went through the network."""
        self._budget = CPU_BATCH_TOKENS if device.type == "cpu" else GPU_BATCH_TOKENS

    @cached_property
    def forward(self) -> Forward:
        """How the network is run, found out when it first runs."""
        with self._precision.matmuls():
            return choose_forward(self._body, self._device, self._pad)

    def states(self, rows: Rows, layer: int = -1) -> Iterator[tuple[list[int], Tensor, Packing]]:
        """Hidden states of a layer: 0 the embeddings, -1 the last.

        Yields:
            Of each batch the indices of its rows, their states end to end, float32 (tokens, dim), and their packing.

        Raises:
            Unsupported: the network shows its last layer only; or one row alone does not fit into memory.
        """

        def run(batch: list[int]) -> tuple[Tensor, Packing]:
            chosen = [rows[index] for index in batch]
            packing = packing_of(chosen, self._device)
            return self.forward.states(chosen, packing, layer).float(), packing

        for batch, (states, packing) in self._batches(rows, self.forward.batching, run):
            yield batch, states, packing

    def logits(self, rows: Rows, asked: Sequence[Sequence[int]]) -> Iterator[tuple[list[int], Tensor]]:
        """Logits over the vocabulary at some places of each row.

        The head is computed for these places only, in networks of ours the last layer, too.

        Args:
            rows: token ids.
            asked: places in each row, 0-based; there may be none.

        Yields:
            Of each batch the indices of its rows, and the logits of the places asked in them end to end,
            float32 (places, vocabulary).

        Raises:
            Unsupported: the network has no language-model head; or one row alone does not fit into memory.
        """
        head = self._network.head
        if head is None:
            raise Unsupported(f"{type(self._body).__name__} was loaded without a language-model head")

        def run(batch: list[int]) -> Tensor:
            chosen = [rows[index] for index in batch]
            packing = packing_of(chosen, self._device)
            starts = [0, *torch.tensor(packing.lengths).cumsum(0).tolist()]
            places = [start + place for start, index in zip(starts, batch, strict=False) for place in asked[index]]
            at = torch.tensor(places, dtype=torch.int64, device=self._device)
            states = self.forward.states(chosen, packing, -1, at).float()
            with torch.autocast(self._device.type, enabled=False):  # a logit rounded to bfloat16 has three digits
                logits: Tensor = head(states)
                return logits.float()

        yield from self._batches(rows, self.forward.batching, run)

    def labels(self, rows: Rows) -> Iterator[tuple[list[int], Tensor]]:
        """Outputs of the classification head.

        Yields:
            Of each batch the indices of its rows and their outputs, float32 (rows, labels).

        Raises:
            Unsupported: the network has no classification head; or one row alone does not fit into memory.
        """
        classifier = self._network.classifier
        if classifier is None:
            raise Unsupported(f"{type(self._body).__name__} was loaded without a classification head")
        outputs = Outputs(classifier, self._device, self._pad)

        def run(batch: list[int]) -> Tensor:
            return outputs([rows[index] for index in batch]).float()

        yield from self._batches(rows, outputs.batching, run)

    def _batches(
        self, rows: Rows, batching: Batching, run: Callable[[list[int]], Out]
    ) -> Iterator[tuple[list[int], Out]]:
        lengths = [len(row) for row in rows]
        order = sorted(range(len(rows)), key=lambda index: -lengths[index])
        start = 0
        while start < len(order):
            batch = self._next_batch(order, start, lengths, batching)
            out = self._try(batch, run)
            if out is None:
                self._make_room([lengths[index] for index in batch], batching)
                continue
            start += len(batch)
            self.passes += len(batch)
            yield batch, out

    def _next_batch(self, order: list[int], start: int, lengths: list[int], batching: Batching) -> list[int]:
        """As many of the next rows as the budget allows, at least one."""
        longest, tokens, stop = lengths[order[start]], 0, start
        while stop < len(order):
            length = lengths[order[stop]]
            tokens += longest if batching.pads else length
            full = batching.single or tokens > self._budget or (batching.equal_only and length != longest)
            if stop > start and full:
                break
            stop += 1
        return order[start:stop]

    def _try(self, batch: list[int], run: Callable[[list[int]], Out]) -> Out | None:
        """What a batch gives; None where memory does not suffice, with what it had taken let go of."""
        try:
            with torch.inference_mode(), self._precision.matmuls(), self._precision.forward(self._device):
                return run(batch)
        except torch.OutOfMemoryError:
            return None

    def _make_room(self, lengths: list[int], batching: Batching) -> None:
        """Half the tokens of a batch that did not fit, from now on."""
        longest = max(lengths)
        if len(lengths) == 1:
            raise Unsupported(
                f"a row of {longest:,} tokens does not fit into the memory of this {self._device.type} device; use a "
                "shorter context (?max_tokens=… with ?overflow=window), ?precision=bf16, or a device with more memory"
            )
        self._budget = (longest * len(lengths) if batching.pads else sum(lengths)) // 2
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
