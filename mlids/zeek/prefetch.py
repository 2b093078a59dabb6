"""Runs iterators in threads, a bounded number of items before they are needed.

Decompression and parsing release the interpreter lock, so that two threads keep two cores busy.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class _End:
    """Marks the end of an iterator; `error` is what it raised, None when it was exhausted."""

    error: BaseException | None = None


class _Prefetcher(Generic[T]):
    """Runs one iterator in a thread and queues up to `size` of its items."""

    def __init__(self, source: Iterable[T], size: int) -> None:
        self._queue: queue.Queue[T | _End] = queue.Queue(maxsize=size)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(source,), name="prefetch", daemon=True)
        self._thread.start()

    def _run(self, source: Iterable[T]) -> None:
        end = _End()
        try:
            for item in source:
                self._put(item)
                if self._stop.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - raised again in the consuming thread
            end = _End(error)
        self._put(end)

    def _put(self, item: T | _End) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.2)
                return
            except queue.Full:
                continue

    def __iter__(self) -> Iterator[T]:
        try:
            while not isinstance(item := self._queue.get(), _End):
                yield item
            if item.error is not None:
                raise item.error
        finally:
            self.close()

    def close(self) -> None:
        """Stop the thread."""
        self._stop.set()
        self._thread.join(timeout=5)


def prefetch(source: Iterable[T], size: int = 1) -> Iterator[T]:
    """Yield the items of `source`, which runs in its own thread up to `size` items ahead of the consumer.

    An error raised by `source` is raised here, after the items before it. Closing the iterator stops the thread.
    """
    return iter(_Prefetcher(source, size))


def prefetch_chain(makers: Iterable[Callable[[], Iterable[T]]], workers: int = 2) -> Iterator[T]:
    """Yield the items of several sources one source after the other, like `itertools.chain`.

    Up to `workers` sources run at the same time, each in its own thread with at most two items in memory:
    memory does not grow with the number of sources.
    """
    waiting = iter(makers)
    running: deque[_Prefetcher[T]] = deque()
    try:
        while True:
            while len(running) < workers and (maker := next(waiting, None)) is not None:
                running.append(_Prefetcher(maker(), 1))
            if not running:
                return
            yield from running[0]
            running.popleft()
    finally:
        for left in running:
            left.close()
