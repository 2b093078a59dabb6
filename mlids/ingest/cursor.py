"""Reads one log from an offset on: bytes in, batches of whole rows out, and the position reached."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlids.errors import MlidsError
from mlids.ingest.read_mark import Place, ReadMark
from mlids.zeek.bytestream import MAX_LINE_BYTES
from mlids.zeek.reader import Batch, LogReader
from mlids.zeek.trial import Chunk

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Position:
    """How far a log was read: its identity, and the bytes of its whole lines that were taken."""

    identity: str
    offset: int
    form: dict[str, Any] = field(default_factory=dict)  # how rows are read at this offset: see LogReader.form
    mtime: float = 0.0  # the log's last modification, by the sensor's clock; 0 when not known
    ended: list[str] = field(default_factory=list)  # identities of the logs read to their end before it, latest last


@dataclass(frozen=True)
class Step:
    """The batches of one piece of a log, and how many lines of it were rejected.

    `may_pause`: the position after this step covers every batch given so far, so that a poll may end here.
    """

    batches: tuple[Batch, ...] = ()
    rejected: int = 0
    may_pause: bool = True


class LineSplitter:
    """Splits pieces of bytes at line ends. The incomplete last line waits for the next piece; one longer than 1 MiB is skipped."""

    def __init__(self) -> None:
        self._incomplete = b""
        self._skipping = False
        self.skipped = 0  # lines

    def split(self, piece: bytes) -> bytes:
        """Return the whole lines that are complete with this piece."""
        if self._skipping:
            _, newline, piece = piece.partition(b"\n")
            if not newline:
                return b""
            self._skipping = False
        data = self._incomplete + piece
        end = data.rfind(b"\n") + 1
        self._incomplete = data[end:]
        if len(self._incomplete) > MAX_LINE_BYTES:
            self._incomplete, self._skipping = b"", True
            self.skipped += 1
        return data[:end]

    @property
    def waiting_bytes(self) -> int:
        """Size of the incomplete last line."""
        return len(self._incomplete)

    def take_incomplete(self) -> bytes:
        """Return the incomplete last line and forget it."""
        line, self._incomplete = self._incomplete, b""
        return line


class LogCursor:
    """Reads the log `path` of a sensor, whose type is `log_type`, from the position `start` on. What it reads is in `mark`."""

    def __init__(self, sensor: str, path: str, log_type: str, start: Position, mark: ReadMark | None = None) -> None:
        self._sensor, self._path, self._log_type, self._mark = sensor, path, log_type, mark
        self._lines = LineSplitter()
        self._reader = LogReader(Path(path), f"{sensor}:{path}", log=log_type)
        if start.form:
            self._reader.restore_form(start.form)
        self.identity = start.identity
        self.read_bytes = start.offset  # of the log, the incomplete last line included
        self.mtime = start.mtime

    @property
    def knows_form(self) -> bool:
        """Whether a header or a JSON row was seen, so that rows can be read."""
        form = self._reader.form()
        return bool(form.get("json") or form.get("columns"))

    def position(self, ended: list[str]) -> Position:
        """Return the position after the last whole line; `ended` are the logs read to their end before this one."""
        return Position(self.identity, self.read_bytes - self._lines.waiting_bytes, self._reader.form(), self.mtime, list(ended))

    def skim(self, piece: bytes) -> None:
        """Read the header in `piece`, which lies before the start position, and skip its rows."""
        self._reader.skim(piece)

    def take(self, piece: bytes) -> Step:
        """Return the rows of the lines that are complete with the next piece of the log."""
        offset = self.read_bytes - self._lines.waiting_bytes
        self.read_bytes += len(piece)
        skipped = self._lines.skipped
        lines = self._lines.split(piece)
        skipped = self._lines.skipped - skipped
        if skipped:
            log.warning("a line longer than 1 MiB was skipped", extra={"sensor": self._sensor})
        batches, rejected = self._read(lines, offset)
        return Step(tuple(batches), rejected + skipped)

    def finish(self) -> Step:
        """Return the row of a last line that ends without a newline, in a log that does not grow any more."""
        offset, line = self.read_bytes - self._lines.waiting_bytes, self._lines.take_incomplete()
        if line.lstrip()[:1] in (b"", b"#"):
            return Step()
        batches, rejected = self._read(line + b"\n", offset)
        return Step(tuple(batches), rejected)

    def _read(self, lines: bytes, offset: int) -> tuple[list[Batch], int]:
        """Return the rows of whole lines that begin at an offset of the log, and how many lines were rejected."""
        batches: list[Batch] = []
        rejected = 0
        if not lines:
            return batches, rejected
        chunks: Iterable[Chunk] = (Chunk(lines),)
        if self._mark is not None:
            chunks = self._mark.pieces(Place(self._path, self.identity, offset, len(lines)), lines, self._reader.form, self._log_type)
        for chunk in chunks:
            if chunk.reason is None:
                more, bad = self._parse(chunk.data)
                batches += more
                rejected += bad
                continue
            rejected += chunk.lines
            log.error(
                "lines were put aside", extra={"sensor": self._sensor, "file": self._path, "lines": chunk.lines, "reason": chunk.reason}
            )
        return batches, rejected

    def _parse(self, data: bytes) -> tuple[list[Batch], int]:
        batches: list[Batch] = []
        rejected = 0
        try:
            for batch in self._reader.feed(data):
                batches.append(batch)
        except MlidsError as error:
            lines = data.split(b"\n")[:-1]
            if len(lines) > 1:  # line by line: one line that is no log must not reject the others
                for line in lines:
                    more, bad = self._parse(line + b"\n")
                    batches += more
                    rejected += bad
                return batches, rejected
            log.warning("a row without a usable header was rejected", extra={"sensor": self._sensor, "reason": str(error)})
            rejected += bool(data.strip()) and not data.startswith(b"#")
        rejects = self._reader.report.take_rejects()
        if rejects:
            rejected += len(rejects)
            log.warning("rows did not parse", extra={"sensor": self._sensor, "rows": len(rejects), "first": rejects[0].reason})
        return batches, rejected
