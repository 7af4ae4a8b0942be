"""`LSTM`, `GRU` and their CuDNN kin: torch's kernels where the gates are theirs, an explicit loop where not.

A stateful layer starts from zeros at every call: what one batch left behind would belong to another sequence.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear

from glmbench.networks.keras.activations import ACTIVATIONS
from glmbench.networks.keras.layer import Bounds, Layer, Weights, rank_two
from glmbench.networks.keras.recurrent_weights import RecurrentWeights, reorder, take
from glmbench.networks.keras.settings import Settings, Shape


class Recurrent(Layer):
    """What `LSTM` and `GRU` share: weights, direction, masks, held units."""

    gates = 0
    default_gate_activation = "sigmoid"
    weight_inputs: Tensor
    weight_recurrent: Tensor
    bias_inputs: Tensor
    bias_recurrent: Tensor

    def __init__(self, settings: Settings, inputs: Sequence[Shape], weights: Weights) -> None:
        super().__init__()
        self._settings = settings
        for switch in ("time_major", "return_state"):
            settings.refuse(switch)
        _, incoming = rank_two(settings, inputs[0])
        self.units = settings.integer("units")
        self.sequences = settings.flag("return_sequences", False)
        self.backwards = settings.flag("go_backwards", False)
        self.passes_mask, self.ends_mask = self.sequences, not self.sequences
        cudnn = settings.kind.startswith("CuDNN")
        state, gate = ("tanh", "sigmoid") if cudnn else (settings.activation("activation", "tanh"), self._gate())
        self.state_activation, self.gate_activation = ACTIVATIONS[state], ACTIVATIONS[gate]
        self.kernel_runs_it = (state, gate) == ("tanh", "sigmoid")
        self._register(take(settings, weights, incoming, self.gates))

    def _gate(self) -> str:
        return self._settings.activation("recurrent_activation", self.default_gate_activation)

    def _register(self, weights: RecurrentWeights) -> None:
        self.register_buffer("weight_inputs", weights.inputs)
        self.register_buffer("weight_recurrent", weights.recurrent)
        self.register_buffer("bias_inputs", weights.input_bias)
        self.register_buffer("bias_recurrent", weights.recurrent_bias)

    def output_shape(self, *inputs: Shape) -> Shape:
        """(time, units), or units after the last place."""
        return (inputs[0][0], self.units) if self.sequences else (self.units,)

    def bounds(self, *inputs: Bounds) -> Bounds | None:
        """Those of the input, in the order of reading."""
        if not self.sequences:
            return None
        return inputs[0][::-1] if self.backwards else inputs[0]

    def compute(self, inputs: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        """(B, T, inputs) to (B, T, units) in the order of reading, or (B, units) after the last place read."""
        x = inputs[0].flip(1) if self.backwards else inputs[0]
        if mask is not None:
            mask = None if bool(mask.all()) else (mask.flip(1) if self.backwards else mask)
        states = self._kernel(x) if mask is None and self.kernel_runs_it else self._loop(x, mask)
        return states if self.sequences else states[:, -1]

    def _kernel(self, x: Tensor) -> Tensor:
        raise RuntimeError(f"{type(self).__name__} has no kernel")

    def _step(self, z: Tensor, carried: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        raise RuntimeError(f"{type(self).__name__} has no step")

    def _start(self, x: Tensor) -> tuple[Tensor, ...]:
        raise RuntimeError(f"{type(self).__name__} has no start")

    def _loop(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """As the kernel, step by step; what is carried stays as it is where the mask is False."""
        z = linear(x, self.weight_inputs, self.bias_inputs)
        carried, states = self._start(x), []
        self._keep_held(carried[0])
        for step in range(x.shape[1]):
            after = self._step(z[:, step], carried)
            if mask is not None:
                here = mask[:, step, None]
                after = tuple(torch.where(here, new, old) for new, old in zip(after, carried, strict=True))
            self._keep_held(after[0])
            carried = after
            states.append(carried[0])
        return torch.stack(states, dim=1)

    def _keep_held(self, state: Tensor) -> None:
        for unit, value in self.held.items():
            state[:, unit] = value

    def _weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The weights for torch's kernels. A held unit gives a constant to every gate, and so becomes part of the bias.

        That is exact: in the recurrence the unit has its value at every place, and before the first.
        """
        recurrent, bias = self.weight_recurrent, self.bias_recurrent
        if self.held:
            recurrent, bias = recurrent.clone(), bias.clone()
            for unit, value in self.held.items():
                bias += value * recurrent[:, unit]
                recurrent[:, unit] = 0
        return self.weight_inputs, recurrent, self.bias_inputs, bias


class LSTM(Recurrent):
    """`LSTM` and `CuDNNLSTM`; gates in the order input, forget, cell, output, which is also torch's."""

    gates = 4

    def _start(self, x: Tensor) -> tuple[Tensor, ...]:
        return x.new_zeros(len(x), self.units), x.new_zeros(len(x), self.units)

    def _kernel(self, x: Tensor) -> Tensor:
        zero = x.new_zeros(1, len(x), self.units)
        states: Tensor = torch.lstm(x, (zero, zero), self._weights(), True, 1, 0.0, False, False, True)[0]
        return states

    def _step(self, z: Tensor, carried: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        state, cell = carried
        into, forget, new, out = (z + linear(state, self.weight_recurrent, self.bias_recurrent)).chunk(4, dim=1)
        gate = self.gate_activation
        cell = gate(forget) * cell + gate(into) * self.state_activation(new)
        return gate(out) * self.state_activation(cell), cell


class GRU(Recurrent):
    """`GRU` and `CuDNNGRU`; gates update, reset, new in the file, and reset, update, new for torch.

    The reset gate works on the product with the recurrent kernel (`reset_after`, which torch and cuDNN have), or on
    the state before it.
    """

    gates = 3

    def __init__(self, settings: Settings, inputs: Sequence[Shape], weights: Weights) -> None:
        super().__init__(settings, inputs, weights)
        self.reset_after = settings.kind.startswith("CuDNN") or settings.flag("reset_after", False)
        self.kernel_runs_it = self.kernel_runs_it and self.reset_after

    def _register(self, weights: RecurrentWeights) -> None:
        super()._register(reorder(weights, self.units, (1, 0, 2)))

    def _start(self, x: Tensor) -> tuple[Tensor, ...]:
        return (x.new_zeros(len(x), self.units),)

    def _kernel(self, x: Tensor) -> Tensor:
        zero = x.new_zeros(1, len(x), self.units)
        states: Tensor = torch.gru(x, zero, self._weights(), True, 1, 0.0, False, False, True)[0]
        return states

    def _step(self, z: Tensor, carried: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        (state,) = carried
        two = 2 * self.units
        gates = z[:, :two] + linear(state, self.weight_recurrent[:two], self.bias_recurrent[:two])
        reset, update = self.gate_activation(gates).chunk(2, dim=1)
        kernel, bias = self.weight_recurrent[two:], self.bias_recurrent[two:]
        old = reset * linear(state, kernel, bias) if self.reset_after else linear(reset * state, kernel, bias)
        new = self.state_activation(z[:, two:] + old)
        return (update * state + (1 - update) * new,)
