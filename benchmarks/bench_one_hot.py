"""One-hot float32 of base codes: against torch.nn.functional.one_hot, one thread each."""

from __future__ import annotations

import numpy as np
import torch

from glmbench.sequences.encoding import one_hot
from harness import Measurement, race

SEQUENCES, LENGTH, SEED = 512, 500, 0


def measure() -> Measurement:
    codes = np.random.default_rng(SEED).integers(0, 4, size=(SEQUENCES, LENGTH), dtype=np.uint8)
    tensor = torch.from_numpy(codes)

    def theirs() -> torch.Tensor:
        return torch.nn.functional.one_hot(tensor.long(), 4).float()

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert np.array_equal(theirs().numpy(), one_hot(codes))
        return race(
            "one_hot",
            lambda: one_hot(codes),
            theirs,
            amount=codes.size / 1e6,
            unit="Mbp/s",
            what_is_theirs="torch.nn.functional.one_hot(codes.long(), 4).float()",
            note=f"a batch of {SEQUENCES} x {LENGTH} uint8 codes to float32 (n, length, 4); one thread each",
        )
    finally:
        torch.set_num_threads(threads)
