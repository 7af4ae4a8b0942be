"""A step of masked pre-training with bf16 autocast, against the padded step in fp32."""

from __future__ import annotations

import bench_pretrain_step
from harness import Measurement


def measure() -> Measurement:
    return bench_pretrain_step.measure("bf16", "pretrain_step_bf16")
