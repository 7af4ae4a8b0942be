"""Two processes that torchrun starts pre-train the network of one process that accumulates twice as much."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_training import HELD_OUT, recipe, write_genome

from glmbench.pretraining.folder import LOG, REPORT
from glmbench.pretraining.pretrain import pretrain

RECIPE = """
tokenizer = "bpe:64"
objective.name = "uniform"
network = { name = "dnabert2", depth = 1 }
data = { crop = 64, batch = 4 }
training = { steps = 6, lr = 3e-3, evaluate_every = 3, precision = "fp32" }
"""


def test_two_processes_by_the_command_line(tmp_path: Path) -> None:
    genome, together, alone = write_genome(tmp_path), tmp_path / "together", tmp_path / "alone"
    (tmp_path / "recipe.toml").write_text(RECIPE)
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "glmbench",
         "pretrain", genome, "--out", together, "--recipe", tmp_path / "recipe.toml", "--hold-out", "b", "--json"],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (printed,) = done.stdout.splitlines()  # of the first process alone
    assert json.loads(printed) == json.loads((together / REPORT).read_text())
    assert json.loads(printed)["cost"]["processes"] == 2
    pretrain([genome], alone, recipe("bpe:64", accumulate=2), held_out=HELD_OUT)
    lines = [[json.loads(line) for line in (f / LOG).read_text().splitlines()] for f in (together, alone)]
    for two, one in zip(*lines, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], abs=1e-5)
        assert (two["step"], two["units"], two["bases"]) == (one["step"], one["units"], one["bases"])
    assert lines[0][-1]["evaluation"] == pytest.approx(lines[1][-1]["evaluation"], abs=1e-5)
    weights, expected = (load_file(folder / "model.safetensors") for folder in (together, alone))
    for name, tensor in expected.items():
        torch.testing.assert_close(weights[name], tensor, rtol=1e-3, atol=1e-4)
