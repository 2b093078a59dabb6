"""Logs on a sensor, over one verified SFTP connection."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import BinaryIO, cast

import paramiko

from mlids.ingest import ssh
from mlids.ingest.sftp_client import Attributes, PipelinedFile
from mlids.ingest.storage import LogFile
from mlids.settings import Sensor


class SftpStorage:
    """Files of a sensor. The connection is opened by the constructor, which raises what `ssh.open_sftp` does."""

    # A message of the server that is not UTF-8 is a UnicodeDecodeError in paramiko.
    faults: tuple[type[Exception], ...] = (OSError, EOFError, paramiko.SSHException, paramiko.SFTPError, UnicodeDecodeError)

    def __init__(self, sensor: Sensor, known_hosts: Path) -> None:
        self._transport, self._sftp = ssh.open_sftp(sensor, known_hosts)
        self._read_bytes = ssh.largest_read(self._transport.remote_version)

    def open(self, path: str, *, offset: int = 0, prefetch: bool = False) -> BinaryIO:
        """Return the file, positioned at `offset`."""
        log = self._sftp.open(path, "rb")
        log.MAX_REQUEST_SIZE = self._read_bytes
        log.seek(offset)
        if prefetch:
            return cast(BinaryIO, PipelinedFile(self._sftp, log, offset, self._sftp.open_attributes(log).size or 0))
        return cast(BinaryIO, log)

    def stat(self, path: str) -> LogFile:
        """Return the file that has this path now."""
        return _log_file(posixpath.basename(path), self._sftp.attributes(path))

    def stat_open(self, log: BinaryIO) -> LogFile:
        """Return size and time of an open file."""
        return _log_file("", self._sftp.open_attributes(cast(paramiko.SFTPFile, log)))

    def files(self, folder: str) -> list[LogFile]:
        """Return the files of a folder by name."""
        found = [_log_file(name, a) for name, a in self._sftp.entries(folder) if a.is_file]
        return sorted(found, key=lambda log: log.name)

    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders in a folder, and of links, which a listing does not resolve."""
        return sorted(name for name, a in self._sftp.entries(folder) if a.mode is None or not a.is_file)

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()


def _log_file(name: str, found: Attributes) -> LogFile:
    return LogFile(name, found.size or 0, float(found.mtime or 0))
