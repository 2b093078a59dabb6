"""Files of alerts by day, for log shippers: one line an alert, `alerts-YYYY-MM-DD` by the alerts' own dates. Not a sink itself."""

from __future__ import annotations

import fcntl
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from mlids.alerts.sinks.base import Document, Refused
from mlids.errors import StoreError
from mlids.files import PRIVATE, opener

_DAYS_REMEMBERED = 8


@dataclass
class _Day:
    """What is known of a day's file: the ids that were in it, and how far it was read. Other processes append to it too."""

    ids: set[str] = field(default_factory=set)
    inode: int = 0
    read_to: int = 0


class DayFiles(ABC):
    """One file per day of the alerts' own dates. Each alert is written once, when it begins; later counts are not."""

    name = ""
    suffix = ""
    header = ""  # the first line of a new file

    def __init__(self, folder: Path, mode: int = PRIVATE) -> None:
        self._folder, self._opener = folder, opener(mode)
        self._days: dict[str, _Day] = {}  # the latest ones

    @abstractmethod
    def line(self, document: Document) -> str:
        """Return the line of a document, without its end."""

    @abstractmethod
    def id_of(self, line: bytes) -> str | None:
        """Return the id of the alert that a line of the file is of; None for another line."""

    def write(self, documents: Sequence[Document]) -> list[Refused]:
        """Append the documents that are not in their day's file. Raises StoreError when the disk refuses."""
        by_day: dict[str, list[Document]] = {}
        for document in documents:
            by_day.setdefault(document["ts"][:10], []).append(document)
        for day, some in by_day.items():
            path = self._folder / f"alerts-{day}{self.suffix}"
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                with open(path, "a+b", opener=self._opener) as out:
                    fcntl.flock(out, fcntl.LOCK_EX)  # scorers of other sensors and late scoring append to the same day
                    self._append(self._day(day), out, some)
            except OSError as error:
                raise StoreError(f"{path}: {error.strerror or error}") from error
        return []

    def close(self) -> None:
        """Forget what is known of the files; nothing is open between two writes."""
        self._days.clear()

    def _append(self, day: _Day, out: BinaryIO, documents: Sequence[Document]) -> None:
        self._read_on(day, out)
        fresh = {d["event"]["id"]: d for d in documents if d["event"]["id"] not in day.ids}
        if fresh:
            begin = [self.header] if self.header and out.tell() == 0 else []
            out.write("".join(f"{text}\n" for text in [*begin, *map(self.line, fresh.values())]).encode())
            out.flush()
            os.fsync(out.fileno())
            day.ids.update(fresh)
            day.read_to = out.tell()

    def _day(self, name: str) -> _Day:
        if name not in self._days:
            while len(self._days) >= _DAYS_REMEMBERED:
                self._days.pop(next(iter(self._days)))
            self._days[name] = _Day()
        return self._days[name]

    def _read_on(self, day: _Day, file: BinaryIO) -> None:
        """Add the ids of the lines since the last call; a partial last line, of a writer that was killed, is ended."""
        found = os.fstat(file.fileno())
        if found.st_ino != day.inode or found.st_size < day.read_to:  # a log shipper moved or emptied it: its alerts are not written again
            day.inode, day.read_to = found.st_ino, 0
        file.seek(day.read_to)
        line = b"\n"
        for line in file:
            alert_id = self.id_of(line)
            if alert_id is not None:
                day.ids.add(alert_id)
        if not line.endswith(b"\n"):
            file.write(b"\n")
            file.flush()
        day.read_to = file.seek(0, os.SEEK_END)
