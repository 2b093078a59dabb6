"""JSON lines: one file a day of the alerts' own dates, for log shippers."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from mlids.alerts.sinks.base import Document, Refused
from mlids.errors import StoreError


class JsonLinesSink:
    """One file a day of the alerts' own dates, for log shippers: each alert once, when it begins."""

    name = "jsonl"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[str, set[str]] = {}

    def write(self, documents: Sequence[Document]) -> list[Refused]:
        """Append those that are not there yet."""
        by_day: dict[str, list[Document]] = {}
        for document in documents:
            by_day.setdefault(document["ts"][:10], []).append(document)
        for day, some in by_day.items():
            path = self._folder / f"alerts-{day}.jsonl"
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                with path.open("a+b") as out:
                    fcntl.flock(out, fcntl.LOCK_EX)  # scorers of other sensors append to the same day
                    seen = self._known(day, out)
                    fresh = [d for d in some if d["event"]["id"] not in seen]
                    if fresh:
                        out.write("".join(json.dumps(d) + "\n" for d in fresh).encode())
                        out.flush()
                        os.fsync(out.fileno())
                        seen.update(d["event"]["id"] for d in fresh)
            except OSError as error:
                raise StoreError(f"{path}: {error.strerror or error}") from error
        return []

    def _known(self, day: str, held: BinaryIO) -> set[str]:
        """Return the ids in a day's file; the half line of a writer that was killed is ended, so that the next one stands alone."""
        end = held.seek(0, os.SEEK_END)
        if end:
            held.seek(end - 1)
            if held.read(1) != b"\n":
                held.write(b"\n")
        if day not in self._seen:
            ids = set()
            held.seek(0)
            for line in held:
                try:
                    ids.add(json.loads(line)["event"]["id"])
                except (ValueError, KeyError, TypeError):
                    continue
            while len(self._seen) > 8:
                self._seen.pop(next(iter(self._seen)))
            self._seen[day] = ids
        return self._seen[day]
