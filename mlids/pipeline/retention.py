"""What is old in each store, by the settings, and why some of it stays. Nothing is removed here: each entry knows how to."""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mlids.errors import StoreError
from mlids.locks import remove_unused
from mlids.pipeline.stores import dead_letters_file
from mlids.settings import Settings

if TYPE_CHECKING:
    from mlids.alerts.stores.retention import OldAlerts, RetentionStore
    from mlids.training.registry import Registry

NEWEST_VERSIONS = 3  # model versions that stay whatever their age
_SNAPSHOT = re.compile(r"(\d{4}-\d\d-\d\d)_(\d{4}-\d\d-\d\d)_[A-Za-z0-9-]+\Z")
_REPORT = re.compile(r"(?:weekly|drift)-(?:\d{4}-\d\d-\d\d_(\d{4}-\d\d-\d\d)|(\d{4})-W(\d\d))\.(?:html|pdf|json)\Z")
_ALERTS = re.compile(r"alerts-(\d{4}-\d\d-\d\d)\.(jsonl|csv)\Z")
# Alerts that begin later than this from now on are as old as their last writing.
_FUTURE = timedelta(days=2)


def _always() -> int:
    return 1


@dataclass(frozen=True)
class Old:
    """Something that is older than its setting. `remove` returns how many things are gone: 0 while somebody uses it.

    `kept` says why it stays nevertheless.
    """

    what: str
    bytes: int
    remove: Callable[[], int] = _always
    count: int = 1
    kept: str = ""


@dataclass(frozen=True)
class Clock:
    """The moment of a housekeeping."""

    now: datetime

    def before(self, days: int) -> datetime | None:
        """Return the moment before which things are old; None when they are kept for ever."""
        return self.now - timedelta(days=days) if days else None

    def is_old(self, days: int, day: date | None, written: Path) -> bool:
        """Whether a day, and what holds it, are older than this; what was written again lately is not. A missing file is as old as its day."""
        moment = self.before(days)
        if moment is None or (day is not None and day >= moment.date()):
            return False
        try:
            return written.stat().st_mtime < moment.timestamp()
        except FileNotFoundError:
            return day is not None


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder; what goes meanwhile counts as nothing."""
    try:
        return sum(size_of(p) for p in path.iterdir()) if path.is_dir() and not path.is_symlink() else path.lstat().st_size
    except FileNotFoundError:
        return 0


def remove_folder(path: Path) -> int:
    """Remove a folder unless somebody holds it; return how many are gone. Raises StoreError."""
    try:
        return int(remove_unused(path))
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error


def remove_file(path: Path) -> int:
    """Remove a file unless somebody has locked it; return how many are gone. Raises StoreError."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        return 1
    except BlockingIOError:
        return 0
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error
    return 1


def trained_on(snapshot_id: str) -> tuple[date, date] | None:
    """Return the first and the last day of a snapshot, by its id; None for another name."""
    found = _SNAPSHOT.match(snapshot_id)
    return (date.fromisoformat(found[1]), date.fromisoformat(found[2])) if found else None


def old_snapshots(settings: Settings, clock: Clock, needed: frozenset[str]) -> Iterator[Old]:
    """Yield the snapshots that were neither taken nor used lately; `needed` are the ids that models in use were trained on."""
    root = settings.home / "snapshots"
    folders = sorted((p for p in root.glob("*") if p.is_dir() and trained_on(p.name)), key=lambda p: p.stat().st_mtime)
    for folder in folders:
        if clock.is_old(settings.keep_snapshot_days, None, folder):
            kept = "a model in use was trained on it" if folder.name in needed else "it is the newest" if folder == folders[-1] else ""
            yield Old(f"snapshot {folder.name}", size_of(folder), partial(remove_folder, folder), kept=kept)


def old_reports(settings: Settings, clock: Clock) -> Iterator[Old]:
    """Yield the files of old reports and drift pages."""
    for path in sorted(settings.reports.glob("*")):
        ended = _end_of(path.name)
        if ended is not None and clock.is_old(settings.keep_report_days, ended, path):
            yield Old(f"report {path.name}", size_of(path), partial(remove_file, path))


def _end_of(name: str) -> date | None:
    """Return the day on which the span of a report ends, by its name (of days, or of an ISO week); None for another file."""
    found = _REPORT.match(name)
    try:
        if found is None or found[1]:
            return date.fromisoformat(found[1]) if found else None
        return date.fromisocalendar(int(found[2]), int(found[3]), 7)
    except ValueError:
        return None


def old_alert_files(settings: Settings, clock: Clock) -> Iterator[Old]:
    """Yield the JSON lines and the CSV of alerts of old days."""
    for path in sorted((settings.home / "alerts").glob("alerts-*")):
        found = _ALERTS.match(path.name)
        if found and clock.is_old(settings.keep_alert_days, date.fromisoformat(found[1]), path):
            yield Old(f"{'CSV' if found[2] == 'csv' else 'JSON lines'} {path.name}", size_of(path), partial(remove_file, path))


def old_dead_letters(settings: Settings, clock: Clock) -> Iterator[Old]:
    """Yield the old lines of the file of dead letters, as one entry. Raises StoreError."""
    from mlids.alerts.dead_letters import DeadLetters

    path, before = dead_letters_file(settings), clock.before(settings.keep_dead_letter_days)
    if before is None or not path.exists():
        return
    try:
        with path.open("rb") as file:
            sizes = [len(line) for line in file if _is_old_letter(line, before)]
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error
    if sizes:
        yield Old("dead letters", sum(sizes), partial(DeadLetters(path).remove, lambda line: _is_old_letter(line, before)), len(sizes))


def _is_old_letter(line: bytes, before: datetime) -> bool:
    """Whether a letter was written before a moment; a line that is none stays for a person to look at."""
    try:
        return datetime.fromisoformat(json.loads(line)["at"]) < before
    except (ValueError, KeyError, TypeError):
        return False


def old_alerts(settings: Settings, clock: Clock, store: RetentionStore, pause: Callable[[float], None]) -> Iterator[Old]:
    """Yield the old alerts of the database, some hundreds at a time. `pause` is called after each removal with the seconds that it took."""
    from time import monotonic

    from mlids.alerts.stores.retention import AlertBounds

    bounds = AlertBounds(clock.before(settings.keep_alert_days), clock.before(settings.keep_open_case_days), clock.now + _FUTURE)

    def remove(some: OldAlerts) -> int:
        started = monotonic()
        gone = store.remove_alerts(some.ids, bounds)
        pause(monotonic() - started)
        return gone

    for some in store.old_alerts(bounds):
        yield Old(f"alerts {some.first[:19]} to {some.last[:19]}", some.bytes, partial(remove, some), len(some.ids))


def old_versions(
    settings: Settings, clock: Clock, registry: Registry, lock: Callable[[], AbstractContextManager[None]], in_moves: frozenset[str]
) -> Iterator[Old]:
    """Yield the old model versions without an alias; those of unfinished moves (`in_moves`) stay. `lock` keeps promotions out."""
    before = clock.before(settings.keep_model_days)

    def remove(version: str) -> int:
        with lock():
            return int(registry.remove_version(version))

    for version in registry.old_versions(before, NEWEST_VERSIONS) if before is not None else []:
        kept = "a move to it is not finished" if version.version in in_moves else ""
        yield Old(f"model version {version.version}", 0, partial(remove, version.version), kept=kept)


def old_runs(settings: Settings, clock: Clock, registry: Registry, gone: frozenset[str]) -> Iterator[Old]:
    """Yield the old MLflow runs that no version needs, those `gone` left out."""
    before = clock.before(settings.keep_model_days)

    def remove(run_id: str) -> int:
        registry.runs.remove(run_id)
        return 1

    for run in registry.runs.old(before, gone) if before is not None else []:
        yield Old(f"run {run.name} {run.run_id}", run.bytes, partial(remove, run.run_id))


def left_over(settings: Settings, clock: Clock) -> Iterator[Old]:
    """Yield what processes that were killed left: folders that nobody holds, and partial files of another day."""
    for pattern in ("lake/*/sensor=*/.new-*", "lake/*/sensor=*/.gone-*", "landing/*/.gone-*", "snapshots/.gone-*"):
        for folder in sorted(settings.home.glob(pattern)):
            yield Old(str(folder.relative_to(settings.home)), size_of(folder), partial(remove_folder, folder))
    for pattern in (".*.part", "alerts/.*.part", "reports/.*.part", "snapshots/*/.*.part", "state/.*.part", "state/*/.*.part"):
        for path in sorted(settings.home.glob(pattern)):
            if path.stat().st_mtime < (clock.now - timedelta(days=1)).timestamp():
                yield Old(str(path.relative_to(settings.home)), size_of(path), partial(remove_file, path))


def clock_now() -> Clock:
    """Return the clock of this moment."""
    return Clock(datetime.now(UTC))
