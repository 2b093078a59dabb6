"""Follows the logs beside conn.log of one sensor, and keeps the evidence that they hold of the present day.

It runs in a thread of the scorer with a connection of its own: a log that stops or floods does not delay conn.log, and one that
cannot be read does not keep the others from being read. What was read and what it gave are stored together, so that a scorer that
was killed continues without a row twice or missing.
"""

from __future__ import annotations

import errno
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from mlids.errors import AuthError, HostKeyError, MlidsError, SourceError, StoreError
from mlids.evidence.base import Evidence, SiteView
from mlids.evidence.collecting import Collectors
from mlids.evidence.names import Names
from mlids.ingest.cursor import Position
from mlids.ingest.follow import Follower, FollowOptions, FollowState
from mlids.ingest.read_mark import ReadMark
from mlids.ingest.storage import LogStorage
from mlids.scoring.evidence_days import EvidenceDays
from mlids.scoring.log_counts import FACTS, TABLES, LogCounts
from mlids.scoring.pauses import Pauses, backoff_s
from mlids.scoring.tables_file import read_tables, write_tables
from mlids.settings import Sensor
from mlids.window import zone

log = logging.getLogger(__name__)

POLL_S, SAVE_S = 1.0, 20.0
# A log that does not exist is looked for this often.
ABSENT_S = 10.0
# A poll of one log ends after about so many rows, so that a flood in one does not delay the others.
POLL_ROWS = 16_384
# A sensor that refuses us is asked this many times less often than one that is down: someone has to act first.
REFUSED_FACTOR = 10
# Faults of one file, which leave the connection to the sensor as it is.
_FILE_FAULTS = {
    errno.EACCES, errno.EPERM, errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.EIO, errno.ESTALE, errno.ELOOP,
}  # fmt: skip
# The folder's own time changed when the last log was rotated: what was written until then was before.
_AFTER_ROTATION_S = 3.0


class _Shared:
    """A storage that several followers use; the one who opened it closes it."""

    def __init__(self, storage: LogStorage) -> None:
        self._storage = storage
        self.faults = storage.faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def close(self) -> None:
        """Do nothing."""


@dataclass
class OtherLogsStatus:
    """What the thread does; it is read by the scorer's status. `error` is None while all is well."""

    logs: Mapping[str, LogCounts] = field(default_factory=dict)
    error: str | None = None
    day: str | None = None
    put_aside: int = 0  # lines that killed the scorer

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        logs = {name: counts.as_dict() for name, counts in self.logs.items()}
        return {"logs": logs, "error": self.error, "day": self.day, "put_aside": self.put_aside}


class OtherLogs:
    """The thread. `begin` says it the day of conn.log, and `evidence` may be asked for at any time."""

    def __init__(
        self, sensor: Sensor, open_storage: Callable[[], LogStorage], folder: Path, networks: Sequence[str], logs: Sequence[str],
        poll_s: float | None = None,
    ) -> None:  # fmt: skip
        wanted = Collectors.fields()
        self._sensor, self._open_storage, self._folder = sensor, open_storage, folder
        self._poll_s = POLL_S if poll_s is None else poll_s
        self._zone = zone(sensor.zone)
        self._logs = [name for name in dict.fromkeys(logs) if name in wanted]
        self._lock = threading.Lock()
        self._days = EvidenceDays(networks, self._zone)
        self._counts = {name: LogCounts() for name in self._logs}
        self.status = OtherLogsStatus(self._counts)
        self._positions: dict[str, Position] = {}
        self._followers: dict[str, Follower] = {}
        self._storage: LogStorage | None = None
        self._pauses = Pauses(lambda: None)
        self._mark: ReadMark | None = None
        self._saved = 0.0
        self._not_before: dict[str, float] = {}  # when a log that is absent or failed is looked for again
        self._log_failures: dict[str, int] = {}  # in a row
        self._failures = 0  # of the connection, in a row
        self._fault: str | None = None  # why no log is read
        self._unsaved: str | None = None  # why the state is not stored
        self._thread: threading.Thread | None = None

    @property
    def collectors(self) -> Collectors:
        """Return the collectors of the present day."""
        return self._days.present

    def start(self) -> None:
        """Restore the last state, and start to follow. A second start continues, also after `stop`."""
        if not self._logs or (self._thread is not None and self._thread.is_alive()):
            return
        self._pauses = Pauses(lambda: None)
        self._restore()
        self._thread = threading.Thread(target=self._run, args=(self._pauses,), name=f"other-logs-{self._sensor.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and store how far it is."""
        self._pauses.stop()
        if self._thread is None:
            return
        self._thread.join(timeout=10)
        if self._thread.is_alive() and (storage := self._storage) is not None:  # it waits for an answer of the sensor
            with suppress(Exception):
                storage.close()
            self._thread.join(timeout=20)

    def leave(self) -> None:
        """Take back the mark on what is read now: the process ends, and not because of that."""
        if (mark := self._mark) is not None:
            mark.leave()

    def begin(self, day: date) -> None:
        """Take `day`, which conn.log has reached, as the present one. The evidence of the days before is forgotten; names stay."""
        with self._lock:
            self._days.begin(day)
            self.status.day = self._days.day.isoformat() if self._days.day else None

    def evidence(self, day: date, site_of: Callable[[Names], SiteView]) -> tuple[SiteView, list[Evidence]] | None:
        """Return the evidence of a day and the site that it was judged by; None when that day is forgotten already."""
        self.begin(day)
        with self._lock:
            if self._days.day != day:
                return None
            collectors = self._days.present
            site = site_of(collectors.names)
            return site, collectors.evidence(site)

    def _run(self, pauses: Pauses) -> None:
        while not pauses.over:
            refused = False
            try:
                with suppress(OSError):  # a full disk: what is read is not stored, and read again after a restart
                    self._folder.mkdir(parents=True, exist_ok=True)
                self._mark = ReadMark(self._folder)
                self._mark.begin()
                self._follow(pauses)
            except SourceError as error:  # every row that was given is in the tables: positions and tables fit
                self._note_positions()
                refused = isinstance(error, (HostKeyError, AuthError))
                self._fail(error, str(error))
            except BaseException as error:  # noqa: BLE001  a defect, or a panic of polars: what is read now may be the reason
                if self._mark is not None:
                    self._mark.failed()
                self._fail(error, f"{type(error).__name__}: {error}")
                self._restore()
            finally:
                self._close()
            pauses.wait(backoff_s(self._failures) * (REFUSED_FACTOR if refused else 1))
            self._failures += 1

    def _fail(self, error: BaseException, text: str) -> None:
        self._fault = text
        self._publish()
        known = isinstance(error, MlidsError)
        log.warning("logs beside conn.log: %s", error, extra={"sensor": self._sensor.name}, exc_info=None if known else error)

    def _publish(self) -> None:
        """Say in the status what is wrong."""
        of_logs = (f"{name}: {counts.error}" for name, counts in self._counts.items() if counts.error)
        problems = self._days.problems
        self.status.error = self._fault or self._unsaved or (problems[-1] if problems else None) or next(of_logs, None)
        if self._mark is not None:
            self.status.put_aside = self._mark.put_aside

    def _follow(self, pauses: Pauses) -> None:
        self._storage = self._open_storage()
        self._not_before = {name: at for name, at in self._not_before.items() if name in self._log_failures}
        for name in self._logs:
            self._followers[name] = self._follower(name)
        while not pauses.over:
            most = 0
            for name in self._logs:
                if not pauses.over:
                    most = max(most, self._poll(name))
            self._failures, self._fault = 0, None
            if time.monotonic() - self._saved > SAVE_S:
                self._save()
            self._publish()
            if most < POLL_ROWS:
                pauses.wait(self._poll_s)
        self._save()

    def _follower(self, name: str) -> Follower:
        assert self._storage is not None
        options = FollowOptions(log_type=name, poll_rows=POLL_ROWS, check_s=2.0, mark=self._mark)
        return Follower(_Shared(self._storage), self._sensor, self._positions.get(name), options)  # type: ignore[arg-type]

    def _poll(self, name: str) -> int:
        """Read what was written to one log since the last poll, and return how many rows it was."""
        if time.monotonic() < self._not_before.get(name, 0.0):
            return 0
        follower, counts = self._followers[name], self._counts[name]
        before, rejected = counts.rows, follower.rejected
        try:
            # To its end: the position is that of whole pieces, and a piece may have several batches.
            for batch in follower.poll():
                self._take(counts, follower, batch)
            if follower.state is FollowState.WAITING_FOR_LOG:
                self._note_absent(name)
            counts.error = None
            self._log_failures.pop(name, None)
        except SourceError as error:
            self._failed_log(name, error)
        finally:
            counts.rejected += follower.rejected - rejected
        if self._mark is not None:
            self._mark.leave()
        return counts.rows - before

    def _take(self, counts: LogCounts, follower: Follower, batch: Any) -> None:
        position = follower.position
        with self._lock:
            self._days.add(batch.log, batch.frame)
            counts.add(batch, position.identity if position is not None else "", self._zone)

    def _note_absent(self, name: str) -> None:
        """Look for an absent log again later. One that was never there is read from now on, also if it is rotated meanwhile."""
        assert self._storage is not None
        self._not_before[name] = time.monotonic() + ABSENT_S
        if self._followers[name].position is not None:
            return
        try:
            folder = self._storage.stat(self._sensor.current_folder)
        except FileNotFoundError:
            return
        except self._storage.faults as error:
            raise SourceError(f"sensor {self._sensor.name}: {error or 'the connection was cut'}") from error
        self._positions[name] = Position("", 0, {}, folder.mtime + _AFTER_ROTATION_S, [""])
        self._followers[name] = self._follower(name)

    def _failed_log(self, name: str, error: SourceError) -> None:
        """Note that one log failed, and try it again later. Raises the error when the connection may be cut."""
        failures = self._log_failures[name] = self._log_failures.get(name, 0) + 1
        self._not_before[name] = time.monotonic() + backoff_s(failures)
        if self._counts[name].error is None:
            log.warning("%s", error, extra={"sensor": self._sensor.name})
        self._counts[name].error = str(error)
        if getattr(error.__cause__, "errno", None) not in _FILE_FAULTS:
            raise error
        self._note_position(name, self._followers[name])
        self._followers[name].close()
        self._followers[name] = self._follower(name)

    def _note_positions(self) -> None:
        for name, follower in self._followers.items():
            self._note_position(name, follower)

    def _note_position(self, name: str, follower: Follower) -> None:
        if (position := follower.position) is not None:
            self._positions[name] = position

    def _save(self) -> None:
        """Store positions, counts and tables; they are read back together or not at all. On a full disk the last ones stay."""
        self._note_positions()
        with self._lock:
            tables, day = self._days.state(), self._days.day
        facts = {
            "day": day.isoformat() if day else None, "positions": {n: asdict(p) for n, p in self._positions.items()},
            "counts": {n: c.state() for n, c in self._counts.items()},
        }  # fmt: skip
        tables[FACTS] = pl.DataFrame({"json": [json.dumps(facts)]})
        self._saved = time.monotonic()
        try:
            write_tables(self._folder / TABLES, tables)
            self._unsaved = None
        except StoreError as error:
            self._unsaved = str(error)
            log.warning("logs beside conn.log: %s", error, extra={"sensor": self._sensor.name})

    def _restore(self) -> None:
        """Take over the state that was stored last; without one, or with a damaged one, the logs are read from their beginning."""
        path = self._folder / TABLES
        try:
            tables = read_tables(path)
            self._take_over(json.loads(tables.pop(FACTS)["json"][0]), tables)
            return
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, AttributeError, pl.exceptions.PolarsError) as error:
            log.warning("%s cannot be used: %s; the logs are read from their beginning", path, error)
        self._take_over({"day": None, "positions": {}, "counts": {}}, {})

    def _take_over(self, facts: Mapping[str, Any], tables: Mapping[str, pl.DataFrame]) -> None:
        positions = {n: Position(**p) for n, p in facts["positions"].items()}
        counts = {n: LogCounts.of(c) for n, c in facts["counts"].items()}
        day = date.fromisoformat(facts["day"]) if facts["day"] else None
        with self._lock:
            self._days.restore(tables, day)
            self._positions = positions
            self._counts = {name: counts.get(name, LogCounts()) for name in self._logs}
            self.status.logs, self.status.day = self._counts, facts["day"]

    def _close(self) -> None:
        for follower in self._followers.values():
            with suppress(Exception):
                follower.close()
        self._followers = {}
        if self._mark is not None:
            self._mark.close()
            self._mark = None
        if self._storage is not None:
            with suppress(Exception):
                self._storage.close()
            self._storage = None
