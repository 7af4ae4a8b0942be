"""What each of two processes does in `test_training_distributed.py`: train, and train again with an interruption."""

from __future__ import annotations

import itertools
import os
import sys
from contextlib import suppress
from pathlib import Path

import torch
from toy_language import Language, Network, held_out, loss

from glmbench.training import distributed, loop
from glmbench.training.loop import Plan, TrainingRecord, train
from glmbench.training.optimiser import adamw
from glmbench.training.schedule import Schedule

STEPS = 20
EVALUATE_EVERY = 6


def trained(
    accumulate: int, folder: Path | None = None, fail_at: int | None = None, **options: object
) -> tuple[TrainingRecord, Network]:
    module = Network()
    if distributed.rank() == 1:
        torch.nn.init.zeros_(module.head.weight)  # the weights of the first process count
    seconds = itertools.count()
    loop.monotonic = lambda: next(seconds)
    plan = Plan(STEPS, Schedule("linear", warmup=3), evaluate_every=EVALUATE_EVERY, accumulate=accumulate)
    optimiser = adamw(module, lr=0.02, weight_decay=0.1)
    evaluate = held_out if distributed.first() else None
    evaluate = evaluate or (lambda module: float("nan"))  # nobody asks the others
    record = train(
        module,
        Language(fail_at),
        loss,
        optimiser,
        plan,
        seed=3,
        evaluate=evaluate,
        checkpoint=folder,
        checkpoint_every=4.0,
        ahead=2,
        **options,
    )
    return record, module


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    with distributed.process_group():
        observed: list[list[float]] = []
        record, module = trained(1, observe=lambda scores: observed.append(list(scores)), log=folder / "log.jsonl")
        with suppress(KeyboardInterrupt):
            trained(1, folder / "run", fail_at=22)
        left = [path.name for path in (folder / "run").iterdir()]
        torch.distributed.barrier()
        if distributed.first():
            (folder / "run").rename(folder / "left")
        torch.distributed.barrier()
        resumed, other = trained(1, folder / "left")
        result = {
            "losses": record.losses,
            "evaluations": record.evaluations,
            "cost": [record.cost.units, record.cost.bases, record.cost.processes],
            "observed": observed,
            "weights": module.state_dict(),
            "left": left,
            "resumed": resumed.losses,
            "resumed_weights": other.state_dict(),
        }
        torch.save(result, folder / f"rank-{distributed.rank()}.pt")
    threads = [task.joinpath("comm").read_text() for task in Path("/proc/self/task").glob("*")]
    (folder / f"threads-{os.environ['RANK']}.txt").write_text("".join(threads))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
