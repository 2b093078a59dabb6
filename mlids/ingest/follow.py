"""Follows a growing Zeek log by its open handle, local or over SFTP: a rename loses nothing.

The log's identity is the hash of what is not the same in every log: its `#open` line and its first row. After a restart the log is found again by it: under its own name, beside it, or in the dated archive.
What can be had in none of these ways is left to the nightly ledger (`mlids.scoring.late`).
"""

from __future__ import annotations

import hashlib
import logging
import posixpath
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, TypeVar

from mlids.errors import MlidsError, SourceError
from mlids.ingest.place import Entry, Place
from mlids.settings import Sensor
from mlids.zeek.bytestream import ByteStream
from mlids.zeek.reader import Batch, LogReader

log = logging.getLogger(__name__)

READ_BYTES = 1 << 20
IDENTITY_BYTES = 4_096
# So many rows are given at one poll at the most: a reader that is behind must be able to store how far it is.
POLL_ROWS = 65_536
# Looks at the log's name cost two answers of the sensor; meanwhile the open handle loses nothing.
CHECK_S = 1.0
# After a pause this long (a sink was down), the log may have been rotated twice or truncated and grown again.
PAUSE_S = 5.0
# So long a rotated log may take to appear whole in the archive before it is left to the ledger; what is older
# than CATCH_UP is left to it at once.
ARCHIVE_WAIT_S = 60.0
CATCH_UP = timedelta(days=1)
ENDED_KEPT = 32

Result = TypeVar("Result")
# Batches, and None wherever `position` is that of all rows given so far.
Steps = Generator[Batch | None, None, Result]


@dataclass(frozen=True)
class Position:
    """How far a log was read: which one, and the bytes of whole lines taken from it."""

    identity: str
    offset: int
    form: dict[str, Any] = field(default_factory=dict)  # how rows are read there: see LogReader.form
    mtime: float = 0.0  # when the log had last been written to, by the sensor's clock; 0 when not known
    ended: list[str] = field(default_factory=list)  # the logs read to their end before it, latest last


class Follower:
    """One growing log of one sensor. `poll` gives what came since; `position` is what may be stored.

    A place that breaks (network cut, sensor down) raises SourceError from `poll`; a new Follower made with
    the last stored position goes on where it was. With `rebuild` the rows above that position are given
    once more, while `warming` is true: for a reader that has lost what it made of them.
    """

    def __init__(
        self, place: Place, sensor: Sensor, log_name: str = "conn", start: Position | None = None, *,
        rebuild: bool = False, check_s: float = CHECK_S, archive_wait_s: float = ARCHIVE_WAIT_S,
    ) -> None:  # fmt: skip
        self._place, self._sensor, self._log = place, sensor, log_name
        self._path = posixpath.join(sensor.current_folder, f"{log_name}.log")
        self._check_s, self._archive_wait_s = check_s, archive_wait_s
        self._handle: IO[bytes] | None = None
        self._reader: LogReader | None = None
        self._held = b""
        self._overlong = False
        self._identity = ""
        self._read = 0  # bytes taken
        self._mtime = 0.0
        self._start, self._rebuild = start, rebuild
        self._checked = time.monotonic()
        self._waits_since: float | None = None
        self._work: Steps[None] | None = None  # the poll at hand, where more was there than it could give
        self._ended = list(start.ended) if start is not None else []
        self.warming = False
        self.rejected = 0  # rows that did not parse
        self.given_up = 0  # rotated logs that could not be read to their end: the ledger will find their rows
        self.behind = 0  # bytes known to be written and not yet taken

    @property
    def position(self) -> Position | None:
        """Return how far whole lines were given out; None before the first log was found."""
        if self._reader is None:
            return self._start
        return Position(self._identity, self._read - len(self._held), self._reader.form(), self._mtime, list(self._ended))

    @property
    def state(self) -> str:
        """Return what it does, in words: it follows, or waits for the log or for what the archive owes it."""
        if self._handle is not None or self._work is not None:
            return "following"
        return "waiting for the archive" if self._waits_since is not None else "waiting for the log"

    def poll(self) -> Iterator[Batch]:
        """Yield what was written since the last poll, or the first rows of it; nothing when nothing was.

        When it ends, `position` is that of all rows given.
        """
        rows = 0
        if self._work is None:
            self._work = self._look()
        try:
            for batch in self._work:
                if batch is not None:
                    rows += batch.frame.height
                    yield batch
                elif rows >= POLL_ROWS:
                    return
        except self._place.faults as error:
            raise SourceError(f"sensor {self._sensor.name}: {self._path}: {error or 'the connection was cut'}") from error
        self._work = None

    def _look(self) -> Steps[None]:
        if self._handle is None and not (yield from self._find()):
            return
        took = yield from self._drain()
        now = time.monotonic()
        if took and now - self._checked < self._check_s:
            return
        paused = now - self._checked > PAUSE_S + self._check_s
        self._checked = now
        if self._moved_on(paused):
            yield from self._drain()  # what was written between the last read and the rename
            yield from self._leave(paused)
            if (yield from self._find()):
                yield from self._drain()

    def _find(self) -> Steps[bool]:
        """Open the log, taking up an earlier one first. Returns (by `yield from`) whether it is open."""
        try:
            handle = self._place.open(self._path)
        except FileNotFoundError:
            return False
        try:
            identity, start = _identity(handle), self._start
            if not identity:
                return False
            found = self._place.held(handle)
            if start is not None and start.identity == identity and start.offset <= found.size:
                offset, form = start.offset, start.form
            else:
                # A log cut short in place goes on without a header of its own.
                offset, form = 0, start.form if start is not None and not _has_form(handle) else {}
                if start is not None and not (yield from self._missed(start, identity)):
                    return False
            if self._rebuild and offset:
                yield from self._warm(handle, identity, offset)
            self._begin(identity, offset, form, found.mtime)
            handle.seek(offset)
            self._start, self._rebuild, self._handle, handle = None, False, handle, None  # type: ignore[assignment]
            return True
        finally:
            if handle is not None:
                handle.close()

    def _begin(self, identity: str, offset: int, form: dict[str, Any], mtime: float, path: str = "") -> None:
        self._identity, self._read, self._held, self._overlong, self._mtime = identity, offset, b"", False, mtime
        path = path or self._path
        self._reader = LogReader(Path(path), f"{self._sensor.name}:{path}", log=self._log)
        if form:
            self._reader.restore_form(form)

    def _warm(self, handle: IO[bytes], identity: str, offset: int) -> Iterator[Batch]:
        """Give the rows up to `offset` once more."""
        self._begin(identity, 0, {}, 0.0)
        self.warming = True
        try:
            handle.seek(0)
            while self._read < offset and (piece := handle.read(min(READ_BYTES, offset - self._read))):
                yield from self._take(piece)
        finally:
            self.warming, self._reader = False, None

    def _drain(self) -> Steps[bool]:
        assert self._handle is not None
        took = False
        while piece := self._handle.read(READ_BYTES):
            took = True
            yield from self._take(piece)
            yield None
        self.behind = 0
        return took

    def _take(self, piece: bytes) -> Iterator[Batch]:
        self._read += len(piece)
        if self._overlong:
            _, newline, piece = piece.partition(b"\n")
            if not newline:
                return
            self._overlong = False
        data = self._held + piece
        cut = data.rfind(b"\n") + 1
        self._held = data[cut:]
        if len(self._held) > READ_BYTES:
            log.warning("a line longer than 1 MiB was skipped", extra={"sensor": self._sensor.name, "bytes": len(self._held)})
            self._held, self._overlong = b"", True
            self.rejected += 1
        if cut:
            yield from self._give(data[:cut])

    def _give(self, data: bytes) -> Iterator[Batch]:
        assert self._reader is not None
        try:
            yield from self._reader.feed(data)
        except MlidsError as error:
            lines = data.split(b"\n")[:-1]
            if len(lines) > 1:  # one line that is no log does not take the others with it
                for line in lines:
                    yield from self._give(line + b"\n")
                return
            log.warning("a row without a usable header", extra={"sensor": self._sensor.name, "reason": str(error)})
            self.rejected += bool(data.strip()) and not data.startswith(b"#")
        rejects = self._reader.report.take_rejects()
        if rejects:
            self.rejected += len(rejects)
            log.warning("rows did not parse", extra={"sensor": self._sensor.name, "rows": len(rejects), "first": rejects[0].reason})

    def _moved_on(self, paused: bool) -> bool:
        """Say whether the log at hand is no longer the one that grows: another has its name, or it was cut short."""
        assert self._handle is not None
        own, now = self._place.held(self._handle), self._place.stat(self._path)
        if own.size < self._read:
            return True
        self._mtime = own.mtime
        self.behind = own.size - self._read
        if paused:
            identity = _identity(self._handle)
            self._handle.seek(self._read)
            if identity != self._identity:
                return True
        if now is None or (now.size, now.mtime) == (own.size, own.mtime):
            return False  # None: between rename and the new file the handle still holds the old one
        try:
            fresh = self._place.open(self._path)
        except FileNotFoundError:
            return False
        try:
            identity = _identity(fresh)
        finally:
            fresh.close()
        return bool(identity) and identity != self._identity

    def _leave(self, paused: bool) -> Iterator[Batch]:
        """End the log at hand. Where more may have been written than its handle gave, the archive is asked."""
        assert self._handle is not None
        cut_short = self._place.held(self._handle).size < self._read
        if not cut_short and not paused:
            yield from self._finish_line()
            self._note_end(self._identity)
        self._start = self.position
        if not paused:  # a copy was made before the cut: it is there now or never; else all was read by the handle
            self._waits_since = time.monotonic() - self._archive_wait_s
        self._handle.close()
        self._handle, self._reader, self._held = None, None, b""

    def _note_end(self, identity: str) -> None:
        self._ended = [*self._ended, identity][-ENDED_KEPT:]

    def _finish_line(self) -> Iterator[Batch]:
        """Give the last line of a log that ended without a newline."""
        held, self._held = self._held, b""
        if held.lstrip()[:1] not in (b"", b"#"):
            yield from self._give(held + b"\n")

    def _missed(self, start: Position, current: str) -> Steps[bool]:
        """Read the rest of the log that was current when we stopped, and every one since; False: not yet whole."""
        chain = self._since(start, current)
        known = start.identity in self._ended or any(identity == start.identity for _, identity in chain)
        if not known and self._may_wait():
            return False
        for entry, identity in chain:
            same = identity == start.identity
            offset = start.offset if same else 0
            self._begin(identity, offset, start.form if same else {}, entry.mtime, entry.name)
            problem = yield from self._unpack(entry.name, offset)
            self._start = start = self.position or start
            if problem is not None and self._may_wait():
                self._reader = None
                return False
            if problem is not None:
                self.given_up += 1
                log.warning("left to the nightly ledger", extra={"sensor": self._sensor.name, "file": entry.name, "reason": problem})
            yield from self._finish_line()
            self._note_end(identity)
        if not chain and start.identity not in self._ended:
            self.given_up += 1
            log.warning("the log read before is nowhere: its rest is left to the ledger", extra={"sensor": self._sensor.name})
        self._waits_since = None
        return True

    def _unpack(self, path: str, offset: int) -> Steps[str | None]:
        """Give a rotated log's rows from `offset` on; return why it broke off, None when it was whole."""
        assert self._reader is not None
        with self._place.open(path) as handle:
            stream = ByteStream(handle, path)  # type: ignore[arg-type]
            above = offset
            for piece in stream:
                if above and not self._reader.form():
                    self._reader.skim(piece[:above])
                passed = min(above, len(piece))
                above -= passed
                if passed < len(piece):
                    yield from self._take(piece[passed:])
                    yield None
        return stream.problem.reason if stream.problem is not None else None

    def _may_wait(self) -> bool:
        """Say whether what is missing may still come: gzip takes its time with a large hour."""
        if self._waits_since is None:
            self._waits_since = time.monotonic()
        return time.monotonic() - self._waits_since < self._archive_wait_s

    def _since(self, start: Position, current: str) -> list[tuple[Entry, str]]:
        """Return the rotated logs from the one of `start` on, oldest first, with full paths and identities."""
        now = datetime.now(UTC)
        read = datetime.fromtimestamp(start.mtime, UTC) if start.mtime else now - CATCH_UP
        days = {(when + timedelta(days=n)).date() for when in (read, now) for n in (-1, 0, 1)}
        folders = [posixpath.join(self._sensor.logs, day.isoformat()) for day in sorted(days)]
        found: dict[str, Entry] = {}
        for folder in [*folders, self._sensor.current_folder]:
            for entry in self._place.files(folder):
                path = posixpath.join(folder, entry.name)
                if path == self._path or not self._is_rotated(entry.name) or entry.mtime < read.timestamp() - 2.0:
                    continue
                with self._place.open(path) as handle:
                    identity = _identity_of(_head(ByteStream(handle, path)))  # type: ignore[arg-type]
                if identity and identity != current and identity not in self._ended:
                    found[identity] = Entry(path, entry.size, entry.mtime)  # beside the log it is whole: the last one wins
        latest = max((e.mtime for e in found.values()), default=0.0)
        fresh = {i: e for i, e in found.items() if e.mtime >= latest - CATCH_UP.total_seconds()}
        ordered = sorted(fresh.items(), key=lambda item: (item[1].mtime, item[1].name))
        if start.identity in fresh:
            first = [identity for identity, _ in ordered].index(start.identity)
            ordered = ordered[first:]
        return [(entry, identity) for identity, entry in ordered]

    def _is_rotated(self, name: str) -> bool:
        """Say whether a name is one of this log's rotated ones: `conn.08:00:00-…`, `conn-26-11-06_…`, `conn.log.1`."""
        ours = name.startswith((f"{self._log}.", f"{self._log}-")) and not name.startswith(f"{self._log}-summary")
        return ours and ".log" in name

    def close(self) -> None:
        """Let go of the log and the place."""
        try:
            if self._work is not None:
                self._work.close()
            if self._handle is not None:
                self._handle.close()
        except self._place.faults:
            pass  # it was cut already
        self._place.close()


def _identity(handle: IO[bytes]) -> str:
    handle.seek(0)
    return _identity_of(handle.read(IDENTITY_BYTES))


def _head(stream: ByteStream) -> bytes:
    head = b""
    for piece in stream:
        head += piece
        if len(head) >= IDENTITY_BYTES:
            break
    return head[:IDENTITY_BYTES]


def _identity_of(head: bytes) -> str:
    """Return the hash of the `#open` line and the first row; empty while there is no row, so that nothing can be missed."""
    found = hashlib.sha256()
    for line in head[:IDENTITY_BYTES].lstrip(b"\0").splitlines(keepends=True):
        if line.startswith(b"#open"):
            found.update(line)
        elif line.strip() and not line.startswith(b"#"):
            found.update(line)
            return found.hexdigest()[:24] if line.endswith(b"\n") or len(head) >= IDENTITY_BYTES else ""
    return ""


def _has_form(handle: IO[bytes]) -> bool:
    """Say whether a log says itself how to read it: a header, or JSON."""
    handle.seek(0)
    return handle.read(IDENTITY_BYTES).lstrip()[:1] in (b"#", b"{")
