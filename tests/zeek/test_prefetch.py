"""Items keep their order, memory stays bounded, errors arrive in place, and threads end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from mlids.zeek.prefetch import prefetch, prefetch_chain


def _counted(n: int, taken: list[int]) -> Iterator[int]:
    for i in range(n):
        taken.append(i)
        yield i


def _threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "prefetch"]


def _soon(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def test_items_keep_their_order_and_the_thread_ends() -> None:
    assert list(prefetch(iter(range(1_000)), 4)) == list(range(1_000))
    assert _soon(lambda: not _threads())


def test_no_more_than_size_items_wait() -> None:
    taken: list[int] = []
    items = prefetch(_counted(100, taken), 3)
    assert next(items) == 0
    assert _soon(lambda: len(taken) == 5), "one consumed, three queued, one waiting for a place"
    time.sleep(0.3)
    assert len(taken) == 5
    items.close()  # type: ignore[attr-defined]
    assert _soon(lambda: not _threads()) and len(taken) <= 6


def test_an_error_is_raised_after_the_items_before_it() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise OSError("broken")

    items = prefetch(source())
    assert next(items) == 1
    with pytest.raises(OSError, match="broken"):
        next(items)


def test_a_chain_yields_source_after_source_and_runs_two_at_a_time() -> None:
    started: list[int] = []

    def maker(number: int) -> Callable[[], Iterator[int]]:
        def source() -> Iterator[int]:
            started.append(number)
            yield from range(number * 10, number * 10 + 3)

        return source

    items = prefetch_chain((maker(n) for n in range(5)), workers=2)
    assert next(items) == 0
    assert _soon(lambda: started == [0, 1])
    time.sleep(0.3)
    assert started == [0, 1]
    assert [0, *items] == [n * 10 + i for n in range(5) for i in range(3)]


def test_closing_a_chain_ends_its_threads() -> None:
    items = prefetch_chain([lambda: iter(range(100))] * 4)
    next(items)
    items.close()  # type: ignore[attr-defined]
    assert _soon(lambda: not _threads())
