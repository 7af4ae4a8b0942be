"""The stream of micro-batches: epoch after epoch, shared out among processes, made ahead in a thread of its own."""

from __future__ import annotations

from collections.abc import Generator
from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import Generic, TypeVar

from glmbench.training.batches import Batch, Batches

T = TypeVar("T")


class Stream:
    """Micro-batches of one process from any point of the training on.

    All processes together take `processes` consecutive micro-batches at a time, this one the `rank`-th of them; an
    epoch's end may lie anywhere between.

    Args:
        batches: the source.
        rank: which process this is.
        processes: how many share the source.
        ahead: micro-batches to make ahead in a thread; 0: none, each is made when it is asked for.
    """

    def __init__(self, batches: Batches, rank: int = 0, processes: int = 1, ahead: int = 0) -> None:
        self._batches, self._rank, self._processes, self._ahead = batches, rank, processes, ahead
        self._at = (0, 0)
        self._source: Generator[Batch] | Ahead[Batch] | None = None

    def enter(self, epoch: int, position: int) -> None:
        """Go to a micro-batch of an epoch; what was made ahead is dropped and made again when its turn comes."""
        self.close()
        self._at = epoch, position

    def take(self, number: int) -> list[Batch]:
        """The next micro-batches; the first call after `enter` starts the thread."""
        if self._source is None:
            epoch, position = self._at
            source = self._from(epoch, position + self._rank)
            self._source = Ahead(source, self._ahead) if self._ahead else source
        return [next(self._source) for _ in range(number)]

    def close(self) -> None:
        """End the thread, if there is one; `enter` before more is taken."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def _from(self, epoch: int, position: int) -> Generator[Batch]:
        length = len(self._batches)
        while True:
            while position >= length:
                epoch, position = epoch + 1, position - length
            for batch in self._batches.epoch(epoch, start=position, every=self._processes):
                yield batch
                position += self._processes
            if position < length:
                raise ValueError(
                    f"epoch {epoch} ended before its batch {position}, but has {length} by its own account"
                )


class Ahead(Generic[T]):
    """Runs a generator in a thread, at most `depth` items ahead; order and errors are those of the generator."""

    def __init__(self, source: Generator[T], depth: int) -> None:
        self._source, self._closed = source, False
        self._room: Semaphore = Semaphore(depth)
        self._made: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()
        self._thread = Thread(target=self._make, name="batches", daemon=True)
        self._thread.start()

    def __next__(self) -> T:
        item, error = self._made.get()
        if error is not None:
            raise error
        self._room.release()
        assert item is not None
        return item

    def close(self) -> None:
        """End the thread and wait for it."""
        self._closed = True
        self._room.release()
        self._thread.join()

    def _make(self) -> None:
        while True:
            self._room.acquire()
            if self._closed:
                self._source.close()
                return
            try:
                self._made.put((next(self._source), None))
            except BaseException as error:  # raised where the item is asked for
                self._made.put((None, error))
                return
