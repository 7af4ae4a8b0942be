"""The stream of micro-batches."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glmbench.training.batches import Batch
from glmbench.training.stream import Stream


class Numbered:
    """Batches that say which they are: epoch and place; `made` counts them."""

    def __init__(self, length: int, fail_at: int | None = None, promised: int | None = None) -> None:
        self.length, self.fail_at, self.promised, self.made = length, fail_at, promised or length, 0

    def __len__(self) -> int:
        return self.promised

    def content_hash(self) -> str:
        return ""

    def epoch(self, number: int, *, start: int = 0, every: int = 1) -> Iterator[Batch]:
        for index in range(start, self.length, every):
            if index == self.fail_at:
                raise OSError("the disk is gone")
            self.made += 1
            yield Batch((), torch.tensor([number, index]), 1)


def taken(stream: Stream, number: int) -> list[tuple[int, ...]]:
    return [tuple(batch.targets.tolist()) for batch in stream.take(number)]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 7), st.integers(1, 4), st.integers(0, 3), st.integers(0, 6), st.integers(0, 2))
def test_processes_share_one_stream(length: int, processes: int, epoch: int, position: int, ahead: int) -> None:
    position %= length
    begin = epoch * length + position
    whole = [divmod(index, length) for index in range(begin, begin + 5 * processes)]
    for rank in range(processes):
        stream = Stream(Numbered(length), rank, processes, ahead)
        stream.enter(epoch, position)
        assert taken(stream, 5) == whole[rank::processes]
        stream.close()


@pytest.mark.parametrize("ahead", [0, 3])
def test_entering_again_drops_what_was_made_ahead(ahead: int) -> None:
    stream = Stream(Numbered(10), ahead=ahead)
    stream.enter(0, 2)
    assert taken(stream, 2) == [(0, 2), (0, 3)]
    stream.enter(0, 4)
    assert taken(stream, 2) == [(0, 4), (0, 5)]
    stream.close()


def test_no_more_is_made_than_asked_for() -> None:
    source = Numbered(100)
    stream = Stream(source, ahead=3)
    stream.enter(0, 0)
    assert source.made == 0
    stream.take(1)
    end = time.monotonic() + 10
    while source.made < 4 and time.monotonic() < end:
        time.sleep(0.001)
    time.sleep(0.02)
    assert source.made == 4
    stream.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "batches"]


@pytest.mark.parametrize("ahead", [0, 2])
def test_an_error_of_the_source_comes_when_its_batch_is_asked_for(ahead: int) -> None:
    stream = Stream(Numbered(10, fail_at=3), ahead=ahead)
    stream.enter(0, 0)
    assert len(stream.take(3)) == 3
    with pytest.raises(OSError, match="the disk is gone"):
        stream.take(1)
    stream.close()


def test_an_epoch_that_is_shorter_than_it_says_is_an_error() -> None:
    stream = Stream(Numbered(3, promised=4))
    stream.enter(0, 0)
    with pytest.raises(ValueError, match="epoch 0 ended before its batch 3, but has 4"):
        stream.take(4)
