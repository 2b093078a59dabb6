"""A local or mounted log archive, read like a sensor's."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import BinaryIO

from mlids.errors import SourceError
from mlids.ingest.archive import RemoteFile, as_day


class FolderArchive:
    """Day folders below a path of this machine."""

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self._root = root
        if not root.is_dir():
            raise SourceError(f"sensor {name}: {root} is no folder; is it mounted?")

    def days(self) -> list[date]:
        """Return the days that have a folder."""
        return sorted(d for p in self._root.iterdir() if p.is_dir() and (d := as_day(p.name)))

    def list_day(self, day: date) -> list[RemoteFile]:
        """Return the files of a day. Raises SourceError when there is no such day or it may not be read."""
        folder = self._root / day.isoformat()
        try:
            entries = [(p.name, p.stat()) for p in folder.iterdir() if p.is_file()]
        except FileNotFoundError:
            raise SourceError(f"sensor {self.name}: no folder {folder}; {_have(self.days())}") from None
        except PermissionError:
            raise SourceError(f"sensor {self.name}: {folder} may not be read; give this user read access") from None
        return sorted((RemoteFile(n, s.st_size, int(s.st_mtime)) for n, s in entries), key=lambda f: f.name)

    def open(self, day: date, name: str, offset: int) -> BinaryIO:
        """Return the file from `offset` on."""
        held = (self._root / day.isoformat() / name).open("rb")
        held.seek(offset)
        return held

    def stat(self, day: date, name: str) -> RemoteFile:
        """Return the file's size and time now."""
        found = (self._root / day.isoformat() / name).stat()
        return RemoteFile(name, found.st_size, int(found.st_mtime))

    def close(self) -> None:
        """Nothing is held open."""


def _have(days: list[date]) -> str:
    return f"days from {days[0]} to {days[-1]} are there" if days else "there are no day folders at all"
