"""Stateful networks: chunk after chunk equals the whole, and a training that was interrupted goes on exactly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from glmbench.errors import UsageError
from glmbench.networks.genomenet import GenomeNetForBasePrediction
from glmbench.networks.genomenet_config import Position, preset
from glmbench.networks.genomenet_lanes import LaneReader
from glmbench.training.batches import Batch
from glmbench.training.loop import Plan, train
from glmbench.training.schedule import Schedule

POSITIONS: tuple[Position, ...] = ("end", "middle")


def stateful(position: Position) -> GenomeNetForBasePrediction:
    torch.manual_seed(0)
    config = preset("stateful-lstm", position, context=12, units=(16, 16), dropout=0.0)
    return GenomeNetForBasePrediction(config).eval()


def bases(rows: int, length: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(1).integers(5, 9, (rows, length)))


@pytest.mark.parametrize("position", POSITIONS)
def test_targets_of_a_lane_are_predicted_from_all_the_lane_before(position: Position) -> None:
    """Chunk after chunk, every target has the probabilities that the whole lane up to it gives on its own."""
    network = stateful(position)
    lookahead, length = network.config.lookahead, 5
    lanes = bases(3, 1 + 4 * length + lookahead)
    reader = LaneReader(network, 3).train()
    for step in range(4):
        chunk = lanes[:, step * length : 1 + (step + 1) * length + lookahead]
        logits = reader(chunk, torch.tensor(3 * [step == 0]))
        for i in range(length):
            at = step * length + 1 + i
            if position == "end":
                expected = network(lanes[:, :at]).logits
            else:  # the right branch sees what follows in the chunk
                model = network.genomenet
                right = chunk[:, 2 + i :]
                assert model.right is not None
                assert right.shape[1] >= lookahead
                sides = model.left(model.one_hot(lanes[:, :at])), model.right(model.one_hot(right.flip(1)))
                expected = network.head(torch.cat(sides, dim=1))
            torch.testing.assert_close(logits[:, i], expected, atol=1e-5, rtol=1e-5)


def test_lookahead_is_the_right_flank_of_a_prediction() -> None:
    """The last target of a chunk that begins a lane sees what `forward` shows of its window."""
    network = stateful("middle")
    lane = bases(2, 13)  # 6 bases, the target, 6 bases
    logits, _ = network.lane_logits(lane, network.genomenet.no_lanes_yet(2))
    assert logits.shape == (2, 6, 4)
    torch.testing.assert_close(logits[:, -1], network(lane).logits, atol=1e-6, rtol=1e-6)


def test_fresh_lanes_start_from_zero_and_others_go_on() -> None:
    network = stateful("end")
    reader = LaneReader(network, 2).train()
    first, second = bases(2, 12)[:, :6], bases(2, 12)[:, 5:]
    reader(first, torch.tensor([True, True]))
    carried = reader.carried.clone()
    mixed = reader(second, torch.tensor([True, False]))
    alone, _ = network.lane_logits(second, network.genomenet.no_lanes_yet(2))
    on, _ = network.lane_logits(second, carried)
    assert torch.equal(mixed[0], alone[0])
    assert torch.equal(mixed[1], on[1])
    assert not torch.allclose(alone[1], on[1])


def test_no_gradient_flows_into_the_chunk_before_and_evaluation_carries_nothing() -> None:
    reader = LaneReader(stateful("end"), 2).train()
    chunk = bases(2, 7)
    reader(chunk, torch.tensor([True, True])).sum().backward()
    assert not reader.carried.requires_grad
    reader(chunk, torch.tensor([False, False])).sum().backward()
    carried = reader.carried.clone()
    reader.eval()(chunk, torch.tensor([False, False]))
    assert torch.equal(reader.carried, carried)
    assert carried.any()


def test_what_is_carried_is_in_a_trainings_checkpoint_and_not_in_the_networks() -> None:
    reader = LaneReader(stateful("end"), 2)
    assert reader.state_dict()["carried"].shape == (2, 2, 2, 16)
    assert not any("carried" in name for name in reader.network.state_dict())


def test_other_networks_have_no_lanes() -> None:
    network = GenomeNetForBasePrediction(preset("lstm", units=(8,), context=10))
    with pytest.raises(UsageError, match="stateful"):
        network.lane_logits(bases(2, 7), torch.zeros(2, 1, 2, 8))


class Text:
    """Three lanes of random bases in chunks of 8; breaks off where it is told to."""

    def __init__(self, breaks_at: int | None = None) -> None:
        self.breaks_at, self.given = breaks_at, 0
        self.lanes = bases(3, 1 + 10 * 8)

    def __len__(self) -> int:
        return 10

    def epoch(self, number: int, *, start: int = 0, every: int = 1) -> Iterator[Batch]:
        for step in range(start, 10, every):
            self.given += 1
            if self.given == self.breaks_at:
                raise KeyboardInterrupt
            chunk = self.lanes[:, step * 8 : 1 + (step + 1) * 8]
            yield Batch((chunk, torch.tensor(3 * [step == 0])), (chunk[:, 1:] - 5).reshape(-1), 24)

    def content_hash(self) -> str:
        return "the same"


def run(batches: Text, folder: Path | None = None) -> tuple[tuple[float, ...], dict[str, Tensor]]:
    torch.manual_seed(0)
    network = GenomeNetForBasePrediction(preset("stateful-lstm", context=12, units=(16, 16)))
    reader = LaneReader(network, 3)
    record = train(
        reader,
        batches,
        lambda module, batch: functional.cross_entropy(module(*batch.inputs).flatten(0, 1), batch.targets),
        torch.optim.Adam(reader.parameters(), lr=1e-2, eps=1e-7),
        Plan(25, schedule=Schedule("constant"), clip_norm=None),
        seed=0,
        checkpoint=folder,
        checkpoint_every=0.0,
    )
    return record.losses, reader.state_dict()


def test_an_interrupted_training_goes_on_exactly(tmp_path: Path) -> None:
    losses, weights = run(Text())
    with pytest.raises(KeyboardInterrupt):
        run(Text(breaks_at=16), tmp_path)
    resumed, same = run(Text(), tmp_path)
    assert resumed == losses
    assert len(losses) == 25
    assert all(torch.equal(same[name], weight) for name, weight in weights.items())
    assert weights["carried"].any()
