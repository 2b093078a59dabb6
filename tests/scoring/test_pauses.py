"""Waits of a scorer: back-off, the time limit, and a stop that ends them at once."""

from __future__ import annotations

import threading
import time

from mlids.scoring.pauses import BACKOFF_S, Pauses, backoff_s


def test_back_off_grows_to_its_last_value_with_jitter() -> None:
    for failures, seconds in enumerate([*BACKOFF_S, BACKOFF_S[-1], BACKOFF_S[-1]]):
        drawn = {backoff_s(failures) for _ in range(50)}
        assert len(drawn) > 1 and all(0.75 * seconds <= s <= 1.25 * seconds for s in drawn)


def test_a_stop_ends_the_wait_at_hand_and_all_later_ones() -> None:
    pauses = Pauses(lambda: None)
    timer = threading.Timer(0.1, pauses.stop)
    timer.start()
    began = time.monotonic()
    pauses.wait(600.0)
    pauses.wait(600.0, past_limit=True)
    assert time.monotonic() - began < 60.0 and pauses.stopped and pauses.over
    timer.join()


def test_the_time_limit_cuts_a_wait_short_unless_it_may_pass() -> None:
    pauses = Pauses(lambda: None)
    pauses.limit(0.05)
    assert not pauses.over
    began = time.monotonic()
    pauses.wait(600.0)
    assert time.monotonic() - began < 60.0 and pauses.over and not pauses.stopped
    pauses.limit(0.0)
    began = time.monotonic()
    pauses.wait(0.2, past_limit=True)
    assert time.monotonic() - began >= 0.2
    pauses.limit(None)
    assert not pauses.over


def test_a_long_wait_ticks() -> None:
    ticked = threading.Event()
    pauses = Pauses(lambda: (ticked.set(), pauses.stop()))
    pauses.wait(60.0)
    assert ticked.is_set()
