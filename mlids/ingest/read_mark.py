"""What a scorer reads now, in a file that outlives it: what killed a scorer once is read on trial, and put aside if it kills again.

The mark is written before each piece is parsed and not synced: it must survive the process, not the machine. It says
where a scorer died, and how often in a row at that place:

    1 death    the piece is tried in another process first (`mlids.zeek.trial`), and the lines that end it are put aside
    2 deaths   and read in small pieces, should the fault lie in what comes after the reading
    4 deaths   and the small piece is put aside

What is put aside stays in `put-aside.jsonl` with file, offset and reason; late scoring finds its conns in the archive.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlids.files import open_private, overwrite
from mlids.zeek.trial import Chunk, Trials

SMALL_FROM, ASIDE_FROM = 2, 4  # deaths in a row at one place
SMALL_BYTES = 4_096
# After lines were put aside, everything is read on trial for this long: who wrote one writes more.
CAREFUL_S = 3_600.0
# Entries of put-aside.jsonl; further ones are counted, not stored.
ASIDE_KEPT = 10_000
PUT_ASIDE = "put-aside.jsonl"
_RAW_CHARS = 2_048


@dataclass(frozen=True)
class Place:
    """A piece of a log: whole lines, by the log's identity and their bytes in it."""

    file: str
    identity: str
    offset: int
    size: int

    def overlaps(self, other: Place | None) -> bool:
        """Whether both have bytes in common."""
        return (
            other is not None
            and self.identity == other.identity
            and self.offset < other.offset + other.size
            and other.offset < self.offset + self.size
        )


class ReadMark:
    """The mark of one scorer, in its state folder. `put_aside` counts the lines in `put-aside.jsonl`, which stays until someone removes it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / "reading.json"
        self._file: int | None = None
        self._at: Place | None = None
        self._died: Place | None = None
        self._deaths = 0
        self._careful_until = 0.0
        self._aside: dict[str, list[tuple[int, int]]] = {}  # starts and ends of what is put aside, by the log's identity
        self._trials: Trials | None = None
        self.put_aside = 0
        self.news: str | None = None  # what was put aside last, until the caller clears it

    def begin(self) -> None:
        """Read where the scorer before this one ended: where it left a mark, it died. On a full disk there is no mark."""
        with suppress(OSError, ValueError, TypeError, KeyError):
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            stored = json.loads(os.pread(self._file, 1 << 16, 0))
            self._died, self._deaths = _place(stored["died"]), int(stored["deaths"])
            self._at = _place(stored["at"])
        self._aside, self.put_aside = {}, 0
        for entry in put_aside(self._folder):
            self._remember(entry)
        self.failed()

    def failed(self) -> None:
        """Count a death at the marked place, if one is marked."""
        if self._at is not None:
            self._deaths = self._deaths + 1 if self._at.overlaps(self._died) else 1
            self._died, self._at = self._at, None
        self._write()

    def leave(self) -> None:
        """Remove the mark: an end from now on is not due to what was read."""
        if self._at is not None:
            self._at = None
            self._write()

    def close(self) -> None:
        """Remove the mark and end the process of the trials."""
        if self._file is not None:
            self.leave()
            os.close(self._file)
            self._file = None
        if self._trials is not None:
            self._trials.close()
            self._trials = None

    def read_bytes(self, identity: str, offset: int, most: int) -> int:
        """Return how many bytes to read at an offset: few where scorers died more than once, else `most`."""
        died = self._died
        if died is None or self._deaths < SMALL_FROM or identity != died.identity or offset >= died.offset + died.size:
            return most
        return min(most, died.offset - offset) if offset < died.offset else min(most, SMALL_BYTES)

    def pieces(self, place: Place, data: bytes, form: Callable[[], dict[str, Any]], log: str) -> Iterator[Chunk]:
        """Mark a piece of a log and yield its lines in chunks that each can be parsed in one go, or are put aside.

        `form` gives the format of rows after the chunks that were parsed, `log` is the log type.
        """
        self._at = place
        if self._died is not None and place.identity == self._died.identity and place.offset >= self._died.offset + self._died.size:
            self._died, self._deaths = None, 0  # it is passed
        self._write()
        offset = place.offset
        for part, known in self._without_known(place, data):
            if known:
                yield Chunk(part, "put aside before")
            else:
                yield from self._sieved(Place(place.file, place.identity, offset, len(part)), part, form, log)
            offset += len(part)

    def _sieved(self, place: Place, data: bytes, form: Callable[[], dict[str, Any]], log: str) -> Iterator[Chunk]:
        died = place.overlaps(self._died)
        if died and self._deaths >= ASIDE_FROM:
            reason = f"the scorer failed {self._deaths} times in a row at this piece"
            self._put_aside(place, data, reason)
            yield Chunk(data, reason)
            return
        if not died and time.time() >= self._careful_until:
            yield Chunk(data)
            return
        self._trials = self._trials or Trials(place.file, log)
        offset = place.offset
        for chunk in self._trials.sieve(data, form()):
            if chunk.reason is not None:
                self._put_aside(Place(place.file, place.identity, offset, len(chunk.data)), chunk.data, chunk.reason)
            offset += len(chunk.data)
            yield chunk

    def _without_known(self, place: Place, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """Yield the piece in parts, and whether each was put aside before: a log is read again after a restart."""
        at, end = place.offset, place.offset + place.size
        for start, stop in sorted(self._aside.get(place.identity, ())):
            if start >= at and stop <= end:
                if start > at:
                    yield data[at - place.offset : start - place.offset], False
                yield data[start - place.offset : stop - place.offset], True
                at = stop
        if at < end:
            yield data[at - place.offset :], False

    def _put_aside(self, place: Place, data: bytes, reason: str) -> None:
        self.news = f"{place.file} at byte {place.offset:,}: {reason}"
        at = datetime.now(UTC).isoformat(timespec="seconds")
        entry: dict[str, Any] = {"at": at, **asdict(place), "lines": Chunk(data).lines, "reason": reason}
        self._remember(entry)
        if sum(map(len, self._aside.values())) > ASIDE_KEPT:
            return
        entry["raw"] = data[:_RAW_CHARS].decode("utf-8", errors="replace")
        with suppress(OSError), open(self._folder / PUT_ASIDE, "a", encoding="utf-8", opener=open_private) as out:
            out.write(json.dumps(entry) + "\n")
            out.flush()
            os.fsync(out.fileno())

    def _remember(self, entry: dict[str, Any]) -> None:
        self.put_aside += entry["lines"]
        self._aside.setdefault(entry["identity"], []).append((entry["offset"], entry["offset"] + entry["size"]))
        self._careful_until = max(self._careful_until, datetime.fromisoformat(entry["at"]).timestamp() + CAREFUL_S)

    def _write(self) -> None:
        """Write the mark. A full disk does not end the scoring."""
        if self._file is None:
            return
        mark = {"at": self._at and asdict(self._at), "died": self._died and asdict(self._died), "deaths": self._deaths}
        with suppress(OSError):
            overwrite(self._file, json.dumps(mark).encode())


def _place(stored: dict[str, Any] | None) -> Place | None:
    return Place(**stored) if stored is not None else None


def put_aside(folder: Path) -> list[dict[str, Any]]:
    """Return what a scorer has put aside, by its state folder: `at`, `file`, `identity`, `offset`, `size`, `lines`, `reason`, `raw`."""
    try:
        text = (folder / PUT_ASIDE).read_text(encoding="utf-8")
    except OSError:
        return []
    found = []
    for line in text.splitlines():
        with suppress(ValueError):  # the last line of a scorer that was killed
            entry = json.loads(line)
            datetime.fromisoformat(entry["at"])
            found.append(entry)
    return found
