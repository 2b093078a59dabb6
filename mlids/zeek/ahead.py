"""Work done ahead in threads, in order and in bounded memory: decompression and parsing release the interpreter lock."""

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
    """The iterator has ended, with an error or without."""

    error: BaseException | None = None


class _Ahead(Generic[T]):
    """One iterator run in a thread, `size` items ahead."""

    def __init__(self, source: Iterable[T], size: int) -> None:
        self._hand: queue.Queue[T | _End] = queue.Queue(maxsize=size)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(source,), name="ahead", daemon=True)
        self._thread.start()

    def _work(self, source: Iterable[T]) -> None:
        end = _End()
        try:
            for item in source:
                self._put(item)
                if self._stop.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - handed to the reading thread, which raises it
            end = _End(error)
        self._put(end)

    def _put(self, item: T | _End) -> None:
        while not self._stop.is_set():
            try:
                self._hand.put(item, timeout=0.2)
                return
            except queue.Full:
                continue

    def __iter__(self) -> Iterator[T]:
        try:
            while not isinstance(item := self._hand.get(), _End):
                yield item
            if item.error is not None:
                raise item.error
        finally:
            self.close()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(timeout=5)


def ahead(source: Iterable[T], size: int = 1) -> Iterator[T]:
    """Yield the items of `source`, which runs `size` items ahead in a thread of its own."""
    return iter(_Ahead(source, size))


def in_order(makers: Iterable[Callable[[], Iterable[T]]], workers: int = 2) -> Iterator[T]:
    """Yield the items of several sources one after the other, while the next ones already work ahead.

    Each of at most `workers` sources holds two items: memory does not grow with the number of sources.
    """
    waiting = iter(makers)
    running: deque[_Ahead[T]] = deque()
    try:
        while True:
            while len(running) < workers and (maker := next(waiting, None)) is not None:
                running.append(_Ahead(maker(), 1))
            if not running:
                return
            yield from running[0]
            running.popleft()
    finally:
        for left in running:
            left.close()
