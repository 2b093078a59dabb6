"""Runs live scoring in this process until a condition holds, and ends it as Ctrl-C does."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

from mlids.pipeline import signals

T = TypeVar("T")
WAIT_S = 90.0


def wait_until(condition: Callable[[], bool], seconds: float = WAIT_S) -> bool:
    """Wait until a condition holds; return whether it does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def serve_until(condition: Callable[[], bool], serve: Callable[[], T], monkeypatch: pytest.MonkeyPatch) -> T:
    """Return what `serve` does after it was interrupted, once `condition` holds. Fails when it does not hold in time.

    To be called in the main thread: `serve` handles the signal there.
    """
    monkeypatch.setattr(signals, "STOP_S", 600.0)  # its timer would end this process
    held: list[bool] = []
    ended = threading.Event()

    def watch() -> None:
        try:
            held.append(wait_until(condition))
        finally:
            if not ended.is_set():
                os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        return serve()
    finally:
        ended.set()
        watcher.join(timeout=WAIT_S)
        assert held == [True], "what the test waits for did not come"
