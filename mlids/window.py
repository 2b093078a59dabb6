"""Half-open time windows in UTC, and the days of a sensor's local clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mlids.errors import InputError, SettingsError

# Days beyond these have no day before or after them in every time zone, or are no time of a log.
FIRST_DAY, LAST_DAY = date(1970, 1, 2), date(2199, 12, 30)


@dataclass(frozen=True)
class Window:
    """A half-open window: `start` is included, `end` is not. Both are aware; raises InputError when `end` is before `start`."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("a window needs aware times")
        if self.end < self.start:
            raise InputError(f"the window ends ({self.end}) before it starts ({self.start})")


def stamp(when: datetime) -> str:
    """Return an aware time as alerts and tables hold it: UTC, microseconds, `Z`. Text of this form sorts by time."""
    return when.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def zone(name: str) -> ZoneInfo:
    """Return the named time zone. Raises SettingsError for an unknown name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingsError(f"{name!r} is not a time zone; use a name such as UTC or Europe/Prague") from None


def day_window(day: date, zone_name: str = "UTC") -> Window:
    """Return the window of a local day in UTC: 23, 24 or 25 hours. Raises SettingsError for an unknown zone."""
    tz = zone(zone_name)
    start = datetime.combine(day, time(), tz).astimezone(UTC)
    end = datetime.combine(day + timedelta(days=1), time(), tz).astimezone(UTC)
    return Window(start, end)


def days_between(start: date, end: date) -> list[date]:
    """Return the days from `start` up to, not including, `end`."""
    return [start + timedelta(days=n) for n in range((end - start).days)]


def parse_day(text: str) -> date:
    """Return a day from `YYYY-MM-DD`, from 1970 to 2199. Raises InputError otherwise: days become names of folders."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text or not FIRST_DAY <= day <= LAST_DAY:
        raise InputError(f"{text[:80]!r} is not a day; write it as 2026-11-21")
    return day
