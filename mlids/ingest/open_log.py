"""The growing log through its open handle, which still reads the same log after a rename."""

from __future__ import annotations

from mlids.ingest.identity import IDENTITY_BYTES, read_identity
from mlids.ingest.storage import LogFile, LogStorage


class OpenLog:
    """One open log. Raises FileNotFoundError when it does not exist, and the storage's faults from every method."""

    def __init__(self, storage: LogStorage, path: str) -> None:
        self._storage, self._path = storage, path
        self._log = storage.open(path)
        try:
            self.identity = read_identity(self._log)  # empty while the log has no row
        except BaseException:
            self._log.close()
            raise

    def stat(self) -> LogFile:
        """Return size and time of this log, whatever its name is now."""
        return self._storage.stat_open(self._log)

    def has_form(self) -> bool:
        """Return whether the log begins with a header or is JSON. One that was truncated in place has neither."""
        self._log.seek(0)
        return self._log.read(IDENTITY_BYTES).lstrip()[:1] in (b"#", b"{")

    def seek(self, offset: int) -> None:
        """Set the offset of the next read."""
        self._log.seek(offset)

    def read(self, size: int) -> bytes:
        """Return the next bytes; empty when all that was written has been read."""
        return self._log.read(size)

    def was_rewritten(self, offset: int) -> bool:
        """Return whether the log was truncated and has other rows now; the next read is at `offset`."""
        identity = read_identity(self._log)
        self._log.seek(offset)
        return identity != self.identity

    def was_replaced(self, own: LogFile) -> bool:
        """Return whether another log with a row has this log's name. `own` is what `stat` gave."""
        try:
            now = self._storage.stat(self._path)
            if (now.size, now.mtime) == (own.size, own.mtime):
                return False
            other = self._storage.open(self._path)
        except FileNotFoundError:  # between the rename and the new file
            return False
        try:
            identity = read_identity(other)
        finally:
            other.close()
        return bool(identity) and identity != self.identity

    def close(self) -> None:
        """Close the handle."""
        self._log.close()
