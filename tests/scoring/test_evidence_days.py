"""Rows of the logs beside conn.log belong to the day of their own time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from mlids.evidence.collecting import Collectors
from mlids.evidence.names import Names
from mlids.scoring.evidence_days import MOST_DAYS, EvidenceDays

FIRST = date(2026, 11, 6)
NEXT = FIRST + timedelta(days=1)


def dns(*times: datetime | None) -> pl.DataFrame:
    """Return one look-up at each time; its number is in its name."""
    n = len(times)
    columns: dict[str, Any] = {
        "ts": pl.Series(times, dtype=pl.Datetime("us", "UTC")), "query": [f"host{i}.example.org" for i in range(n)],
        "answers": [[f"192.0.2.{i}"] for i in range(n)], "id.orig_h": ["10.0.0.1"] * n,
    }  # fmt: skip
    return pl.DataFrame(columns)


def at(day: date, hour: int, zone: str = "UTC") -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def held(days: EvidenceDays) -> dict[date, int]:
    """Return how many rows wait in the collectors of each day."""
    return {day: one._rows.get("dns", 0) for day, one in days._held.items()}


def test_rows_are_collected_in_their_day_of_the_sensors_zone() -> None:
    days = EvidenceDays((), ZoneInfo("Asia/Tokyo"))
    days.begin(FIRST)
    days.add("dns", dns(at(FIRST, 23, "Asia/Tokyo"), at(NEXT, 0, "Asia/Tokyo"), at(FIRST, 1, "Asia/Tokyo"), None))
    assert held(days) == {FIRST: 3, NEXT: 1}
    days.begin(NEXT)
    days.add("dns", dns(at(FIRST, 23, "Asia/Tokyo"), at(NEXT, 1, "Asia/Tokyo")))
    assert held(days) == {NEXT: 2} and days.present is days._held[NEXT]
    days.begin(FIRST)
    assert days.day == NEXT, "a day that has ended does not begin again"


@pytest.mark.parametrize("begun", [True, False])
def test_clocks_that_are_wrong_do_not_grow_the_state(begun: bool) -> None:
    days = EvidenceDays((), ZoneInfo("UTC"))
    if begun:
        days.begin(FIRST)
    for shift in (0, 5_000, 3, -9_000, 20_000, 1):
        days.add("dns", dns(*(at(FIRST + timedelta(days=shift + n), 5) for n in range(50))))
    assert len(days._held) <= MOST_DAYS and sum(held(days).values()) == (250 if begun else 300)


def test_rows_without_a_time_count_for_the_present_day() -> None:
    days = EvidenceDays((), ZoneInfo("UTC"))
    days.add("dns", dns(at(FIRST, 5)).drop("ts"))
    days.begin(FIRST)
    days.add("dns", dns(at(FIRST, 5)).drop("ts"))
    days.add("dns", dns(at(FIRST, 5)).with_columns(ts=pl.lit("nonsense")))
    assert held(days) == {FIRST: 2}


def test_state_is_restored_with_both_days_and_the_names() -> None:
    days = EvidenceDays((), ZoneInfo("UTC"))
    days.begin(FIRST)
    days.add("dns", dns(at(FIRST, 5), at(NEXT, 5)))
    state = days.state()
    other = EvidenceDays((), ZoneInfo("UTC"))
    other.restore(state, FIRST)
    assert other.day == FIRST and set(other._held) == {FIRST, NEXT}
    for one in other._held.values():
        assert one.names.of(pl.Series(["192.0.2.0", "192.0.2.1"]))["name"].to_list() == ["host0.example.org", "host1.example.org"]
    again = other.state()
    assert again.keys() == state.keys() and all(again[name].equals(state[name]) for name in state)
    other.restore({}, None)
    assert other.day is None and other.present.names.judged == set()
    with pytest.raises(ValueError, match="Invalid isoformat"):
        other.restore({"no-day/x/y": pl.DataFrame()}, None)


class _Failing(Names):
    def add(self, log: str, rows: pl.DataFrame) -> None:
        raise pl.exceptions.ComputeError("rows that names cannot take")


def test_names_that_fail_are_told_and_end_nothing() -> None:
    collectors = Collectors(one_day=True)
    collectors.names = _Failing()
    collectors.add("dns", dns(at(FIRST, 5)))
    assert collectors.evidence() == [] and "the names in rows of dns cannot be read" in collectors.problems[0]
