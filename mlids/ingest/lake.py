"""The lake: `LOG/sensor=NAME/date=YYYY-MM-DD/part-*.parquet`; a day is replaced as a whole."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from pathlib import Path

import polars as pl

from mlids.errors import InputError, StoreError, os_fault
from mlids.ingest.archive import is_safe, safe_name
from mlids.ingest.day_manifest import MANIFEST, DayManifest
from mlids.ingest.day_mark import DayMark
from mlids.ingest.day_swap import day_folders
from mlids.ingest.day_writer import DayWriter, pieces
from mlids.ingest.held_day import HeldDay, hold_day
from mlids.window import parse_day
from mlids.zeek.log_types import log_type_of
from mlids.zeek.prefetch import prefetch_chain
from mlids.zeek.types import ended

logger = logging.getLogger(__name__)


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
    """Typed Zeek logs by log type, sensor and the sensor's local day, in the order in which Zeek wrote them.

    Each method reads one generation of a day, also when the day is replaced meanwhile. What calls several methods, or
    reads a day twice, does so in a `pinned` view.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._pins: dict[Path, HeldDay | None] | None = None

    @contextmanager
    def pinned(self) -> Iterator[Lake]:
        """Give a view in which a day that was read once stays as it was until the block ends, and a missing day stays missing."""
        pins: dict[Path, HeldDay | None] = {}
        view = Lake(self.root)
        view._pins = pins
        try:
            yield view
        finally:
            for day in pins.values():
                if day is not None:
                    day.close()

    @contextmanager
    def _held(self, log: str, sensor: str, day: date | str) -> Iterator[HeldDay | None]:
        path = self.day_path(log, sensor, day)
        if self._pins is not None:
            if path not in self._pins:
                self._pins[path] = hold_day(path)
            yield self._pins[path]
            return
        held = hold_day(path)
        try:
            yield held
        finally:
            if held is not None:
                held.close()

    def day_path(self, log: str, sensor: str, day: date | str) -> Path:
        """Return the folder of a day. Raises UnsafeNameError for a sensor name that is no file name, InputError for no day."""
        return self._sensor_path(log, sensor) / f"date={day if isinstance(day, date) else parse_day(day)}"

    def _sensor_path(self, log: str, sensor: str) -> Path:
        return self.root / log / f"sensor={safe_name(sensor, 'sensor name')}"

    def manifest(self, log: str, sensor: str, day: date | str) -> DayManifest | None:
        """Return the manifest of a day; None when the day is not in the lake. Raises StoreError when it is damaged."""
        with self._held(log, sensor, day) as held:
            return held.manifest() if held is not None else None

    def days(self, log: str, sensor: str) -> list[date]:
        """Return the days of a sensor's log in the lake, oldest first."""
        with day_folders(self._sensor_path(log, sensor)) as folders:
            found = {path: _as_day(path.name.removeprefix("date=")) for path in folders}
            foreign = [path for path, day in found.items() if day is None or not path.is_dir()]
            days = [day for path, day in found.items() if day is not None and (path / MANIFEST).exists()]
        _warn_of_foreign(foreign)
        return sorted(days)

    def sensors(self, log: str = "conn") -> list[str]:
        """Return the sensors that have days of a log."""
        found = {path: path.name.removeprefix("sensor=") for path in (self.root / log).glob("sensor=*")}
        foreign = [path for path, name in found.items() if not is_safe(name) or not path.is_dir()]
        _warn_of_foreign(foreign)
        return sorted(name for path, name in found.items() if path not in foreign)

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
            with self._held(log, sensor, day) as held:
                if held is None:
                    continue
                names = held.parts()
                wanted = max(round((run[1] - run[0]) * len(names)), 1)
                first = min(round(run[0] * len(names)), max(len(names) - wanted, 0))
                for name in names[first : first + wanted]:
                    yield held.read(name, columns).with_columns(sensor=pl.lit(sensor))

    def last_rows(self, log: str, sensor: str, day: date, since: datetime, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield the rows of a day that ended at `since` or later, in their order; only the last parts are read."""
        with self._held(log, sensor, day) as held:
            if held is None:
                return
            wanted: list[str] = []
            for name in reversed(held.parts()):
                wanted.append(name)
                latest = held.read(name, ["ts", "duration"]).select(ended().max()).item()
                if latest is not None and latest < since:
                    break
            for name in reversed(wanted):
                yield held.read(name, columns).filter(ended() >= since).with_columns(sensor=pl.lit(sensor))

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
            held = self._replaceable(log, sensor, day)
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

    def _replaceable(self, log: str, sensor: str, day: date) -> DayManifest | None:
        """Return the manifest of a day; None when there is none, or it is damaged and must be written again."""
        try:
            return self.manifest(log, sensor, day)
        except StoreError:
            return None

    def _write_day(self, log: str, sensor: str, day: date, paths: Sequence[Path], digests: dict[str, str], at_least: int) -> DayManifest:
        target = self.day_path(log, sensor, day)
        try:
            with (
                closing(DayWriter(target, log, sensor, day)) as writer,
                closing(DayMark(target.with_name(f".reading-{target.name}.json"))) as mark,
            ):
                # Two files are read at once, and written one after the other; one at a time when one of them killed an ingest.
                for piece in prefetch_chain([partial(pieces, path, log, mark) for path in paths], workers=1 if mark.deaths else 2):
                    writer.add(piece, digests)
                    if piece.report is not None:
                        mark.end(piece.path)
                manifest = writer.finish(at_least=at_least)
                mark.done()
                return manifest
        except OSError as error:
            raise StoreError(f"{sensor} {day} was not ingested and stays as it was: {os_fault(error, self.root)}") from error


def _as_day(name: str) -> date | None:
    try:
        return parse_day(name)
    except InputError:
        return None


def _warn_of_foreign(paths: Sequence[Path]) -> None:
    for path in paths:
        logger.warning("%r was not made by mlids and is left out of the lake; move it away", str(path))
