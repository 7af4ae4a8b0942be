"""Each of the ten networks learns a text whose next base mostly follows from the one before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from glmbench.genomes.codes import Genome, genome_from_codes
from glmbench.genomes.windows import random_windows
from glmbench.networks.genomenet import GenomeNetForBasePrediction
from glmbench.networks.genomenet_config import ARCHITECTURES, Architecture, GenomeNetConfig, Position, preset
from glmbench.networks.genomenet_lanes import LaneReader
from glmbench.pretraining.lanes import LaneBatches, Lanes
from glmbench.training.batches import Batch
from glmbench.training.loop import Plan, train
from glmbench.training.optimiser import adam
from glmbench.training.schedule import Schedule


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Layers this small are done before a second thread has started."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


SMALL: dict[Architecture, dict[str, Any]] = {
    "lstm": {"units": (24, 24), "context": 20},
    "stateful-lstm": {"units": (24, 24), "context": 20},
    "cnn": {"filters": (12, 16, 16), "context": 54},
    "cnn-lstm": {"filters": (12, 16, 16), "units": (16,), "context": 54},
    "skip": {"filters": (12, 12, 16, 16), "context": 20},
}


def cyclic_text(bases: int, seed: int) -> Genome:
    """A, C, G, T, A, … with a jump of 1 to 3 more in one base of ten: 0.627 bits a base for who sees the one before."""
    rng = np.random.default_rng(seed)
    steps = np.where(rng.random(bases) < 0.1, rng.integers(2, 5, bases), 1)
    return genome_from_codes({"text": (np.cumsum(steps) % 4).astype(np.uint8)})


class RandomWindows:
    """Windows that start anywhere: at fixed places a network would learn the places."""

    def __init__(self, genome: Genome, config: GenomeNetConfig) -> None:
        self.genome, self.config = genome, config

    def __len__(self) -> int:
        return 1000

    def epoch(self, number: int, *, start: int = 0, every: int = 1) -> Iterator[Batch]:
        for step in range(start, 1000, every):
            yield windows(self.genome, self.config, 32, seed=1000 * number + step)

    def content_hash(self) -> str:
        return "random windows"


def windows(genome: Genome, config: GenomeNetConfig, rows: int, seed: int) -> Batch:
    codes = random_windows(genome, config.context + 1, rows, np.random.default_rng([9, seed])).codes.astype(np.int64)
    asked = config.flank if config.position == "middle" else config.context
    ids = codes + 5 if config.position == "middle" else codes[:, :-1] + 5
    return Batch((torch.from_numpy(ids),), torch.from_numpy(codes[:, asked]), rows)


def loss(module: nn.Module, batch: Batch) -> torch.Tensor:
    output = module(*batch.inputs)
    logits = output.flatten(0, 1) if isinstance(output, torch.Tensor) else output.logits
    return functional.cross_entropy(logits, batch.targets)


@pytest.mark.parametrize("position", ["end", "middle"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_learns(architecture: Architecture, position: Position) -> None:
    genome, held_out = cyclic_text(20_000, 0), cyclic_text(20_000, 1)
    config = preset(architecture, position, **SMALL[architecture], momentum=0.8, dropout=0.0)
    torch.manual_seed(0)
    network = GenomeNetForBasePrediction(config)
    module: nn.Module = network
    batches: LaneBatches | RandomWindows = RandomWindows(genome, config)
    if config.stateful:
        module = LaneReader(network, 8)
        lanes = Lanes(genome, lanes=8, length=16, lookahead=config.lookahead, both_strands=False)
        batches = LaneBatches(lanes, config.base_ids)
    plan = Plan(100, schedule=Schedule("constant"), clip_norm=None)
    train(module, batches, loss, adam(module, lr=5e-3), plan, seed=0)
    asked = windows(held_out, config, 1000, seed=0)
    (ids,) = asked.inputs
    with torch.inference_mode():
        found = network.base_log_probabilities(ids)
    bits = functional.nll_loss(found, asked.targets).item() / np.log(2)
    assert bits < 1.2, bits
