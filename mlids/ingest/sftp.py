"""A sensor's log archive over SFTP."""

from __future__ import annotations

import errno
import posixpath
import stat as modes
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

import paramiko

from mlids.errors import SourceError
from mlids.ingest import ssh
from mlids.ingest.archive import RemoteFile, as_day
from mlids.ingest.folder import _have
from mlids.settings import Sensor

T = TypeVar("T")


class SftpArchive:
    """Day folders on a sensor. One connection, opened when made, closed by `close`."""

    def __init__(self, sensor: Sensor, known_hosts: Path) -> None:
        self.name = sensor.name
        self._root = sensor.logs.rstrip("/") or "/"
        self._transport, self._sftp = ssh.open_sftp(sensor, known_hosts)
        self._read_bytes = ssh.largest_read(self._transport.remote_version)

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def days(self) -> list[date]:
        """Return the days that have a folder."""
        names = self._ask(lambda: self._sftp.listdir(self._root), self._root)
        return sorted(d for n in names if (d := as_day(n)))

    def list_day(self, day: date) -> list[RemoteFile]:
        """Return the files of a day. Raises SourceError when there is no such day or it may not be read."""
        folder = posixpath.join(self._root, day.isoformat())
        try:
            found = self._ask(lambda: self._sftp.listdir_attr(folder), folder)
        except SourceError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise SourceError(f"sensor {self.name}: no folder {folder}; {_have(self.days())}") from error
            raise
        files = [
            RemoteFile(a.filename, int(a.st_size or 0), int(a.st_mtime or 0))
            for a in found
            if a.st_mode is None or modes.S_ISREG(a.st_mode)
        ]
        return sorted(files, key=lambda f: f.name)

    def open(self, day: date, name: str, offset: int) -> BinaryIO:
        """Return the file from `offset` on; its blocks are asked for ahead of being read."""
        path = posixpath.join(self._root, day.isoformat(), name)

        def opened() -> paramiko.SFTPFile:
            held = self._sftp.open(path, "rb")
            size = int(held.stat().st_size or 0)
            held.seek(offset)
            held.MAX_REQUEST_SIZE = self._read_bytes
            if size > offset:
                held.prefetch(size)
            return held

        return cast(BinaryIO, self._ask(opened, path))

    def stat(self, day: date, name: str) -> RemoteFile:
        """Return the file's size and time now."""
        path = posixpath.join(self._root, day.isoformat(), name)
        found = self._ask(lambda: self._sftp.stat(path), path)
        return RemoteFile(name, int(found.st_size or 0), int(found.st_mtime or 0))

    def _ask(self, question: Callable[[], T], path: str) -> T:
        try:
            return question()
        except FileNotFoundError as error:
            raise SourceError(f"sensor {self.name}: {path} does not exist there") from error
        except PermissionError as error:
            raise SourceError(f"sensor {self.name}: {path} may not be read; give the account read access to it") from error
        except TimeoutError as error:
            raise SourceError(f"sensor {self.name}: no answer while reading {path}; the next run goes on from here") from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            lost = getattr(error, "errno", None) in {errno.ECONNRESET, errno.EPIPE} or isinstance(error, EOFError)
            why = "the connection was cut" if lost else str(error)
            raise SourceError(f"sensor {self.name}: {path}: {why}; the next run goes on from here") from error
