"""What the processes of `test_pretrain_interrupted.py` do: a pre-training to which something happens on the way."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from small_training import BERT, HELD_OUT, recipe

from glmbench.pretraining import pretrain as module
from glmbench.pretraining.preparation import Prepared
from glmbench.pretraining.recipe import Recipe

SIZES = {**BERT, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}


def interruptible() -> Recipe:
    """Eight steps with dropout and accumulation, evaluated after steps 3, 6 and 8."""
    return recipe("kmer:3", "genemask", "logo", SIZES, steps=8, evaluate_every=3, accumulate=2)


def kill() -> None:
    """As by `kill -9`."""
    os.kill(os.getpid(), signal.SIGKILL)


def fill() -> None:
    """No file of this process can grow any more."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def interrupt() -> None:
    """As by Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)


def happens_at_second_evaluation(what: Callable[[], None]) -> None:
    """From now on something happens in the second evaluation of a training."""
    original, calls = module.evaluation, 0

    def evaluation(prepared: Prepared) -> Callable[[torch.nn.Module], float]:
        evaluate = original(prepared)
        assert evaluate is not None

        def evaluated(network: torch.nn.Module) -> float:
            nonlocal calls
            calls += 1
            if calls == 2:
                what()
            return evaluate(network)

        return evaluated

    module.evaluation = evaluation


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[4]))
    happens_at_second_evaluation({"kill": kill, "fill": fill}[sys.argv[3]])
    try:
        module.pretrain(
            [Path(sys.argv[1])], Path(sys.argv[2]), interruptible(), held_out=HELD_OUT, checkpoint_every=0.0
        )
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}")
