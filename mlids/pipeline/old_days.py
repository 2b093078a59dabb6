"""Old days of landing, lake, quarantine and ledger, and which of them stay: those that a model in use or an open case needs,
that are not reconciled, that a person has to decide on, or that are being written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mlids.pipeline.retention import Clock, Old, remove_file, remove_folder, size_of
from mlids.settings import Settings
from mlids.window import zone

if TYPE_CHECKING:
    from mlids.alerts.stores.retention import RetentionStore

# Sensor days of open cases that stay in the lake beyond its setting, those with the highest risk first: alerts may not fill the disk.
CASE_DAYS = 60
_GROUPING = timedelta(hours=6)  # an alert goes on for as long, at most
NOT_RECONCILED = "not reconciled yet"


@dataclass(frozen=True)
class NeededDays:
    """Days that stay: spans that models in use were trained on, sensor days of open cases, and those not `reconciled`."""

    spans: tuple[tuple[date, date], ...]
    cases: frozenset[tuple[str, str]]
    reconciled: frozenset[tuple[str, str]]

    def why(self, sensor: str, day: date) -> str:
        """Return why a lake day stays, or nothing."""
        if any(first <= day <= last for first, last in self.spans):
            return "a model in use was trained on it"
        if (sensor, day.isoformat()) in self.cases:
            return "an open case is about it"
        return "" if (sensor, day.isoformat()) in self.reconciled else NOT_RECONCILED


def case_days(settings: Settings, clock: Clock, store: RetentionStore) -> frozenset[tuple[str, str]]:
    """Return sensor and day, in the sensor's zone, of the open cases that are old enough for their lake day to be removed."""
    until = clock.before(settings.keep_lake_days)
    if until is None:
        return frozenset()
    zones = {s.name: s.zone for s in settings.sensors()}
    found = set()
    for sensor, first, last in store.open_cases(clock.before(settings.keep_open_case_days), until + timedelta(days=2), CASE_DAYS):
        here = zone(zones.get(sensor, "UTC"))
        begin = datetime.fromisoformat(first).astimezone(here).date()
        end = (datetime.fromisoformat(last) + _GROUPING).astimezone(here).date()
        found |= {(sensor, (begin + timedelta(days=n)).isoformat()) for n in range((end - begin).days + 1)}
    return frozenset(found)


def _days(root: Path, pattern: str, prefix: str = "") -> Iterator[tuple[Path, date]]:
    """Yield the day folders below a root, oldest first; folders of other names are left alone."""
    from mlids.ingest.archive import as_day

    found = [(p, day) for p in root.glob(pattern) if p.is_dir() and (day := as_day(p.name.removeprefix(prefix))) is not None]
    yield from sorted(found, key=lambda f: (f[1], f[0]))


def lake_days(settings: Settings) -> Iterator[tuple[Path, str, date]]:
    """Yield folder, sensor and day of all logs in the lake, oldest first."""
    for path, day in _days(settings.lake, "*/sensor=*/date=*", "date="):
        yield path, path.parent.name.removeprefix("sensor="), day


def old_lake(settings: Settings, clock: Clock, needed: NeededDays) -> Iterator[Old]:
    """Yield the old days of the lake, each log by itself."""
    from mlids.ingest.day_manifest import MANIFEST

    for path, sensor, day in lake_days(settings):
        if clock.is_old(settings.keep_lake_days, day, path / MANIFEST):
            writing = "" if next(path.parent.glob(f".new-{path.name}-*"), None) is None else "it is being written"
            what = f"lake {path.parent.parent.name} {sensor} {day}"
            yield Old(what, size_of(path), partial(remove_folder, path), kept=needed.why(sensor, day) or writing)


def old_landing(settings: Settings, clock: Clock, needed: NeededDays) -> Iterator[Old]:
    """Yield the old days of landing."""
    from mlids.ingest.landing import read_landed

    for path, day in _days(settings.landing, "*/*"):
        sensor = path.parent.name
        if clock.is_old(settings.keep_landing_days, day, path / "manifest.json"):
            kept = "" if (sensor, day.isoformat()) in needed.reconciled else NOT_RECONCILED
            if read_landed(settings.landing, sensor, day).smaller:
                kept = "a smaller file awaits a decision (--accept-shrunk)"
            yield Old(f"landing {sensor} {day}", size_of(path), partial(remove_folder, path), kept=kept)


def old_quarantine(settings: Settings, clock: Clock) -> Iterator[Old]:
    """Yield the old files of rejected lines in the lake."""
    from mlids.ingest.day_writer import QUARANTINE

    for folder, sensor, day in lake_days(settings):
        path = folder / QUARANTINE
        if path.is_file() and clock.is_old(settings.keep_quarantine_days, day, path):
            yield Old(f"quarantine {folder.parent.parent.name} {sensor} {day}", size_of(path), partial(remove_file, path))


def old_ledger(settings: Settings, clock: Clock, store: RetentionStore) -> Iterator[Old]:
    """Yield the old days of the ledger whose data is neither in the lake nor in landing."""
    before = clock.before(settings.keep_ledger_days)
    if before is None:
        return
    held = {(sensor, day.isoformat()) for _, sensor, day in lake_days(settings)}
    held |= {(path.parent.name, day.isoformat()) for path, day in _days(settings.landing, "*/*")}

    def remove(sensor: str, day: str) -> int:
        store.remove_day(sensor, day)
        return 1

    for sensor, day in store.old_days(before.date(), held):
        yield Old(f"ledger {sensor} {day}", 0, partial(remove, sensor, day))
