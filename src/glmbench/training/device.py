"""The device: where networks are trained and run, decided in one place."""

from __future__ import annotations

import torch


def preferred_device() -> torch.device:
    """The first CUDA device if there is one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
