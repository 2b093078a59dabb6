"""Logs on this machine, or on a mounted file system."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from mlids.ingest.storage import MAX_ENTRIES, TOO_MANY_ENTRIES, LogFile


class LocalStorage:
    """Files of this machine. No connection is needed."""

    faults: tuple[type[Exception], ...] = (OSError, EOFError)

    def open(self, path: str, *, offset: int = 0, prefetch: bool = False) -> BinaryIO:
        """Return the file, positioned at `offset`; the kernel reads ahead by itself."""
        log = Path(path).open("rb")  # noqa: SIM115  the caller closes it
        log.seek(offset)
        return log

    def stat(self, path: str) -> LogFile:
        """Return the file that has this path now."""
        return _log_file(path, Path(path).stat())

    def stat_open(self, log: BinaryIO) -> LogFile:
        """Return size and time of an open file."""
        return _log_file("", os.fstat(log.fileno()))

    def files(self, folder: str) -> list[LogFile]:
        """Return the files of a folder by name; a file removed meanwhile is left out."""
        found = []
        for path in _entries(folder):
            try:
                if path.is_file():
                    found.append(_log_file(path.name, path.stat()))
            except FileNotFoundError:
                continue
        return found

    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders in a folder."""
        return [path.name for path in _entries(folder) if path.is_dir()]

    def close(self) -> None:
        """Return at once: there is no connection."""


def _entries(folder: str) -> list[Path]:
    with os.scandir(folder) as entries:
        found = sorted(entry.path for entry in islice(entries, MAX_ENTRIES + 1))
    if len(found) > MAX_ENTRIES:
        raise OSError(TOO_MANY_ENTRIES)
    return [Path(path) for path in found]


def _log_file(path: str, found: os.stat_result) -> LogFile:
    return LogFile(Path(path).name, found.st_size, found.st_mtime)
