"""The day's view of a service raises its first conns, and no odd conn raises a day."""

from __future__ import annotations

import numpy as np

from mlids.detectors.day_view import day_keys, raised

NOON = 1_762_000_000.0


def test_the_first_calls_of_a_beacon_count_as_the_later_ones() -> None:
    risk = np.array([5.0, 10.0, 60.0, 70.0, 70.0, 70.0, 70.0, 75.0, 3.0], np.float32)
    rows, strongest = raised(np.array([7] * 8 + [9], np.uint64), risk)
    assert risk.tolist() == [70.0] * 7 + [75.0, 3.0]
    assert rows.tolist() == [0, 1, 2] and set(strongest.tolist()) == {7}


def test_one_odd_conn_raises_no_day() -> None:
    risk = np.array([90.0] + [2.0] * 20, np.float32)
    raised(np.zeros(21, np.uint64), risk)
    assert risk.tolist() == [90.0] + [2.0] * 20


def test_too_few_conns_have_no_view() -> None:
    risk = np.array([1.0, 90.0, 90.0], np.float32)
    assert len(raised(np.zeros(3, np.uint64), risk)[0]) == 0 and risk[0] == 1.0


def test_days_and_services_are_apart_and_no_time_is_a_day_of_its_own() -> None:
    services = np.array([1, 1, 1, 2, 1, 1], np.uint64)
    keys = day_keys(services, np.array([NOON, NOON + 10.0, NOON + 86_400.0, NOON, np.nan, np.nan]))
    assert keys[0] == keys[1] != keys[2] and keys[0] != keys[3] and keys[4] == keys[5]
