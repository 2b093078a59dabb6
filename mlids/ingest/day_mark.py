"""Which files of a lake day are being read, in a file that outlives the process: a file that killed an ingest is read on trial.

The next ingest of the day reads it block by block in another process first (`mlids.zeek.trial`) and rejects the lines that
end it. A file that kills even so is left out by name, and the others are ingested.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from contextlib import suppress
from pathlib import Path

from mlids.files import overwrite

ASIDE_FROM = 3  # deaths while a file was read


class DayMark:
    """The files of one lake day that are read now, and how often an ingest died meanwhile; `path` is removed by `done`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._reading: set[str] = set()
        self.deaths: dict[str, int] = {}
        self._file: int | None = None
        with suppress(OSError):
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._restore(self._file)
            return
        self._close()  # another ingest of the day is at work, or the disk is full: without a mark

    def _restore(self, file: int) -> None:
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            stored = json.loads(os.pread(file, os.fstat(file).st_size, 0))
            self.deaths = {str(key): int(n) for key, n in stored["deaths"].items()}
            for key in stored["reading"]:
                self.deaths[key] = self.deaths.get(key, 0) + 1

    def deaths_of(self, path: Path) -> int:
        """Return how often an ingest died while it read this file, as it is now."""
        return self.deaths.get(_key(path), 0)

    def begin(self, path: Path) -> None:
        """Mark a file before it is read."""
        with self._lock:
            self._reading.add(_key(path))
            self._write()

    def end(self, path: Path) -> None:
        """Remove the mark of a file after its rows were written."""
        with self._lock:
            self._reading.discard(_key(path))
            self._write()

    def done(self) -> None:
        """Forget the day: it was read to its end."""
        if self._file is not None:
            self._path.unlink(missing_ok=True)
        self._close()

    def close(self) -> None:
        """Keep what died before for the next ingest of the day: this one ended with an error."""
        if self._file is not None and not self.deaths:
            self._path.unlink(missing_ok=True)
        self._close()

    def _write(self) -> None:
        if self._file is None:
            return
        with suppress(OSError):
            overwrite(self._file, json.dumps({"reading": sorted(self._reading), "deaths": self.deaths}).encode())

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _key(path: Path) -> str:
    """Return what identifies a file as it is now: one that was repaired is read as any other."""
    with suppress(OSError):
        return f"{path.name}:{path.stat().st_size}"
    return path.name
