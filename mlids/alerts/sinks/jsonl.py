"""JSON lines for log shippers: `alerts-YYYY-MM-DD.jsonl` by the alerts' own dates, below `MLIDS_HOME/alerts`."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from mlids.alerts.sinks.base import Document, Refused
from mlids.errors import StoreError
from mlids.files import open_private
from mlids.settings import Settings

_DAYS_REMEMBERED = 8


def open_sink(settings: Settings) -> JsonLinesSink:
    """Return the sink that the settings describe."""
    return JsonLinesSink(settings.home / "alerts")


class JsonLinesSink:
    """One file per day of the alerts' own dates. Each alert is written once, when it begins; later counts are not."""

    name = "jsonl"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[str, set[str]] = {}  # ids in the files of the latest days

    def write(self, documents: Sequence[Document]) -> list[Refused]:
        """Append the documents that are not in their day's file. Raises StoreError when the disk refuses."""
        by_day: dict[str, list[Document]] = {}
        for document in documents:
            by_day.setdefault(document["ts"][:10], []).append(document)
        for day, some in by_day.items():
            path = self._folder / f"alerts-{day}.jsonl"
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                with open(path, "a+b", opener=open_private) as out:
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

    def close(self) -> None:
        """Nothing is open between two writes."""

    def _known(self, day: str, file: BinaryIO) -> set[str]:
        """Return the ids in a day's file; a partial last line, of a writer that was killed, is ended first."""
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
            if file.read(1) != b"\n":
                file.write(b"\n")
        if day not in self._seen:
            ids = set()
            file.seek(0)
            for line in file:
                try:
                    ids.add(json.loads(line)["event"]["id"])
                except (ValueError, KeyError, TypeError):
                    continue
            while len(self._seen) >= _DAYS_REMEMBERED:
                self._seen.pop(next(iter(self._seen)))
            self._seen[day] = ids
        return self._seen[day]
