"""The landing folder of a sensor's day: the files as they were pulled, and `manifest.json`, which describes them.

A file that now holds less on the sensor than the one that landed, or is damaged, does not replace it: it lies beside it as
`NAME.smaller` until a person accepts it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from mlids.files import write_atomic
from mlids.ingest.archive import safe_name
from mlids.zeek.bytestream import ByteStream

SMALLER, OLDER = ".smaller", ".older"
COMPRESSED = frozenset({".gz", ".zst"})


@dataclass(frozen=True)
class Landed:
    """One file in the landing folder, as the manifest records it; `mtime` is the sensor's, in whole seconds since 1970."""

    name: str
    size: int
    mtime: int
    sha256: str
    pulled_at: str
    problem: str | None = None  # a truncated gzip: usable up to there, pulled again when it changes
    plain_size: int | None = None  # bytes that can be decompressed; null in a manifest of an older mlids


@dataclass
class LandedDay:
    """The files of a day by name, and those beside them that hold less (`smaller`, by the name without the ending)."""

    sensor: str
    day: date
    folder: Path
    files: dict[str, Landed] = field(default_factory=dict)
    smaller: dict[str, Landed] = field(default_factory=dict)

    def save(self) -> None:
        """Write the manifest. Raises OSError."""
        stored = {"sensor": self.sensor, "day": self.day.isoformat(), "files": _plain(self.files), "smaller": _plain(self.smaller)}
        write_atomic(self.folder / "manifest.json", json.dumps(stored, indent=1))

    def put(self, part: Path, entry: Landed) -> None:
        """Rename a pulled file to its name, or to `NAME.smaller` when the one that landed holds more or is whole. Raises OSError."""
        target = self.folder / entry.name
        if target.is_file() and self._is_less(entry):
            part.replace(_smaller(target))
            self.smaller[entry.name] = entry
            return
        part.replace(target)
        self.files[entry.name] = entry
        self.forget_smaller(entry.name)

    def forget_smaller(self, name: str) -> None:
        """Remove the smaller file beside a file, if there is one."""
        if self.smaller.pop(name, None) is not None:
            _smaller(self.folder / name).unlink(missing_ok=True)

    def accept_smaller(self) -> None:
        """Let the smaller files replace those that landed; these stay beside them as `NAME.older`. Raises OSError."""
        for name, entry in sorted(self.smaller.items()):
            target = self.folder / name
            if not _smaller(target).is_file():
                continue
            if target.is_file():
                target.replace(target.with_name(f"{name}{OLDER}"))
            _smaller(target).replace(target)
            self.files[name] = entry
        if self.smaller:
            self.smaller.clear()
            self.save()

    def problems(self) -> list[str]:
        """Return one sentence for each file that holds less on the sensor than what landed."""
        return [
            f"{name}: the sensor now has {entry.size:,} bytes{f' ({entry.problem})' if entry.problem else ''}, which hold less than the "
            f"{self.files[name].size:,} bytes that landed, or are damaged; these stay, the smaller file lies beside them as {name}{SMALLER}; to use "
            f"it: mlids ingest {self.sensor} {self.day} --accept-shrunk"
            for name, entry in sorted(self.smaller.items())
            if name in self.files
        ]

    def _is_less(self, entry: Landed) -> bool:
        """Return whether a file holds less than the one that landed, or is damaged where that one is not."""
        landed = self.files.get(entry.name)
        size, problem = (
            (landed.plain_size, landed.problem)
            if landed is not None and landed.plain_size is not None
            else check_end(self.folder / entry.name, entry.name)
        )
        return (entry.plain_size or 0) < size or (entry.problem is not None and problem is None)


def day_folder(landing: Path, sensor: str, day: date) -> Path:
    """Return the landing folder of a sensor's day. Raises UnsafeNameError for a sensor name that is no file name."""
    return landing / safe_name(sensor, "sensor name") / day.isoformat()


def read_landed(landing: Path, sensor: str, day: date) -> LandedDay:
    """Return what has landed of a sensor's day; nothing when there is no manifest or it cannot be read."""
    folder = day_folder(landing, sensor, day)
    try:
        stored = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        files, smaller = _entries(stored["files"]), _entries(stored.get("smaller", {}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return LandedDay(sensor, day, folder)
    return LandedDay(sensor, day, folder, files, smaller)


def check_end(path: Path, name: str) -> tuple[int, str | None]:
    """Return how many bytes the file called `name` holds when decompressed, and what is wrong with it; None when nothing is."""
    if Path(name).suffix not in COMPRESSED:
        return path.stat().st_size, None
    stream = ByteStream(path)
    for _ in stream:
        pass
    return stream.plain_bytes, stream.problem.reason if stream.problem else None


def _entries(stored: Mapping[str, dict[str, Any]]) -> dict[str, Landed]:
    return {name: Landed(**entry) for name, entry in stored.items()}


def _plain(entries: Mapping[str, Landed]) -> dict[str, dict[str, Any]]:
    return {name: asdict(entry) for name, entry in sorted(entries.items())}


def _smaller(target: Path) -> Path:
    return target.with_name(f"{target.name}{SMALLER}")
