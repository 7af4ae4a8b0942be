"""Layers with several inputs: `Add`, `Average`, `Multiply`, `Maximum`, `Concatenate`, `Subtract`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from glmbench.networks.keras.layer import Bounds, Layer, Weights
from glmbench.networks.keras.settings import Settings, Shape


class Elementwise(Layer):
    """All but `Concatenate`: number by number."""

    passes_mask = True

    def __init__(self, settings: Settings, inputs: Sequence[Shape], weights: Weights) -> None:
        super().__init__()
        self.kind = settings.kind
        if len(inputs) < 2 or len(set(inputs)) > 1:
            raise settings.error(f"gets inputs of shapes {', '.join(map(str, inputs))}, wanted several of one shape")
        if self.kind == "Subtract" and len(inputs) != 2:
            raise settings.error(f"gets {len(inputs)} inputs, wanted two")

    def bounds(self, *inputs: Bounds) -> Bounds | None:
        """Those of the inputs, where they agree."""
        return agreed(inputs)

    def compute(self, inputs: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        """Any shape, the same in and out."""
        if self.kind == "Multiply":
            return reduce(torch.mul, inputs)
        if self.kind == "Maximum":
            return reduce(torch.maximum, inputs)
        if self.kind == "Subtract":
            return inputs[0] - inputs[1]
        total = reduce(torch.add, inputs)
        return total / len(inputs) if self.kind == "Average" else total


class Concatenate(Layer):
    """Along one axis; Keras counts the batch axis too."""

    passes_mask = True

    def __init__(self, settings: Settings, inputs: Sequence[Shape], weights: Weights) -> None:
        super().__init__()
        rank = len(inputs[0])
        axes = settings.integers_or_one("axis") if settings.has("axis") else (-1,)
        axis = axes[0] if axes[0] >= 0 else rank
        self.axis = axis - 1
        rests = {(*shape[: self.axis], *shape[self.axis + 1 :]) for shape in inputs}
        if len(axes) != 1 or not 1 <= axis <= rank or len(rests) > 1:
            raise settings.error(f"joins inputs of shapes {', '.join(map(str, inputs))} along axis {axes}")
        self.joins_places = rank > 1 and axis == 1

    def output_shape(self, *inputs: Shape) -> Shape:
        """The axis is as long as all inputs together."""
        lengths = [shape[self.axis] for shape in inputs]
        total = None if None in lengths else sum(length for length in lengths if length is not None)
        return *inputs[0][: self.axis], total, *inputs[0][self.axis + 1 :]

    def bounds(self, *inputs: Bounds) -> Bounds | None:
        """Those of the inputs, where they agree and stay."""
        return None if self.joins_places else agreed(inputs)

    def compute(self, inputs: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        """Several tensors to one."""
        return torch.cat(list(inputs), dim=self.axis + 1)


def agreed(inputs: Sequence[Bounds]) -> Bounds | None:
    """The bounds of all inputs, None if they differ."""
    same = all(np.array_equal(inputs[0], other) for other in inputs[1:])
    return inputs[0] if same else None
