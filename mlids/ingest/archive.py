"""zeekctl's archive of rotated logs: `YYYY-MM-DD/TYPE.HH:MM:SS-HH:MM:SS.log.gz`; and which of its names are accepted."""

from __future__ import annotations

import errno
import posixpath
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from typing import BinaryIO

from mlids.errors import SourceError, UnsafeNameError
from mlids.ingest.storage import LogFile, LogStorage
from mlids.window import zone
from mlids.zeek.log_types import NOT_LOGS

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+\-]{0,200}\Z")
_TIME = re.compile(r"\.(\d{2}):\d{2}:\d{2}-")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}\Z")
_LOG = re.compile(r"\.(log|json|jsonl)(\.gz|\.zst)?\Z")


class Archive:
    """The day folders below a root, in any storage. Every method raises SourceError with the sensor's name and the path."""

    def __init__(self, sensor: str, root: str, storage: LogStorage) -> None:
        self.sensor = sensor
        self._root = root.rstrip("/") or "/"
        self._storage = storage

    @property
    def faults(self) -> tuple[type[Exception], ...]:
        """What reading an open file may raise."""
        return self._storage.faults

    def days(self) -> list[date]:
        """Return the days that have a folder, oldest first."""
        with self._reading(self._root):
            names = self._storage.folders(self._root)
        return sorted(day for name in names if (day := as_day(name)) is not None)

    def list_day(self, day: date) -> list[LogFile]:
        """Return the files of a day by name. The error for a missing day names the days that exist."""
        folder = self._path(day)
        try:
            with self._reading(folder):
                return self._storage.files(folder)
        except SourceError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise SourceError(f"sensor {self.sensor}: no folder {folder}; {_available(self.days())}") from error
            raise

    def open(self, day: date, name: str, offset: int) -> BinaryIO:
        """Return a file from `offset` on, with prefetch."""
        path = self._path(day, name)
        with self._reading(path):
            return self._storage.open(path, offset=offset, prefetch=True)

    def stat(self, day: date, name: str) -> LogFile:
        """Return a file's size and time now."""
        path = self._path(day, name)
        with self._reading(path):
            return self._storage.stat(path)

    def close(self) -> None:
        """Close the storage's connection."""
        self._storage.close()

    def _path(self, day: date, name: str = "") -> str:
        return posixpath.join(self._root, day.isoformat(), name).rstrip("/")

    @contextmanager
    def _reading(self, path: str) -> Iterator[None]:
        where = f"sensor {self.sensor}: {path}"
        try:
            yield
        except FileNotFoundError as error:
            raise SourceError(f"{where} does not exist; is it mounted, and is `logs` of this sensor right?") from error
        except PermissionError as error:
            raise SourceError(f"{where} may not be read; give the account read access to it") from error
        except TimeoutError as error:
            raise SourceError(f"{where}: no answer in time; the next run continues here") from error
        except self._storage.faults as error:
            cut = getattr(error, "errno", None) in {errno.ECONNRESET, errno.EPIPE} or isinstance(error, EOFError)
            why = "the connection was cut" if cut else str(error)
            raise SourceError(f"{where}: {why}; the next run continues here") from error


def _available(days: list[date]) -> str:
    return f"days from {days[0]} to {days[-1]} are there" if days else "there are no day folders at all"


def is_safe(name: str) -> bool:
    """Return whether a name of a sensor or file is safe as a name in a folder."""
    return bool(_SAFE.match(name)) and ".." not in name


def safe_name(name: str, where: str) -> str:
    """Return the name when it is safe as a file name in the landing folder; raises UnsafeNameError otherwise.

    File names of a sensor are hostile input.
    """
    if not is_safe(name):
        raise UnsafeNameError(
            f"{where}: the name {name[:80]!r} is rejected: only letters, digits and _ . : + - are accepted; rename the file"
        )
    return name


def log_type(name: str) -> str:
    """Return the log type of an archived file: its name up to the first dot."""
    return name.split(".", 1)[0]


def is_wanted(name: str, types: tuple[str, ...]) -> bool:
    """Return whether an archived file is a log of one of these types (shell patterns); `conn` does not match `conn-summary`."""
    kind = log_type(name)
    if not _LOG.search(name) or kind in NOT_LOGS:
        return False
    return any(fnmatchcase(kind, pattern) for pattern in types)


def hour_of(name: str, start: datetime, zone_name: str) -> datetime:
    """Return the hour, in UTC, in which an archived file begins: `conn.13:00:00-14:00:00.log.gz` of the day that begins at `start`.

    A name without a time gives the day's first hour. An hour that a clock change repeats gives its first occurrence.
    """
    found = _TIME.search(name)
    if found is None:
        return start
    local = start.astimezone(zone(zone_name)).replace(hour=int(found[1]) % 24, minute=0, second=0)
    return local.astimezone(UTC).replace(minute=0)


def as_day(name: str) -> date | None:
    """Return the day that a folder is named for; None for other folders, such as `current` and `stats`."""
    if not _DAY.match(name):
        return None
    try:
        return date.fromisoformat(name)
    except ValueError:
        return None
