"""Waits of a scorer that end early when it is asked to stop, and the back-off after failures."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_TICK_S = 1.0


def backoff_s(failures: int) -> float:
    """Return the seconds to wait after so many failures in a row, with jitter: fifty scorers must not return at one moment."""
    return BACKOFF_S[min(failures, len(BACKOFF_S) - 1)] * random.uniform(0.75, 1.25)


class Pauses:
    """The waits of one scorer. `tick` is called every second of a wait, so that its status does not grow old."""

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick
        self._stop = threading.Event()
        self._deadline: float | None = None

    def stop(self) -> None:
        """End the wait at hand and every later one. May be called from another thread or a signal handler."""
        self._stop.set()

    def limit(self, seconds: float | None) -> None:
        """Set how long the scorer may run from now on; None: until `stop`."""
        self._deadline = None if seconds is None else time.monotonic() + seconds

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    @property
    def over(self) -> bool:
        """Whether `stop` was called or the time limit has passed."""
        return self.stopped or (self._deadline is not None and time.monotonic() >= self._deadline)

    def wait(self, seconds: float, *, past_limit: bool = False) -> None:
        """Wait, at most to the time limit unless `past_limit`."""
        end = time.monotonic() + seconds
        if self._deadline is not None and not past_limit:
            end = min(end, self._deadline)
        while (left := end - time.monotonic()) > 0 and not self._stop.wait(min(left, _TICK_S)):
            self._tick()
