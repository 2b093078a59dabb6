"""Follows a growing Zeek log by its open handle, local or over SFTP: a rename loses nothing.

The log's identity is the hash of its first line that is not the same in every log (`#open`, or the first
row). After a restart the log is found again by it: under its own name, or in the dated archive.
"""

from __future__ import annotations

import hashlib
import logging
import posixpath
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Protocol

from mlids.errors import MlidsError, SourceError
from mlids.settings import Sensor
from mlids.zeek.bytestream import ByteStream
from mlids.zeek.reader import Batch, LogReader

log = logging.getLogger(__name__)

READ_BYTES = 1 << 20
IDENTITY_BYTES = 4_096


@dataclass(frozen=True)
class Position:
    """How far a log was read: which one, and the bytes of whole lines taken from it."""

    identity: str
    offset: int


class Place(Protocol):
    """Where the growing log and its archive lie."""

    def open(self, path: str) -> IO[bytes]:
        """Return the file. Raises FileNotFoundError when it is not there (yet)."""

    def size(self, path: str) -> int | None:
        """Return its size, None when it is not there."""

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder; none when it is not there."""

    def close(self) -> None:
        """Let go of the connection."""


class LocalPlace:
    """Files of this machine."""

    def open(self, path: str) -> IO[bytes]:
        """Return the file."""
        return Path(path).open("rb")

    def size(self, path: str) -> int | None:
        """Return its size."""
        try:
            return Path(path).stat().st_size
        except FileNotFoundError:
            return None

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder."""
        try:
            return sorted(p.name for p in Path(folder).iterdir())
        except FileNotFoundError:
            return []

    def close(self) -> None:
        """Nothing is held."""


class SftpPlace:
    """Files of a sensor, over one SFTP connection."""

    def __init__(self, sensor: Sensor, known_hosts: Path) -> None:
        import paramiko

        from mlids.sources import ssh

        self._transport = ssh.connect(sensor, known_hosts)
        client = paramiko.SFTPClient.from_transport(self._transport)
        assert client is not None
        channel = client.get_channel()
        assert channel is not None
        channel.settimeout(sensor.timeout_s)
        self._sftp = client

    def open(self, path: str) -> IO[bytes]:
        """Return the file."""
        return self._sftp.open(path, "rb")  # type: ignore[return-value]

    def size(self, path: str) -> int | None:
        """Return its size."""
        try:
            return int(self._sftp.stat(path).st_size or 0)
        except FileNotFoundError:
            return None

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder."""
        try:
            return sorted(self._sftp.listdir(folder))
        except FileNotFoundError:
            return []

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()


class Follower:
    """One growing log of one sensor. `poll` gives what came since; `position` is what may be stored.

    A place that breaks (network cut, sensor down) raises SourceError from `poll`; a new Follower made with
    the last stored position goes on where it was.
    """

    def __init__(self, place: Place, sensor: Sensor, log_name: str = "conn", start: Position | None = None) -> None:
        self._place, self._sensor, self._log = place, sensor, log_name
        self._path = posixpath.join(sensor.current_folder, f"{log_name}.log")
        self._handle: IO[bytes] | None = None
        self._reader: LogReader | None = None
        self._held = b""
        self._identity = ""
        self._read = 0  # bytes taken from the handle
        self._start = start
        self.rejected = 0

    @property
    def position(self) -> Position | None:
        """Return how far whole lines were given out; None before the first log was found."""
        if not self._identity:
            return self._start
        return Position(self._identity, self._read - len(self._held))

    def poll(self) -> Iterator[Batch]:
        """Yield what was written since the last poll; nothing when nothing was."""
        try:
            if self._handle is None and not (yield from self._find()):
                return
            yield from self._drain()
            if self._replaced():
                yield from self._drain()  # what was written between the last read and the rename
                yield from self._finish_log()
                if (yield from self._find()):
                    yield from self._drain()
        except (EOFError, TimeoutError, OSError) as error:
            raise SourceError(f"sensor {self._sensor.name}: {self._path}: {error or 'the connection was cut'}") from error

    def _find(self) -> Generator[Batch, None, bool]:
        """Open the log, taking up an earlier one first. Returns (by `yield from`) whether it is open."""
        try:
            handle = self._place.open(self._path)
        except FileNotFoundError:
            return False
        identity = _identity(handle)
        if not identity:
            handle.close()
            return False
        if self._start is not None:
            start, self._start = self._start, None
            if start.identity == identity and start.offset <= (self._place.size(self._path) or 0):
                self._take_up(handle, identity, start.offset)
                return True
            if start.identity != identity:
                yield from self._missed(start)
        self._take_up(handle, identity, 0)
        return True

    def _take_up(self, handle: IO[bytes], identity: str, offset: int) -> None:
        self._handle, self._identity, self._held = handle, identity, b""
        self._reader = LogReader(Path(self._path), f"{self._sensor.name}:{self._path}", log=self._log)
        handle.seek(0)
        self._read = 0
        while self._read < offset:  # the header above the place decides how rows are read
            piece = handle.read(min(READ_BYTES, offset - self._read))
            if not piece:
                break
            self._reader.skim(piece)
            self._read += len(piece)
        handle.seek(self._read)

    def _drain(self) -> Iterator[Batch]:
        assert self._handle is not None and self._reader is not None
        while piece := self._handle.read(READ_BYTES):
            self._read += len(piece)
            data = self._held + piece
            cut = data.rfind(b"\n") + 1
            self._held = data[cut:]
            if len(self._held) > READ_BYTES:
                log.warning("a line longer than 1 MiB was skipped", extra={"sensor": self._sensor.name, "bytes": len(self._held)})
                self._held = b""
                self.rejected += 1
            if cut:
                yield from self._give(data[:cut])

    def _give(self, data: bytes) -> Iterator[Batch]:
        assert self._reader is not None
        try:
            yield from self._reader.feed(data)
        except MlidsError as error:
            log.warning("rows without a usable header", extra={"sensor": self._sensor.name, "reason": str(error)})
            self.rejected += data.count(b"\n")
        rejects = self._reader.report.take_rejects()
        if rejects:
            self.rejected += len(rejects)
            log.warning("rows did not parse", extra={"sensor": self._sensor.name, "rows": len(rejects), "first": rejects[0].reason})

    def _replaced(self) -> bool:
        """Say whether the name now stands for another file, or for a shorter one."""
        size = self._place.size(self._path)
        if size is None:
            return False  # between rename and the new file: the handle still holds the old one
        if size < self._read:
            return True
        try:
            fresh = self._place.open(self._path)
        except FileNotFoundError:
            return False
        try:
            identity = _identity(fresh)
        finally:
            fresh.close()
        return bool(identity) and identity != self._identity

    def _finish_log(self) -> Iterator[Batch]:
        if self._held and self._held.lstrip()[:1] not in (b"", b"#"):
            yield from self._give(self._held + b"\n")
        assert self._handle is not None
        self._handle.close()
        self._handle, self._held = None, b""

    def _missed(self, start: Position) -> Iterator[Batch]:
        """Read the rest of the log that was current when we stopped, and every one since, from the archive."""
        archived = self._archived()
        names = [name for name, identity in archived if identity == start.identity]
        if not names:
            log.warning("the log read before is not in the archive yet", extra={"sensor": self._sensor.name})
            return
        for path, identity in archived[[p for p, _ in archived].index(names[0]) :]:
            skip = start.offset if identity == start.identity else 0
            reader = LogReader(Path(path), f"{self._sensor.name}:{path}", log=self._log)
            with self._place.open(path) as handle:
                stream = ByteStream(handle, path)  # type: ignore[arg-type]
                yield from reader.resume(stream, skip)

    def _archived(self) -> list[tuple[str, str]]:
        """Return archived logs of the last three days with their identities, oldest first."""
        out = []
        today = datetime.now(UTC).date()
        for back in (3, 2, 1, 0, -1):
            folder = posixpath.join(self._sensor.logs, (today - timedelta(days=back)).isoformat())
            for name in self._place.names(folder):
                if name.startswith(f"{self._log}."):
                    path = posixpath.join(folder, name)
                    with self._place.open(path) as handle:
                        out.append((path, _identity_of(next(iter(ByteStream(handle, path)), b""))))  # type: ignore[arg-type]
        return out

    def close(self) -> None:
        """Let go of the log and the place."""
        if self._handle is not None:
            self._handle.close()
        self._place.close()


def _identity(handle: IO[bytes]) -> str:
    handle.seek(0)
    return _identity_of(handle.read(IDENTITY_BYTES))


def _identity_of(head: bytes) -> str:
    """Return the hash of the `#open` line, or of the first row; empty while neither is complete."""
    for line in head[:IDENTITY_BYTES].splitlines(keepends=True):
        if not line.endswith(b"\n"):
            return ""
        if line.startswith(b"#open") or (line.strip() and not line.startswith(b"#")):
            return hashlib.sha256(line).hexdigest()[:24]
    return ""


def open_place(sensor: Sensor, known_hosts: Path) -> Place:
    """Return the place of a sensor's logs."""
    return LocalPlace() if sensor.kind == "folder" else SftpPlace(sensor, known_hosts)
