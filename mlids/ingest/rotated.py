"""Finds the rotated logs of a growing log: in its own folder, and in the dated archive."""

from __future__ import annotations

import posixpath
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mlids.ingest.cursor import Position
from mlids.ingest.identity import first_bytes, identity_of
from mlids.ingest.storage import LogFile, LogStorage
from mlids.settings import Sensor
from mlids.zeek.bytestream import ByteStream

# Rotated logs that are older than the newest one by more than this are left to late scoring.
CATCH_UP = timedelta(days=1)
# The modification times of a log and of its compressed copy may differ by this much.
_MTIME_SLACK_S = 2.0


@dataclass(frozen=True)
class RotatedLog:
    """A rotated log: its full path, when it was last written to (seconds since 1970), and its identity."""

    path: str
    mtime: float
    identity: str


class RotatedLogs:
    """Searches the rotated logs of one log type of a sensor."""

    def __init__(self, storage: LogStorage, sensor: Sensor, log_type: str) -> None:
        self._storage, self._sensor, self._log_type = storage, sensor, log_type
        self._growing = posixpath.join(sensor.current_folder, f"{log_type}.log")

    def since(self, start: Position, current: str, ended: Sequence[str]) -> list[RotatedLog]:
        """Return the rotated logs from the one of `start` on, oldest first.

        `current` is the identity of the log that grows now, `ended` those of logs already read to their end.
        """
        now = datetime.now(UTC)
        read_at = datetime.fromtimestamp(start.mtime, UTC) if start.mtime else now - CATCH_UP
        found: dict[str, RotatedLog] = {}
        for path, file in self._candidates(read_at, now):
            identity = self._identity(path)
            if identity and identity != current and identity not in ended:
                found[identity] = RotatedLog(path, file.mtime, identity)  # of two copies the one beside the log is complete: it comes last
        newest = max((r.mtime for r in found.values()), default=0.0)
        recent = [r for r in found.values() if r.mtime >= newest - CATCH_UP.total_seconds()]
        recent.sort(key=lambda r: (r.mtime, r.path))
        first = next((n for n, r in enumerate(recent) if r.identity == start.identity), 0)
        return recent[first:]

    def _candidates(self, read_at: datetime, now: datetime) -> Iterator[tuple[str, LogFile]]:
        """Yield paths and files of this log type that were written to since `read_at`."""
        days = {(when + timedelta(days=n)).date() for when in (read_at, now) for n in (-1, 0, 1)}
        folders = [posixpath.join(self._sensor.logs, day.isoformat()) for day in sorted(days)]
        for folder in [*folders, self._sensor.current_folder]:
            files: list[LogFile] = []
            with suppress(FileNotFoundError):
                files = self._storage.files(folder)
            for file in files:
                path = posixpath.join(folder, file.name)
                if path != self._growing and self._is_rotated(file.name) and file.mtime >= read_at.timestamp() - _MTIME_SLACK_S:
                    yield path, file

    def _identity(self, path: str) -> str:
        with self._storage.open(path) as log:
            return identity_of(first_bytes(ByteStream(log, path)))

    def _is_rotated(self, name: str) -> bool:
        """Return whether a name is that of a rotated log: `conn.08:00:00-…`, `conn-26-11-06_…`, `conn.log.1`."""
        of_this_type = name.startswith((f"{self._log_type}.", f"{self._log_type}-")) and not name.startswith(f"{self._log_type}-summary")
        return of_this_type and ".log" in name


class ArchiveWait:
    """How long a missing or incomplete archive file is waited for: gzip takes its time with a large hour."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._since: float | None = None

    def goes_on(self) -> bool:
        """Return whether to wait longer; the first call starts the wait."""
        if self._since is None:
            self._since = time.monotonic()
        return time.monotonic() - self._since < self._limit_s

    def skip(self) -> None:
        """Do not wait: what the archive does not have now, it will never have."""
        self._since = time.monotonic() - self._limit_s

    def reset(self) -> None:
        """End the wait: the next one starts anew."""
        self._since = None
