"""SIGTERM and Ctrl-C end live scoring; what hangs does not delay the end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# A stop does not wait longer than this for a sink that hangs: ending is as safe as a kill.
STOP_S = 4.0


@contextmanager
def stopped_by_signals(stop: Callable[[], None], end: Callable[[], None], seconds: float | None = None) -> Iterator[None]:
    """Call `stop` on SIGTERM and SIGINT; when the block has not ended after `seconds` (STOP_S), call `end` and end the process."""

    def stopped(*_: object) -> None:
        stop()
        timer = threading.Timer(seconds or STOP_S, _end_with, (end,))
        timer.daemon = True
        timer.start()
        timers.append(timer)

    timers: list[threading.Timer] = []
    before = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            before[number] = signal.signal(number, stopped)
        except ValueError:  # not the main thread: the caller stops the scorers
            break
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_with(end: Callable[[], None]) -> None:
    try:
        end()
    finally:
        os._exit(0)
