"""`Bidirectional`: a recurrent layer from the left and one from the right."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from glmbench.networks.keras.layer import Bounds, Layer, Weights
from glmbench.networks.keras.recurrent import GRU, LSTM, Recurrent
from glmbench.networks.keras.settings import Settings, Shape

RECURRENT: dict[str, type[Recurrent]] = {"LSTM": LSTM, "CuDNNLSTM": LSTM, "GRU": GRU, "CuDNNGRU": GRU}


class Bidirectional(Layer):
    """The first half of the weights reads forward, the second backward; both lie in the order of the places."""

    def __init__(self, settings: Settings, inputs: Sequence[Shape], weights: Weights) -> None:
        super().__init__()
        inner = settings.inner()
        other = settings.inner("backward_layer") if settings.has("backward_layer") else inner
        for one in (inner, other):
            if one.kind not in RECURRENT:
                raise settings.error(f"wraps a {one.kind}, wanted one of {', '.join(RECURRENT)}")
        self.mode = settings.choice("merge_mode", "concat", ("concat", "sum", "ave", "mul"))
        first, second = weights.split(weights.left // 2)
        self.forwards = RECURRENT[inner.kind](inner, inputs, first)
        self.backwards = RECURRENT[other.kind](other, inputs, second)
        for half in (first, second):
            half.finish()
        if self.forwards.sequences != self.backwards.sequences or self.forwards.backwards:
            raise settings.error("wraps layers that do not read in opposite directions over the same places")
        self.backwards.backwards = True
        self.sequences = self.forwards.sequences
        self.passes_mask, self.ends_mask = self.sequences, not self.sequences

    def output_shape(self, *inputs: Shape) -> Shape:
        """Both outputs side by side, or one of their size."""
        *places, units = self.forwards.output_shape(*inputs)
        *_, opposite = self.backwards.output_shape(*inputs)
        if self.mode == "concat" and units is not None and opposite is not None:
            return *places, units + opposite
        return *places, units

    def bounds(self, *inputs: Bounds) -> Bounds | None:
        """Those of the input, where there still are places."""
        return inputs[0] if self.sequences else None

    def compute(self, inputs: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        """(B, T, inputs) to (B, T, units) or (B, units)."""
        left, right = self.forwards(inputs, mask), self.backwards(inputs, mask)
        if self.sequences:
            right = right.flip(1)
        if self.mode == "concat":
            return torch.cat((left, right), dim=-1)
        both: Tensor = left * right if self.mode == "mul" else left + right
        return both / 2 if self.mode == "ave" else both

    def hold(self, unit: int, value: float | None) -> None:
        """Side by side, a unit belongs to one direction and is held in its recurrence; else the merged unit is."""
        if self.mode != "concat":
            super().hold(unit, value)
        elif unit < self.forwards.units:
            self.forwards.hold(unit, value)
        else:
            self.backwards.hold(unit - self.forwards.units, value)
