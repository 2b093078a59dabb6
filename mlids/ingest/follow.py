"""Follows a growing Zeek log by its open handle, local or over SFTP: a rename loses no row.

A log is recognized by its identity (`mlids.ingest.identity`). After a restart it is found again by it: under its
own name, beside it, or in the dated archive. Rows that cannot be found there are left to the gap ledger and late
scoring (`mlids.scoring.late`).
"""

from __future__ import annotations

import logging
import posixpath
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar

from mlids.errors import SourceError
from mlids.ingest.cursor import LogCursor, Position, Step
from mlids.ingest.open_log import OpenLog
from mlids.ingest.read_mark import ReadMark
from mlids.ingest.rotated import ArchiveWait, RotatedLog, RotatedLogs
from mlids.ingest.storage import LogStorage
from mlids.settings import Sensor
from mlids.zeek.bytestream import ByteStream
from mlids.zeek.reader import Batch

log = logging.getLogger(__name__)

# After a pause this long (a sink was down), the log may have been rotated twice, or truncated and grown again.
PAUSE_S = 5.0
ENDED_KEPT = 32
# A log that is absent or has no row after a restart is looked for in the archive this often, until its end was read there.
SOUGHT_S = 10.0

Result = TypeVar("Result")
Steps = Generator[Step, None, Result]


class FollowState(StrEnum):
    """What a follower does; the values are those of `mlids.scoring.status.ScorerState`."""

    FOLLOWING = "following"
    WAITING_FOR_LOG = "waiting for the log"
    WAITING_FOR_ARCHIVE = "waiting for the archive"


@dataclass(frozen=True)
class FollowOptions:
    """How a log is followed."""

    log_type: str = "conn"
    # A check for rotation costs two answers of the sensor; between two checks the open handle loses nothing.
    check_s: float = 1.0
    # How long a rotated log may take to be complete in the archive before it is left to the gap ledger.
    archive_wait_s: float = 60.0
    read_bytes: int = 1 << 20
    # A poll ends after about this many rows: a reader that is behind must be able to store how far it is.
    poll_rows: int = 65_536
    # Where it is noted what is read now, so that what kills its reader is put aside; None: nowhere.
    mark: ReadMark | None = None


class Follower:
    """One growing log of one sensor. `poll` gives the new rows; `position` is what to store with them.

    When the storage fails (connection cut, sensor down), `poll` raises SourceError; a new Follower made with the
    stored position continues there. With `rebuild` the rows before that position are given once more, while
    `warming` is true: for a caller that has lost the context it had computed from them.
    """

    def __init__(
        self,
        storage: LogStorage,
        sensor: Sensor,
        start: Position | None = None,
        options: FollowOptions | None = None,
        *,
        rebuild: bool = False,
    ) -> None:
        self._storage, self._sensor, self._options = storage, sensor, options or FollowOptions()
        self._path = posixpath.join(sensor.current_folder, f"{self._options.log_type}.log")
        self._rotated = RotatedLogs(storage, sensor, self._options.log_type)
        self._archive_wait = ArchiveWait(self._options.archive_wait_s)
        self._log: OpenLog | None = None
        self._cursor: LogCursor | None = None
        self._start, self._rebuild = start, rebuild
        self._ended = list(start.ended) if start is not None else []
        self._checked = time.monotonic()
        self._steps: Steps[None] | None = None  # of a poll that ended before all rows were given
        self._sought: float | None = None  # when an absent log was looked for in the archive last
        self.state = FollowState.WAITING_FOR_LOG
        self.warming = False
        self.rejected = 0  # lines that did not parse
        self.left_to_ledger = 0  # rotated logs that could not be read to their end
        self.behind_bytes = 0  # written to the log and not yet read

    @property
    def position(self) -> Position | None:
        """Return the position after the last row given; None before the first log was found."""
        return self._cursor.position(self._ended) if self._cursor is not None else self._start

    def poll(self) -> Iterator[Batch]:
        """Yield the rows written since the last poll, at most about `poll_rows` of them.

        At its end `position` covers all rows given. Raises SourceError when the storage fails.
        """
        rows = 0
        if self._steps is None:
            self._steps = self._poll()
        try:
            for step in self._steps:
                self.rejected += step.rejected
                for batch in step.batches:
                    rows += batch.frame.height
                    yield batch
                if step.may_pause and rows >= self._options.poll_rows:
                    return
        except self._storage.faults as error:
            raise SourceError(f"sensor {self._sensor.name}: {self._path}: {error or 'the connection was cut'}") from error
        self._steps = None

    def close(self) -> None:
        """Close the log and the storage."""
        try:
            if self._steps is not None:
                self._steps.close()
            if self._log is not None:
                self._log.close()
        except self._storage.faults:
            pass  # the connection was cut before
        self._storage.close()

    def _poll(self) -> Steps[None]:
        if self._log is None and not (yield from self._open()):
            return
        read = yield from self._read_new()
        now = time.monotonic()
        if read and now - self._checked < self._options.check_s:
            return
        paused = now - self._checked > PAUSE_S + self._options.check_s
        self._checked = now
        if self._was_replaced(paused):
            yield from self._read_new()  # what was written between the last read and the rename
            yield self._leave(paused)
            if (yield from self._open()):
                yield from self._read_new()

    def _open(self) -> Steps[bool]:
        """Open the growing log, after reading the logs that were rotated since `_start`; return whether it is open."""
        try:
            found = OpenLog(self._storage, self._path)
        except FileNotFoundError:
            yield from self._read_end_of_absent()
            self.state = FollowState.WAITING_FOR_LOG
            return False
        try:
            if (yield from self._begin_at(found)):
                self._log = found
        finally:
            if self._log is not found:
                found.close()
        return self._log is not None

    def _read_end_of_absent(self) -> Steps[None]:
        """Give the rest of the log that was read last, should it be in the archive: the next one may be hours away."""
        start, now = self._start, time.monotonic()
        if start is None or start.identity in self._ended or (self._sought is not None and now < self._sought + SOUGHT_S):
            return
        self._sought = now
        if any(r.identity == start.identity for r in self._rotated.since(start, "", self._ended)):
            if (yield from self._catch_up(start, "")):
                self._start = replace(self._start or start, ended=list(self._ended))
            self._cursor = None

    def _begin_at(self, found: OpenLog) -> Steps[bool]:
        """Set the cursor to where reading starts in the open log; return False while an earlier log is missing."""
        if not found.identity:
            yield from self._read_end_of_absent()
            self.state = FollowState.WAITING_FOR_LOG
            return False
        start, file = self._start, found.stat()
        if start is not None and start.identity == found.identity and start.offset <= file.size:
            begin = replace(start, mtime=file.mtime)
        else:
            # A log that was truncated in place continues without a header of its own.
            form = start.form if start is not None and not found.has_form() else {}
            if start is not None and not (yield from self._catch_up(start, found.identity)):
                self.state = FollowState.WAITING_FOR_ARCHIVE
                return False
            begin = Position(found.identity, 0, form, file.mtime)
        if self._rebuild and begin.offset:
            yield from self._warm_up(found, begin)
        self._read_from(begin)
        found.seek(begin.offset)
        self._start, self._rebuild = None, False
        return True

    def _read_from(self, begin: Position, path: str | None = None) -> LogCursor:
        self.state = FollowState.FOLLOWING
        self._cursor = LogCursor(self._sensor.name, path or self._path, self._options.log_type, begin, self._options.mark)
        return self._cursor

    def _warm_up(self, found: OpenLog, until: Position) -> Steps[None]:
        """Give the rows before a position once more. They were counted before."""
        cursor = self._read_from(Position(until.identity, 0))
        self.warming = True
        try:
            found.seek(0)
            while piece := found.read(min(self._read_bytes(cursor), until.offset - cursor.read_bytes)):
                yield replace(cursor.take(piece), rejected=0, may_pause=False)
        finally:
            self.warming, self._cursor = False, None

    def _read_new(self) -> Steps[bool]:
        """Give the rows up to the end of the open log; return whether there were any bytes."""
        assert self._log is not None
        assert self._cursor is not None
        read = False
        while piece := self._log.read(self._read_bytes(self._cursor)):
            read = True
            yield self._cursor.take(piece)
        self.behind_bytes = 0
        return read

    def _read_bytes(self, cursor: LogCursor) -> int:
        most, mark = self._options.read_bytes, self._options.mark
        return mark.read_bytes(cursor.identity, cursor.read_bytes, most) if mark is not None else most

    def _was_replaced(self, paused: bool) -> bool:
        """Return whether the open log is no longer the growing one: it was renamed or truncated."""
        assert self._log is not None
        assert self._cursor is not None
        own = self._log.stat()
        if own.size < self._cursor.read_bytes:
            return True
        self._cursor.mtime = own.mtime
        self.behind_bytes = own.size - self._cursor.read_bytes
        if paused and self._log.was_rewritten(self._cursor.read_bytes):
            return True
        return self._log.was_replaced(own)

    def _leave(self, paused: bool) -> Step:
        """Close the open log and return its last row. When more may have been written than was read, the archive has the rest."""
        assert self._log is not None
        assert self._cursor is not None
        last = Step()
        truncated = self._log.stat().size < self._cursor.read_bytes
        if not truncated and not paused:
            last = self._cursor.finish()
            self._note_end(self._cursor.identity)
        self._start = self.position
        if not paused:  # either all was read, or the log was copied before it was truncated: the copy exists now or never
            self._archive_wait.skip()
        self._log.close()
        self._log = self._cursor = None
        return last

    def _note_end(self, identity: str) -> None:
        self._ended = [*self._ended, identity][-ENDED_KEPT:]

    def _catch_up(self, start: Position, current: str) -> Steps[bool]:
        """Give the rest of the log that was read last, and the logs rotated since; return False while one is incomplete."""
        rotated = self._rotated.since(start, current, self._ended)
        known = start.identity in self._ended or any(r.identity == start.identity for r in rotated)
        if not known and self._archive_wait.goes_on():
            return False
        for one in rotated:
            begin = replace(start, mtime=one.mtime) if one.identity == start.identity else Position(one.identity, 0, mtime=one.mtime)
            cursor = self._read_from(begin, one.path)
            problem = yield from self._read_rotated(one, cursor, begin.offset)
            self._start = start = cursor.position(self._ended)
            if problem and self._archive_wait.goes_on():
                self._cursor = None
                return False
            if problem:
                self._leave_to_ledger("a rotated log cannot be read to its end", one.path, problem)
            last = cursor.finish()
            self._note_end(one.identity)
            yield last
        if not rotated and start.identity not in self._ended:
            self._leave_to_ledger(
                "the log that was read last does not exist any more", self._path, "neither beside the log nor in the archive"
            )
        self._archive_wait.reset()
        return True

    def _read_rotated(self, rotated: RotatedLog, cursor: LogCursor, offset: int) -> Steps[str]:
        """Give a rotated log's rows from `offset` on; return why it cannot be read to its end, empty when it can."""
        with self._storage.open(rotated.path) as file:
            stream = ByteStream(file, rotated.path)
            before = offset  # bytes that are still to be skipped
            for piece in stream:
                if before and not cursor.knows_form:
                    cursor.skim(piece[:before])
                skipped = min(before, len(piece))
                before -= skipped
                while skipped < len(piece):
                    size = self._read_bytes(cursor)
                    yield cursor.take(piece[skipped : skipped + size])
                    skipped += size
        return stream.problem.reason if stream.problem is not None else ""

    def _leave_to_ledger(self, what: str, path: str, reason: str) -> None:
        self.left_to_ledger += 1
        log.warning("%s; its rows are left to late scoring", what, extra={"sensor": self._sensor.name, "file": path, "reason": reason})
