"""Training the one-hot CNN with bf16 autocast, against the usual Conv1d loop in fp32."""

from __future__ import annotations

import bench_cnn_training
from harness import Measurement


def measure() -> Measurement:
    return bench_cnn_training.measure("bf16", "cnn_training_bf16")
