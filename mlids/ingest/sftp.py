"""Logs on a sensor, over one verified SFTP connection."""

from __future__ import annotations

import posixpath
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO, cast

import paramiko

from mlids.ingest import ssh
from mlids.ingest.storage import LogFile
from mlids.settings import Sensor


class SftpStorage:
    """Files of a sensor. The connection is opened by the constructor, which raises what `ssh.open_sftp` does."""

    faults: tuple[type[Exception], ...] = (OSError, EOFError, paramiko.SSHException)

    def __init__(self, sensor: Sensor, known_hosts: Path) -> None:
        self._transport, self._sftp = ssh.open_sftp(sensor, known_hosts)
        self._read_bytes = ssh.largest_read(self._transport.remote_version)

    def open(self, path: str, *, offset: int = 0, prefetch: bool = False) -> BinaryIO:
        """Return the file, positioned at `offset`."""
        log = self._sftp.open(path, "rb")
        log.MAX_REQUEST_SIZE = self._read_bytes
        log.seek(offset)
        if prefetch:
            size = int(log.stat().st_size or 0)
            if size > offset:
                log.prefetch(size)
        return cast(BinaryIO, log)

    def stat(self, path: str) -> LogFile:
        """Return the file that has this path now."""
        return _log_file(posixpath.basename(path), self._sftp.stat(path))

    def stat_open(self, log: BinaryIO) -> LogFile:
        """Return size and time of an open file."""
        return _log_file("", cast(paramiko.SFTPFile, log).stat())

    def files(self, folder: str) -> list[LogFile]:
        """Return the files of a folder by name."""
        found = [_log_file(a.filename, a) for a in self._sftp.listdir_attr(folder) if a.st_mode is None or S_ISREG(a.st_mode)]
        return sorted(found, key=lambda log: log.name)

    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders in a folder, and of links, which a listing does not resolve."""
        return sorted(a.filename for a in self._sftp.listdir_attr(folder) if a.st_mode is None or not S_ISREG(a.st_mode))

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()


def _log_file(name: str, found: paramiko.SFTPAttributes) -> LogFile:
    return LogFile(name, int(found.st_size or 0), float(found.st_mtime or 0))
