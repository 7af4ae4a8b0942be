"""A training whose disk fills and that is killed goes on as if nothing had happened."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from toy_language import Language, Network, held_out, loss

from glmbench.training import loop
from glmbench.training.loop import Plan, TrainingRecord, train
from glmbench.training.optimiser import adamw
from glmbench.training.schedule import Schedule

STEPS = 24

PROGRAM = """
import os, resource, signal, sys
from pathlib import Path
import torch
import test_training_killed as test

torch.set_num_threads(int(sys.argv[2]))

def evaluate(module):
    evaluate.calls += 1
    if evaluate.calls == 2:  # after step 10: no file can grow any more
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    if evaluate.calls == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return test.held_out(module)

evaluate.calls = 0
test.trained(Path(sys.argv[1]), evaluate)
"""


def trained(folder: Path | None, evaluate: loop.Evaluate = held_out) -> TrainingRecord:
    """Three micro-batches a step, made ahead; a checkpoint every fourth step."""
    seconds = itertools.count()
    module = Network()
    plan = Plan(STEPS, Schedule("wsd", warmup=3), evaluate_every=5, accumulate=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "monotonic", lambda: next(seconds))
        return train(
            module,
            Language(),
            loss,
            adamw(module, lr=0.02, weight_decay=0.1, coupling="schedule"),
            plan,
            seed=3,
            evaluate=evaluate,
            checkpoint=folder and folder / "checkpoint",
            checkpoint_every=4.0,
            log=folder and folder / "log.jsonl",
            ahead=2,
        )


def test_a_full_disk_and_kill_9_lose_no_more_than_the_steps_since_the_checkpoint(tmp_path: Path) -> None:
    call = [sys.executable, "-c", PROGRAM, str(tmp_path), str(torch.get_num_threads())]
    done = subprocess.run(call, cwd=Path(__file__).parent, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    log, saved = done.stderr.splitlines()
    assert "log.jsonl cannot be written any more" in log
    assert "the checkpoint of step 12 cannot be written" in saved
    assert [path.name for path in (tmp_path / "checkpoint").iterdir()] == ["step-00000008"]
    expected, record = trained(None), trained(tmp_path)
    assert record.losses == expected.losses
    assert record.evaluations == expected.evaluations
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == list(enumerate(expected.losses, start=1))
    assert lines[-1]["units"] == expected.cost.units == STEPS * 3 * 40
