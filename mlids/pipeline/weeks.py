"""Which days: those that a night pulls, those of a week, those that a training reads, and which are missing."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from mlids.errors import InputError
from mlids.pipeline.stores import open_lake, open_stores, sensor_names
from mlids.settings import Settings, load_settings
from mlids.window import days_between, parse_day, zone

log = logging.getLogger(__name__)

_SHOWN = 20


def days_to_pull(sensors: Sequence[str] | None, day: str | None, interval_end: datetime | None) -> list[dict[str, str]]:
    """Return sensor and day of each pull: `day`, or the last one that has ended in the sensor's zone and those missing before it.

    Missing are the days since the sensor's first one in the ledger that the ledger lacks, of the last `look_back_days`; they come
    first, the oldest first. Raises SettingsError for an unknown sensor, InputError without a day and an interval.
    """
    settings = load_settings()
    out = []
    for name in sensors or sensor_names(settings):
        if day is not None:
            out.append({"sensor": name, "day": parse_day(day).isoformat()})
            continue
        if interval_end is None:
            raise InputError("this run has no data interval: give `day`")
        last = interval_end.astimezone(zone(settings.sensor(name).zone)).date() - timedelta(days=1)
        out += [{"sensor": name, "day": d.isoformat()} for d in [*_missing_days(settings, name, last), last]]
    return out


def _missing_days(settings: Settings, sensor: str, last: date) -> list[date]:
    """Return the days before `last` that the ledger of a sensor lacks, the oldest first."""
    first = last - timedelta(days=settings.look_back_days)
    held = {parse_day(r["day"]) for r in open_stores(settings).ledger.days(end=last) if r["sensor"] == sensor}
    if not held:
        return []
    return [d for d in days_between(max(first, min(held)), last) if d not in held]


def days_are_there(start: str, end: str) -> bool:
    """Return whether the lake has any conns of these days; a new site has none at first, which is not an error."""
    lake = open_lake(load_settings())
    days = days_between(parse_day(start), parse_day(end))
    found = any(lake.manifest("conn", sensor, day) for sensor in lake.sensors() for day in days)
    if not found:
        log.warning("the lake has no conns of these days yet: nothing to do", extra={"start": start, "end": end})
    return found


def span(start: str | None, end: str | None, week: str | None, days: int = 7) -> tuple[str, str]:
    """Return `start` and `end` as given, or the `days` days that end with the week that begins on the day `week`.

    Raises InputError when only one of them was given, or neither and there is no week.
    """
    if start and end:
        if parse_day(start) >= parse_day(end):
            raise InputError(f"start {start} must lie before end {end}")
        return start, end
    if start or end:
        raise InputError("give both `start` and `end`, or neither")
    if week is None:
        raise InputError("this run is not of a week: give `start` and `end`")
    last = parse_day(week) + timedelta(days=7)
    return (last - timedelta(days=days)).isoformat(), last.isoformat()


def last_week(now: datetime) -> str:
    """Return the first day of the last week, Monday to Sunday, that was over at a time (of UTC)."""
    today = now.astimezone(UTC).date()
    return (today - timedelta(days=today.weekday() + 7)).isoformat()


def training_span(start: str | None, end: str | None, week: str | None) -> tuple[str, str]:
    """Return the days to train on: those given, or the last `MLIDS_TRAIN_DAYS` until the end of the week."""
    return span(start, end, week, days=load_settings().train_days)


def training_plan(start: str, end: str, sensors: Sequence[str] | None = None) -> dict[str, Any]:
    """Return what a training on these days would read: `start`, `end`, `sensors`, `rows` (conns) and `missing` (sensor and day).

    Without conns it has no rows, and the log says so. Raises InputError for a sensor that is neither configured nor in the lake.
    """
    settings = load_settings()
    lake, days = open_lake(settings), days_between(parse_day(start), parse_day(end))
    known = sorted({*lake.sensors(), *(s.name for s in settings.sensors())})
    unknown = sorted(set(sensors or ()) - set(known))
    if unknown:
        raise InputError(f"there is no sensor {', '.join(unknown)} (there are: {', '.join(known) or 'none'})")
    names = [n for n in known if not sensors or n in sensors]
    missing = [{"sensor": n, "day": d.isoformat()} for d in days for n in names if lake.manifest("conn", n, d) is None]
    rows = lake.rows("conn", [n for n in names if n in lake.sensors()], days)
    if missing:
        shown = ", ".join(f"{m['sensor']} {m['day']}" for m in missing[:_SHOWN])
        log.warning("days without conns, which a training goes on without: %s", shown + (" and more" if len(missing) > _SHOWN else ""))
    return {"start": start, "end": end, "sensors": names, "rows": rows, "missing": missing}


def finished_days(pulled: Sequence[Mapping[str, str]], announced: Collection[str], *, is_nightly: bool) -> list[dict[str, Any]]:
    """Return the days, of those that a run has `pulled`, that are there for all sensors: `day`, and `missing`, the sensors without it.

    A nightly run adds days that still lack a sensor after `wait_days` nights and were not `announced` before: the week goes on
    without them. A sensor is expected from its first day in the ledger on; one that never had a day, always.
    """
    settings = load_settings()
    asked = sorted({parse_day(p["day"]) for p in pulled})
    if not asked:
        return []
    last, names = asked[-1], sensor_names(settings)
    first = min(asked[0], last - timedelta(days=settings.look_back_days))
    around = timedelta(days=settings.look_back_days + 1)
    held: dict[str, set[date]] = {name: set() for name in names}
    for row in open_stores(settings).ledger.days(first - around, last + around):
        held.setdefault(row["sensor"], set()).add(parse_day(row["day"]))
    begun = min((d for days in held.values() for d in days), default=last)

    def without(day: date) -> list[str]:
        return [n for n in names if day not in held[n] and (not held[n] or min(held[n]) <= day)]

    given_up = days_between(max(first, begun), last - timedelta(days=settings.wait_days - 1)) if is_nightly else []
    done = {d: without(d) for d in asked if not without(d)}
    done |= {d: without(d) for d in given_up if without(d) and d.isoformat() not in announced}
    for day, names_missing in sorted(done.items()):
        if names_missing:
            log.warning("a day is missing; its week goes on without it", extra={"day": day.isoformat(), "sensors": names_missing})
    return [{"day": d.isoformat(), "missing": without(d)} for d in sorted(done)]
