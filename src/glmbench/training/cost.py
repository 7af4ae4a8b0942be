"""The cost record: what a training took, added up over all its interruptions."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from dataclasses import dataclass

import torch


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
        self._units = 0

    def step(self, seconds: float, units: int) -> None:
        """Count one optimiser step."""
        self._steps.append(seconds)
        self._units += units

    def state(self) -> dict[str, float]:
        """Totals to keep in a checkpoint."""
        now = {
            "wall_s": time.perf_counter() - self._wall,
            "cpu_s": time.process_time() - self._cpu,
            "stepping_s": sum(self._steps),
            "units": self._units,
        }
        return {name: value + self._before.get(name, 0) for name, value in now.items()}

    def record(self) -> TrainingCost:
        """The cost up to now."""
        total = self.state()
        return TrainingCost(
            wall_s=total["wall_s"],
            cpu_s=total["cpu_s"],
            step_s=statistics.median(self._steps) if self._steps else None,
            units=int(total["units"]),
            units_per_s=total["units"] / total["stepping_s"] if total["stepping_s"] else None,
            peak_memory_mb=peak_memory_mb(self._device),
        )


def peak_memory_mb(device: torch.device) -> float:
    """Largest memory so far in megabytes: of the process, or of the GPU's allocator."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS, in kB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
