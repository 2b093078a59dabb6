"""Where a growing log and its archive lie: on this machine, or on a sensor over one SFTP connection."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import IO, TYPE_CHECKING, Protocol

from mlids.settings import Sensor

if TYPE_CHECKING:
    import os

    import paramiko


@dataclass(frozen=True)
class Entry:
    """A file as its place lists it; `mtime` in seconds since 1970, to the second where that is all there is."""

    name: str
    size: int
    mtime: float


class Place(Protocol):
    """Where the growing log and its archive lie. All may raise one of `faults`: the place broke."""

    faults: tuple[type[Exception], ...]

    def open(self, path: str) -> IO[bytes]:
        """Return the file. Raises FileNotFoundError when it is not there (yet)."""

    def stat(self, path: str) -> Entry | None:
        """Return what the name stands for now, None when it is not there."""

    def held(self, handle: IO[bytes]) -> Entry:
        """Return the same of an open file, whatever its name is now."""

    def files(self, folder: str) -> list[Entry]:
        """Return the files in a folder by name; none when it is not there."""

    def close(self) -> None:
        """Let go of the connection."""


class LocalPlace:
    """Files of this machine."""

    faults: tuple[type[Exception], ...] = (OSError, EOFError)

    def open(self, path: str) -> IO[bytes]:
        """Return the file."""
        return Path(path).open("rb")

    def stat(self, path: str) -> Entry | None:
        """Return what the name stands for now."""
        try:
            return _entry(path, Path(path).stat())
        except FileNotFoundError:
            return None

    def held(self, handle: IO[bytes]) -> Entry:
        """Return the same of an open file."""
        import os

        return _entry("", os.fstat(handle.fileno()))

    def files(self, folder: str) -> list[Entry]:
        """Return the files in a folder."""
        try:
            found = sorted(Path(folder).iterdir())
        except FileNotFoundError:
            return []
        return [e for p in found if p.is_file() and (e := self.stat(str(p))) is not None]

    def close(self) -> None:
        """Nothing is held."""


class SftpPlace:
    """Files of a sensor, over one SFTP connection."""

    def __init__(self, sensor: Sensor, known_hosts: Path) -> None:
        import paramiko

        from mlids.ingest import ssh

        self.faults: tuple[type[Exception], ...] = (OSError, EOFError, paramiko.SSHException)
        self._transport, self._sftp = ssh.open_sftp(sensor, known_hosts)
        self._read_bytes = ssh.largest_read(self._transport.remote_version)

    def open(self, path: str) -> IO[bytes]:
        """Return the file."""
        handle = self._sftp.open(path, "rb")
        handle.MAX_REQUEST_SIZE = self._read_bytes
        return handle  # type: ignore[return-value]

    def stat(self, path: str) -> Entry | None:
        """Return what the name stands for now."""
        try:
            return _entry(path, self._sftp.stat(path))
        except FileNotFoundError:
            return None

    def held(self, handle: IO[bytes]) -> Entry:
        """Return the same of an open file."""
        return _entry("", handle.stat())  # type: ignore[attr-defined]

    def files(self, folder: str) -> list[Entry]:
        """Return the files in a folder."""
        try:
            found = self._sftp.listdir_attr(folder)
        except FileNotFoundError:
            return []
        return sorted((_entry(a.filename, a) for a in found if a.st_mode is None or S_ISREG(a.st_mode)), key=lambda e: e.name)

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()


def _entry(path: str, found: os.stat_result | paramiko.SFTPAttributes) -> Entry:
    return Entry(path.rpartition("/")[2], int(found.st_size or 0), float(found.st_mtime or 0))


def open_place(sensor: Sensor, known_hosts: Path) -> Place:
    """Return the place of a sensor's logs. Raises SourceError when it cannot be reached, HostKeyError when its key is not the known one."""
    return LocalPlace() if sensor.kind == "folder" else SftpPlace(sensor, known_hosts)
