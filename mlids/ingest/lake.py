"""The lake: `LOG/sensor=NAME/date=YYYY-MM-DD/part-*.parquet`; a day is replaced as a whole."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from mlids.errors import InputError, StoreError, os_fault
from mlids.ingest.archive import is_safe, safe_name
from mlids.ingest.day_manifest import MANIFEST, DayManifest, SourceEntry
from mlids.ingest.day_swap import finish_swap
from mlids.ingest.day_writer import DayWriter, pieces
from mlids.parquet import read_parquet
from mlids.window import parse_day
from mlids.zeek.log_types import log_type_of
from mlids.zeek.prefetch import prefetch_chain
from mlids.zeek.types import ended

log_event = logging.getLogger(__name__)


@dataclass
class Ingested:
    """What the lake holds after the ingest of a sensor's day: rows in all and by log type, rejected lines, the problems of files.

    `kept` names the logs that stay as they were, because they would have had fewer rows.
    """

    sensor: str
    day: str
    rows: int
    rejected: int
    logs: dict[str, int]
    problems: list[str]
    kept: list[str] = field(default_factory=list)


class Lake:
    """Typed Zeek logs by log type, sensor and the sensor's local day, in the order in which Zeek wrote them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def day_path(self, log: str, sensor: str, day: date | str) -> Path:
        """Return the folder of a day. Raises UnsafeNameError for a sensor name that is no file name, InputError for no day."""
        return self._sensor_path(log, sensor) / f"date={day if isinstance(day, date) else parse_day(day)}"

    def _sensor_path(self, log: str, sensor: str) -> Path:
        return self.root / log / f"sensor={safe_name(sensor, 'sensor name')}"

    def manifest(self, log: str, sensor: str, day: date | str) -> DayManifest | None:
        """Return the manifest of a day; None when the day is not in the lake. Raises StoreError when it is damaged."""
        path = self.day_path(log, sensor, day) / MANIFEST
        try:
            finish_swap(path.parent)
            stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return DayManifest(**(stored | {"sources": [SourceEntry(**s) for s in stored["sources"]]}))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(os_fault(error, path)) from error
        except (ValueError, TypeError, KeyError) as error:
            raise StoreError(f"{path}: damaged, or not written by mlids: {error}; ingest the day again") from error

    def days(self, log: str, sensor: str) -> list[date]:
        """Return the days of a sensor's log in the lake, oldest first."""
        root = self._sensor_path(log, sensor)
        found = [(p, _as_day(p.name.removeprefix("date="))) for p in _folders(root, "date=*")]
        for path, day in found:
            if day is None:
                log_event.warning("%s is no day of the lake and is left out; move it away", path)
        return sorted(day for path, day in found if day is not None and (path / MANIFEST).exists())

    def sensors(self, log: str = "conn") -> list[str]:
        """Return the sensors that have days of a log."""
        found = []
        for path in _folders(self.root / log, "sensor=*"):
            name = path.name.removeprefix("sensor=")
            if is_safe(name):
                found.append(name)
            else:
                log_event.warning("%r is no sensor of the lake and is left out; move it away", str(path))
        return sorted(found)

    def rows(self, log: str, sensors: Sequence[str], days: Sequence[date]) -> int:
        """Return how many rows of a log these days hold."""
        return sum(m.rows for s in sensors for d in days if (m := self.manifest(log, s, d)) is not None)

    def batches(
        self, log: str, sensor: str, days: Sequence[date], columns: Sequence[str] | None = None, *, run: tuple[float, float] = (0.0, 1.0)
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows of days in their order, part by part; missing days are skipped.

        `run` is the stretch of each day to read, as shares of its parts, rounded to whole parts.
        """
        for day in days:
            paths = sorted(self.day_path(log, sensor, day).glob("part-*.parquet"))
            wanted = max(round((run[1] - run[0]) * len(paths)), 1)
            first = min(round(run[0] * len(paths)), max(len(paths) - wanted, 0))
            for path in paths[first : first + wanted]:
                frame = read_parquet(path, columns)
                yield frame.with_columns(sensor=pl.lit(sensor))

    def last_rows(self, log: str, sensor: str, day: date, since: datetime, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield the rows of a day that ended at `since` or later, in their order; only the last parts are read."""
        wanted: list[Path] = []
        for path in sorted(self.day_path(log, sensor, day).glob("part-*.parquet"), reverse=True):
            wanted.append(path)
            latest = read_parquet(path, ["ts", "duration"]).select(ended().max()).item()
            if latest is not None and latest < since:
                break
        for path in reversed(wanted):
            frame = read_parquet(path, columns).filter(ended() >= since)
            yield frame.with_columns(sensor=pl.lit(sensor))

    def ingest(
        self, sensor: str, day: date, files: Sequence[Path], digests: dict[str, str] | None = None, *, accept_shrunk: bool = False
    ) -> Ingested:
        """Replace a day of a sensor by the rows of `files`, which are given in the order in which they were written.

        A log that would have fewer rows than the lake holds stays as it is, unless `accept_shrunk`. A file that cannot be
        read is named in `problems`, and the others are ingested. Raises StoreError when the disk is full, InputError when
        no file could be read at all.
        """
        by_log: dict[str, list[Path]] = {}
        for path in files:
            by_log.setdefault(log_type_of(path.name) or "conn", []).append(path)
        out, readable = Ingested(sensor, day.isoformat(), 0, 0, {}, []), False
        for log, paths in sorted(by_log.items()):
            held = self._held(log, sensor, day)
            at_least = 0 if held is None or accept_shrunk else held.rows
            manifest = self._write_day(log, sensor, day, paths, digests or {}, at_least)
            out.problems.extend(f"{s.name}: {s.problem}" for s in manifest.sources if s.problem)
            readable |= manifest.rows > 0 or any(not s.problem for s in manifest.sources)
            if held is not None and manifest.rows < at_least:
                out.problems.append(
                    f"{log}: {manifest.rows:,} rows could be read, the lake holds {held.rows:,}: these stay; to replace them by fewer: "
                    f"mlids ingest {sensor} {day} --accept-shrunk"
                )
                out.kept.append(log)
                manifest = held
            if manifest.rows or any(not s.problem for s in manifest.sources):
                out.logs[log] = manifest.rows
            out.rejected += manifest.rejected
        if not readable and out.problems:
            raise InputError(f"nothing of {sensor} {day} could be read: {out.problems[0]}")
        out.rows = sum(out.logs.values())
        return out

    def _held(self, log: str, sensor: str, day: date) -> DayManifest | None:
        """Return the manifest of a day; None when there is none, or it is damaged and must be written again."""
        try:
            return self.manifest(log, sensor, day)
        except StoreError:
            return None

    def _write_day(self, log: str, sensor: str, day: date, paths: Sequence[Path], digests: dict[str, str], at_least: int) -> DayManifest:
        writer = None
        try:
            writer = DayWriter(self.day_path(log, sensor, day), log, sensor, day)
            # Two files are read at once, and written one after the other.
            for piece in prefetch_chain([partial(pieces, path, log) for path in paths]):
                writer.add(piece, digests)
            return writer.finish(at_least=at_least)
        except OSError as error:
            raise StoreError(f"{sensor} {day} was not ingested and stays as it was: {os_fault(error, self.root)}") from error
        finally:
            if writer is not None:
                writer.discard()


def _as_day(name: str) -> date | None:
    try:
        return parse_day(name)
    except InputError:
        return None


def _folders(root: Path, pattern: str) -> list[Path]:
    """Return the folders that match; a file of such a name is foreign and is named in the log."""
    found = list(root.glob(pattern))
    for path in found:
        if not path.is_dir():
            log_event.warning("%s is a file where the lake has folders, and is left out; move it away", path)
    return [path for path in found if path.is_dir()]
