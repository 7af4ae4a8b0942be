"""Runs a Keras network over windows of codes, in batches, each different input once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glmbench.models.keras.kind import Kind
from glmbench.models.keras.windows import network_inputs
from glmbench.networks.keras.graph import KerasNetwork
from glmbench.progress import progress
from glmbench.sequences.typing import Codes, Integers
from glmbench.training.device import preferred_device
from glmbench.training.precision import resolve

BATCH_NUMBERS = 1 << 20
"""Numbers of a batch's largest layer on a processor: more leaves its cache."""
GPU_BATCH_NUMBERS = 1 << 26
MOST_ROWS = 512
GPU_MOST_ROWS = 1 << 14

_SMALLEST = 1e-38
"""Probabilities below count as this: the logarithm of 0 in float32."""


class Runner:
    """A network on its device.

    Args:
        network: in evaluation mode.
        kind: how windows become its inputs.
        rows: what each code becomes: float32 (6, letters), or (6,) for tokens.

    Attributes:
        passes: inputs that went through the network.
    """

    def __init__(self, network: KerasNetwork, kind: Kind, rows: NDArray[np.float32]) -> None:
        self._device = preferred_device()
        self._precision = resolve("fp32", self._device)
        self._network, self._kind = network.to(self._device), kind
        self._rows = torch.from_numpy(rows).to(self._device)
        self.passes = 0

    def outputs(self, windows: Codes) -> NDArray[np.float32]:
        """The network's output of each window, float32 (n, …)."""
        return self._together(windows, logits=False)

    def log_probabilities(self, windows: Codes) -> NDArray[np.float32]:
        """Logarithms of an output that is a distribution over its last axis, float32 (n, …)."""
        logits = self._network.gives_logits()
        outputs = self._together(windows, logits=logits)
        if logits:
            return torch.log_softmax(torch.from_numpy(outputs), -1).numpy()
        return np.log(np.maximum(outputs, _SMALLEST))

    def layer(self, windows: Codes, name: str) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """One layer's output of each window, batch by batch: which windows, float32 (batch, …)."""
        for rows, _, found in self._batches(windows, {name}):
            yield rows, found[name].float().cpu().numpy()

    def _together(self, windows: Codes, *, logits: bool) -> NDArray[np.float32]:
        distinct, inverse = unique_rows(windows)
        parts = [outputs[0].float().cpu().numpy() for _, outputs, _ in self._batches(distinct, (), logits=logits)]
        if not parts:
            shape = [length or 0 for length in self._network.output_shapes[0]]
            return np.empty((0, *shape), dtype=np.float32)
        return np.concatenate(parts)[inverse]

    def _batches(
        self, windows: Codes, wanted: Collection[str], *, logits: bool = False
    ) -> Iterator[tuple[slice, list[Tensor], dict[str, Tensor]]]:
        on_cpu = self._device.type == "cpu"
        numbers, most = (BATCH_NUMBERS, MOST_ROWS) if on_cpu else (GPU_BATCH_NUMBERS, GPU_MOST_ROWS)
        size = max(1, min(numbers // max(self._network.largest, windows.shape[1]), most))
        with progress("windows", total=len(windows)) as bar:
            for start in range(0, len(windows), size):
                rows = slice(start, min(start + size, len(windows)))
                inputs = [self._tensor(codes) for codes in network_inputs(self._kind, windows[rows])]
                with torch.inference_mode(), self._precision.matmuls(), _exact_kernels():
                    outputs, found = self._network(inputs, wanted, logits=logits)
                self.passes += rows.stop - rows.start
                yield rows, outputs, found
                bar.advance(rows.stop - rows.start)

    def _tensor(self, codes: Codes) -> Tensor:
        return self._rows[torch.from_numpy(codes.astype(np.int64)).to(self._device)]


def unique_rows(windows: Codes) -> tuple[Codes, Integers]:
    """Different rows, and for every row its place among them."""
    if not windows.size:
        return windows, np.arange(len(windows))
    as_one = np.ascontiguousarray(windows).view(np.dtype((np.void, windows.shape[1])))[:, 0]
    _, first, inverse = np.unique(as_one, return_index=True, return_inverse=True)
    return windows[first], inverse


def chunks(number: int, width: int) -> Iterator[slice]:
    """Ranges of windows that are gathered together: about 64 MB of codes."""
    size = max(1, (1 << 26) // (10 * max(width, 1)))
    return (slice(start, min(start + size, number)) for start in range(0, number, size))


def joined(parts: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Parts along the first axis; there may be none."""
    return np.concatenate(parts) if parts else np.empty((0, 4), dtype=np.float32)


@contextmanager
def _exact_kernels() -> Iterator[None]:
    """Convolutions and LSTMs in float32 on a GPU, which would round to TF32 by default."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
