"""The cost record: what a training took, added up over all its interruptions."""

from __future__ import annotations

import math
import resource
import statistics
import sys
import time
from dataclasses import dataclass, replace

import torch

from glmbench.training.distributed import processes
from glmbench.training.precision import Format


@dataclass(frozen=True)
class TrainingCost:
    """Cost of the steps and evaluations of one training."""

    wall_s: float
    cpu_s: float
    """Of all threads of this process."""
    step_s: float | None
    """Median wall time of an optimiser step; None where none was taken."""
    units: int
    """Examples or tokens that the steps have seen, repeats included."""
    units_per_s: float | None
    """By the wall time of the steps alone."""
    peak_memory_mb: float
    """Largest memory of this process so far, or of the GPU's allocator."""
    energy_j: float | None = None
    """Only if measured."""
    bases: int = 0
    """Bases that the steps have seen, where the batches count them."""
    waiting_s: float = 0.0
    """Wall time of the steps in which they waited for batches."""
    model_units_per_s: float | None = None
    """By the wall time of the steps without that waiting."""
    processes: int = 1
    """Trained together; units and bases are of all, times and memory of the first."""
    flop_utilisation: float | None = None
    """Floating-point operations of the model over what the device could have done; see `with_utilisation`."""


class Meter:
    """Adds up cost while a training runs.

    Args:
        device: whose memory counts.
        before: what earlier, interrupted parts took, as `state` gave it.
    """

    def __init__(self, device: torch.device, before: dict[str, float] | None = None) -> None:
        self._device, self._before = device, before or {}
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        self._steps: list[float] = []
        self._stepping_s, self._waiting_s, self._units, self._bases = 0.0, 0.0, 0, 0

    def step(self, seconds: float, units: int) -> None:
        """Count one optimiser step, waiting included."""
        self._steps.append(seconds)
        self._stepping_s += seconds
        self._units += units

    def batches(self, waited: float, bases: int) -> None:
        """Count the batches of a step: seconds until they were there, and bases in them."""
        self._waiting_s += waited
        self._bases += bases

    @property
    def units_per_s(self) -> float | None:
        """Speed of the steps of this part."""
        return self._units / self._stepping_s if self._stepping_s else None

    def state(self) -> dict[str, float]:
        """Totals to keep in a checkpoint."""
        now = {
            "wall_s": time.perf_counter() - self._wall,
            "cpu_s": time.process_time() - self._cpu,
            "stepping_s": self._stepping_s,
            "waiting_s": self._waiting_s,
            "units": self._units,
            "bases": self._bases,
        }
        return {name: value + self._before.get(name, 0) for name, value in now.items()}

    def record(self) -> TrainingCost:
        """The cost up to now."""
        total = self.state()
        working_s = total["stepping_s"] - total["waiting_s"]
        return TrainingCost(
            wall_s=total["wall_s"],
            cpu_s=total["cpu_s"],
            step_s=statistics.median(self._steps) if self._steps else None,
            units=int(total["units"]),
            units_per_s=total["units"] / total["stepping_s"] if total["stepping_s"] else None,
            peak_memory_mb=peak_memory_mb(self._device),
            bases=int(total["bases"]),
            waiting_s=total["waiting_s"],
            model_units_per_s=total["units"] / working_s if working_s else None,
            processes=processes(),
        )


def with_utilisation(cost: TrainingCost, *, flops_per_unit: float, peak_flops: float) -> TrainingCost:
    """The cost with its model FLOP utilisation (Chowdhery et al. 2022, arXiv 2204.02311, appendix B), end to end.

    Args:
        cost: of a training.
        flops_per_unit: operations that the model needs for one unit, forward and backward, without recomputation.
        peak_flops: operations a second of one device: `measured_matmul_peak`, or what its maker says.
    """
    if cost.units_per_s is None:
        return cost
    return replace(cost, flop_utilisation=cost.units_per_s * flops_per_unit / (peak_flops * cost.processes))


def measured_matmul_peak(
    device: torch.device, number_format: Format, *, size: int = 4096, seconds: float = 1.0
) -> float:
    """Operations a second of square matrix products on a device, the fastest of those done in so many seconds.

    Args:
        device: where.
        number_format: `fp32` (with the float32 matmul precision that is set) or `bf16`.
        size: rows and columns.
        seconds: how long to try, after one product to warm up.
    """
    a = torch.ones(size, size, device=device, dtype=torch.bfloat16 if number_format == "bf16" else torch.float32)
    out = torch.mm(a, a)
    fastest, end = math.inf, time.perf_counter() + seconds
    while fastest == math.inf or time.perf_counter() < end:
        _synchronise(device)
        started = time.perf_counter()
        torch.mm(a, a, out=out)
        _synchronise(device)
        fastest = min(fastest, time.perf_counter() - started)
    return 2 * size**3 / fastest


def peak_memory_mb(device: torch.device) -> float:
    """Largest memory so far in megabytes: of the process, or of the GPU's allocator."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS, in kB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
