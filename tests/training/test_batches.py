"""Encoded examples and the order of batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glmbench.training.batches import Batch, Encoded, InMemoryBatches


class Plain:
    """A collate that passes the codes through."""

    def encode(self, sequences):
        return Encoded.from_arrays([np.frombuffer(s.encode(), np.uint8) for s in sequences])

    def batch(self, encoded, rows):
        return (torch.from_numpy(encoded.matrix(rows, fill=0)), torch.from_numpy(encoded.lengths[rows]))


def batches(lengths: list[int], **settings: int) -> InMemoryBatches:
    encoded = Encoded.from_arrays([np.full(length, i % 256, np.uint8) for i, length in enumerate(lengths)])
    targets = np.arange(len(lengths) // settings.get("views", 1))
    return InMemoryBatches(Plain(), encoded, targets, **{"batch_size": 4, "seed": 1, **settings})


def test_matrix_by_hand() -> None:
    encoded = Encoded.from_arrays([np.array([1, 2, 3], np.uint8), np.array([5], np.uint8), np.array([7, 8], np.uint8)])
    assert encoded.matrix(np.array([2, 1]), fill=9).tolist() == [[7, 8], [5, 9]]
    assert encoded.matrix(np.array([0]), fill=9).tolist() == [[1, 2, 3]]
    same = Encoded.from_arrays([np.array([1, 2], np.uint8), np.array([3, 4], np.uint8)])
    assert same.matrix(np.array([1, 0, 1]), fill=9).tolist() == [[3, 4], [1, 2], [3, 4]]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=60), st.integers(1, 9), st.integers(0, 5))
def test_an_epoch_shows_every_example_once(lengths: list[int], size: int, epoch: int) -> None:
    source = batches(lengths, batch_size=size)
    order = source.order(epoch)
    assert sorted(np.concatenate(order).tolist()) == list(range(len(lengths)))
    assert len(order) == len(source)
    assert max(map(len, order)) <= size


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=40), st.integers(1, 9), st.integers(1, 90), st.integers(1, 4))
def test_micro_batches_of_a_batch_are_that_batch_and_small(
    lengths: list[int], size: int, at_once: int, processes: int
) -> None:
    source = batches(lengths, batch_size=size, at_once=at_once, processes=processes)
    cut = list(source.epoch(2))
    assert len(cut) == len(source)
    assert source.parts % processes == 0
    for number, rows in enumerate(source.order(2)):
        own = cut[number * source.parts : (number + 1) * source.parts]
        assert [target for batch in own for target in batch.targets.tolist()] == rows.tolist()
        longest = max(lengths[row] for row in rows)
        assert all(batch.size <= max(1, at_once // longest) for batch in own)
        shares = [sum(batch.size for batch in own[rank::processes]) for rank in range(processes)]
        assert max(shares) <= -(-len(rows) // processes)  # no process waits for one that has more than its share


def test_one_long_example_does_not_cut_the_batches_of_others() -> None:
    source = batches([10] * 127 + [80], batch_size=8, at_once=80)
    sizes = [batch.size for batch in source.epoch(0) if batch.size]
    assert sorted(sizes) == [1] * 8 + [8] * 15


def test_how_batches_are_cut_is_not_in_their_hash() -> None:
    one = batches([5] * 20).content_hash()
    assert batches([5] * 20, at_once=10, processes=2).content_hash() == one


def test_order_depends_on_seed_and_epoch_only() -> None:
    def orders(seed: int, epoch: int) -> list[list[int]]:
        return [rows.tolist() for rows in batches([5] * 20, seed=seed).order(epoch)]

    assert orders(1, 0) == orders(1, 0)
    assert orders(1, 0) != orders(1, 1)
    assert orders(1, 0) != orders(2, 0)


def test_entering_an_epoch_later_gives_its_later_batches() -> None:
    source = batches(list(range(1, 22)))
    whole = [batch.targets.tolist() for batch in source.epoch(3)]
    assert [batch.targets.tolist() for batch in source.epoch(3, start=2)] == whole[2:]


def test_the_content_hash_covers_everything_that_decides_the_batches() -> None:
    def source(sequences: list[str], targets: list[int], **settings: int) -> str:
        arguments = {"batch_size": 2, "seed": 1, **settings}
        return InMemoryBatches(Plain(), Plain().encode(sequences), np.array(targets), **arguments).content_hash()

    first = source(["AC", "GT"], [0, 1])
    assert first == source(["AC", "GT"], [0, 1])
    others = [
        source(["AC", "GA"], [0, 1]),
        source(["ACG", "T"], [0, 1]),
        source(["AC", "GT"], [1, 0]),
        source(["AC", "GT"], [0, 1], batch_size=1),
        source(["AC", "GT"], [0, 1], seed=2),
        source(["AC", "GT"], [0], views=2),
    ]
    assert len({first, *others}) == 7


def test_a_batch_moves_as_a_whole() -> None:
    batch = next(batches([3, 9, 1]).epoch(0))
    assert batch.to(torch.device("cpu")) is batch
    moved = Batch((*batch.inputs, None), batch.targets, batch.size).to(torch.device("meta"))
    assert [None if x is None else x.device.type for x in moved.inputs] == ["meta", "meta", None]
    assert (moved.targets.device.type, moved.size) == ("meta", 3)


def test_inputs_belong_to_their_targets() -> None:
    for batch in batches([3, 9, 1, 4, 4, 2, 7]).epoch(0):
        codes, lengths = batch.inputs
        assert codes is not None
        assert lengths is not None
        assert codes[:, 0].tolist() == batch.targets.tolist()
        assert (codes[:, 0].ne(0).long() * lengths).tolist() == (codes.ne(0).sum(1)).tolist()


def test_mixed_lengths_are_batched_with_their_like() -> None:
    lengths = np.random.default_rng(0).integers(10, 1000, 512)
    order = batches(lengths.tolist(), batch_size=16).order(0)
    padded = sum(lengths[rows].max() * len(rows) for rows in order)
    assert padded < 1.05 * lengths.sum()


def test_views_show_one_form_of_each_example() -> None:
    source = batches([5] * 200, views=2)
    rows = np.concatenate(source.order(0))
    assert sorted((rows % 100).tolist()) == list(range(100))
    assert 20 < (rows >= 100).sum() < 80


def test_views_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="2 views"):
        InMemoryBatches(Plain(), Plain().encode(["A"] * 3), np.arange(2), batch_size=1, seed=0, views=2)
