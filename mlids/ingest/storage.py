"""Where logs are stored: one interface for this machine's file system and for a sensor's over SFTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, Protocol

# Entries of one folder. A day of five-minute logs of 100 types has 28,800 files.
MAX_ENTRIES = 100_000
TOO_MANY_ENTRIES = f"the folder has more than {MAX_ENTRIES:,} entries; remove or move what is no log of Zeek's"


@dataclass(frozen=True)
class LogFile:
    """A file of a storage: its name without folders, its size in bytes, and `mtime` in seconds since 1970.

    SFTP gives whole seconds only.
    """

    name: str
    size: int
    mtime: float

    @property
    def mtime_s(self) -> int:
        """Return `mtime` in whole seconds, as manifests store it: equal for local and remote files."""
        return int(self.mtime)


class LogStorage(Protocol):
    """Files and folders by path. Every method may raise one of `faults`; FileNotFoundError is among them."""

    faults: tuple[type[Exception], ...]

    def open(self, path: str, *, offset: int = 0, prefetch: bool = False) -> BinaryIO:
        """Return the file, positioned at `offset`. Raises FileNotFoundError.

        With `prefetch` all blocks up to the file's present end are requested at once: for a file that is read whole.
        """

    def stat(self, path: str) -> LogFile:
        """Return the file that has this path now. Raises FileNotFoundError."""

    def stat_open(self, log: BinaryIO) -> LogFile:
        """Return size and time of an open file, which may have been renamed since; its name is left empty."""

    def files(self, folder: str) -> list[LogFile]:
        """Return the files of a folder by name. Raises FileNotFoundError."""

    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders in a folder. Raises FileNotFoundError."""

    def close(self) -> None:
        """Close the connection; open files can no longer be read."""
