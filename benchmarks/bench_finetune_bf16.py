"""Fine-tuning with bf16 autocast, against the padded loop in fp32."""

from __future__ import annotations

import bench_finetune
from harness import Measurement


def measure() -> Measurement:
    return bench_finetune.measure("bf16", "finetune_bf16")
