"""Dead letters: alerts that a sink did not take, in a file with the reason, until `mlids alerts resend` has delivered them."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlids.alerts.sinks.base import Document, Refused, Sink
from mlids.errors import StoreError
from mlids.files import open_private, replacing
from mlids.locks import locked_file

UNREADABLE = "unreadable lines"
_AT_ONCE = 500
_REMEMBERED = 50_000  # alerts whose letter is not written again when they grow

# Gives the stored documents of alerts, by id; alerts that are not stored any more are left out.
Current = Callable[[Sequence[str]], dict[str, Document]]


@dataclass
class Resent:
    """What became of one sink's dead letters. Those refused again and those left stay in the file; `error` says why they were left."""

    sink: str
    letters: int = 0
    sent: int = 0
    refused: int = 0
    left: int = 0
    error: str | None = None


class DeadLetters:
    """The file of dead letters. Scorers append to it, and a resend removes from it, at the same time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.written = 0  # by this object: one for each sink and alert
        self._known: dict[tuple[str, str], None] = {}

    def add(self, sink: str, refused: Sequence[Refused]) -> None:
        """Append documents that a sink did not take, each alert once. Raises StoreError when the disk refuses."""
        fresh = {(sink, r.document["event"]["id"]): r for r in refused}
        fresh = {key: r for key, r in fresh.items() if key not in self._known}
        if not fresh:
            return
        at = datetime.now(UTC).isoformat(timespec="seconds")
        lines = [json.dumps({"at": at, "sink": sink, "reason": r.reason, "alert": r.document}) + "\n" for r in fresh.values()]
        with self._locked(), open(self._path, "ab+", opener=open_private) as out:
            if out.tell() and os.pread(out.fileno(), 1, out.tell() - 1) != b"\n":  # a writer was killed in mid-line
                out.write(b"\n")
            out.write("".join(lines).encode())
            out.flush()
            os.fsync(out.fileno())
        self.written += len(fresh)
        self._known |= dict.fromkeys(fresh)
        while len(self._known) > _REMEMBERED:
            self._known.pop(next(iter(self._known)))

    def count(self) -> dict[str, int]:
        """Return the number of dead letters by sink; lines that are none are under UNREADABLE."""
        return dict(Counter(sink for _, sink, _ in self._letters()))

    def resend(self, sinks: Sequence[Sink], current: Current) -> list[Resent]:
        """Write the letters of these sinks again, as the alerts are stored now, and remove those that arrived.

        A resend that is killed is made again by the next one: sinks store an alert once. Letters of other sinks are left.
        """
        by_name = {s.name: s for s in sinks}
        results: dict[str, Resent] = {}
        arrived: set[bytes] = set()
        try:
            for batch in self._batches():
                for name in dict.fromkeys(sink for _, sink, _ in batch):
                    some = [(line, alert) for line, sink, alert in batch if sink == name]
                    result = results.setdefault(name, Resent(name))
                    arrived |= _resend(result, by_name.get(name), some, current)
        finally:
            if arrived:
                self.remove(lambda line: _digest(line) in arrived)
        return list(results.values())

    def _letters(self) -> Iterator[tuple[bytes, str, Document]]:
        """Yield each line's digest, its sink and its alert."""
        try:
            with self._path.open("rb") as file:
                for line in file:
                    try:
                        letter = json.loads(line)
                        sink, alert = str(letter["sink"]), letter["alert"]
                        str(alert["event"]["id"])
                    except (ValueError, KeyError, TypeError):
                        sink, alert = UNREADABLE, {}
                    yield _digest(line), sink, alert
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"{self._path}: {error.strerror or error}") from error

    def _batches(self) -> Iterator[list[tuple[bytes, str, Document]]]:
        batch = []
        for letter in self._letters():
            batch.append(letter)
            if len(batch) == _AT_ONCE:
                yield batch
                batch = []
        if batch:
            yield batch

    def remove(self, goes: Callable[[bytes], bool]) -> int:
        """Remove the lines for which `goes` is true and return how many; what is appended meanwhile stays. An empty file is deleted."""
        gone = 0
        if not self._path.exists():
            return gone
        with self._locked():
            with self._path.open("rb") as file, replacing(self._path) as partial, open(partial, "wb", opener=open_private) as out:
                for line in file:
                    if goes(line):
                        gone += 1
                    else:
                        out.write(line)
            if not self._path.stat().st_size:
                self._path.unlink()
        return gone

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other writers of the file out. Raises StoreError for errors of the disk."""
        try:
            with locked_file(self._path.with_suffix(".lock")):
                yield
        except OSError as error:
            raise StoreError(f"{self._path}: {error.strerror or error}") from error


def _resend(result: Resent, sink: Sink | None, letters: Sequence[tuple[bytes, Document]], current: Current) -> set[bytes]:
    """Write some letters of one sink, count them in `result`, and return the digests of those that arrived."""
    result.letters += len(letters)
    if sink is None or result.error is not None:
        result.left += len(letters)
        return set()
    documents: dict[str, Any] = {alert["event"]["id"]: alert for _, alert in letters}
    documents |= current(list(documents))
    try:
        refused = {r.document["event"]["id"] for r in sink.write(list(documents.values()))}
    except StoreError as error:
        result.error = str(error)
        result.left += len(letters)
        return set()
    arrived = [digest for digest, alert in letters if alert["event"]["id"] not in refused]
    result.sent += len(arrived)
    result.refused += len(letters) - len(arrived)
    return set(arrived)


def _digest(line: bytes) -> bytes:
    return hashlib.blake2b(line, digest_size=16).digest()
