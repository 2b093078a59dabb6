"""Windows are half-open; a day has the hours that the sensor's own clock gives it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise

import pytest

from mlids.errors import InputError, SettingsError
from mlids.window import Window, day_window, days_between, parse_day, zone


@pytest.mark.parametrize(
    ("day", "zone_name", "start", "hours"),
    [
        (date(2026, 3, 28), "Europe/Prague", datetime(2026, 3, 27, 23, tzinfo=UTC), 24),
        (date(2026, 3, 29), "Europe/Prague", datetime(2026, 3, 28, 23, tzinfo=UTC), 23),
        (date(2026, 10, 25), "Europe/Prague", datetime(2026, 10, 24, 22, tzinfo=UTC), 25),
        (date(2026, 11, 1), "America/New_York", datetime(2026, 11, 1, 4, tzinfo=UTC), 25),
        (date(2026, 10, 25), "UTC", datetime(2026, 10, 25, tzinfo=UTC), 24),
    ],
)
def test_a_day_has_23_24_or_25_hours(day: date, zone_name: str, start: datetime, hours: int) -> None:
    window = day_window(day, zone_name)
    assert window.start == start and window.end - window.start == timedelta(hours=hours)
    assert window.start.tzinfo is UTC and window.end.tzinfo is UTC


def test_a_day_without_midnight_begins_where_its_clock_does() -> None:
    # In Havana the clock goes from 00:00 to 01:00 on 8 March 2026: the day begins at 05:00 UTC and has 23 hours.
    window = day_window(date(2026, 3, 8), "America/Havana")
    assert window == Window(datetime(2026, 3, 8, 5, tzinfo=UTC), datetime(2026, 3, 9, 4, tzinfo=UTC))


@pytest.mark.parametrize("zone_name", ["UTC", "Europe/Prague", "America/New_York", "Pacific/Auckland"])
def test_the_days_of_a_year_follow_each_other_without_gap_or_overlap(zone_name: str) -> None:
    windows = [day_window(day, zone_name) for day in days_between(date(2026, 1, 1), date(2027, 1, 1))]
    assert len(windows) == 365
    assert all(before.end == after.start for before, after in pairwise(windows))


def test_days_between_excludes_the_end() -> None:
    assert days_between(date(2026, 2, 27), date(2026, 3, 2)) == [date(2026, 2, 27), date(2026, 2, 28), date(2026, 3, 1)]
    assert days_between(date(2026, 3, 2), date(2026, 3, 2)) == [] == days_between(date(2026, 3, 3), date(2026, 3, 2))


def test_a_window_wants_aware_times_in_order() -> None:
    start = datetime(2026, 11, 6, tzinfo=UTC)
    assert Window(start, start).start == start, "an empty window is one"
    with pytest.raises(InputError, match="before it starts"):
        Window(start, start - timedelta(seconds=1))
    with pytest.raises(ValueError, match="aware"):
        Window(start.replace(tzinfo=None), start)
    with pytest.raises(ValueError, match="aware"):
        Window(start, start.replace(tzinfo=None))
    assert Window(start, datetime(2026, 11, 6, 2, tzinfo=timezone(timedelta(hours=1)))).end > start


def test_words_that_are_no_day_or_zone_are_errors() -> None:
    assert parse_day("2026-11-21") == date(2026, 11, 21)
    with pytest.raises(InputError, match="'yesterday' is not a day"):
        parse_day("yesterday")
    for name in ("Mars/Olympus", "../../etc/passwd", ""):
        with pytest.raises(SettingsError, match="is not a time zone"):
            zone(name)
