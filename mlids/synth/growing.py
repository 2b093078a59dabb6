"""A growing log as Zeek and zeekctl treat it, with everything that can go wrong with one: the scripted side of a simulated sensor."""

from __future__ import annotations

import gzip
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from mlids.window import zone
from mlids.zeek.types import CONN, Column
from mlids.zeek.writer import footer_line, header_lines, json_rows, tsv_rows


def _now() -> datetime:
    return datetime.now(UTC)


class GrowingLog:
    """`LOGS/current/conn.log`, and its archive `LOGS/YYYY-MM-DD/conn.HH:MM:SS-HH:MM:SS.log.gz` in the sensor's zone.

    `clock` is the sensor's own; it may step. `rows` counts what was written.
    """

    def __init__(
        self, logs: Path, *, log: str = "conn", form: str = "tsv", zone_name: str = "UTC", clock: Callable[[], datetime] = _now
    ) -> None:
        self._logs, self._log, self._zone, self._clock = logs, log, zone(zone_name), clock
        self.zone_name = zone_name
        self.form = form
        self.columns: tuple[Column, ...] = CONN
        self.path = logs / "current" / f"{log}.log"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._opened = clock()
        self.rows = 0
        self._waiting: list[tuple[Path, Path]] = []

    def open(self) -> GrowingLog:
        """Begin an empty log: a header for TSV, nothing at all for JSON."""
        last, self._opened = self._opened, self._clock()
        if abs((self._opened - last).total_seconds()) < 1.0:  # a log's name and header know only seconds
            self._opened = last + timedelta(seconds=1)
        self.path.write_bytes(header_lines(self._log, self.columns, self._opened) if self.form == "tsv" else b"")
        return self

    def text(self, rows: pl.DataFrame) -> bytes:
        """Return rows as the log's own lines."""
        names = [c.name for c in self.columns]
        missing = [pl.lit(None, c.dtype).alias(c.name) for c in self.columns if c.name not in rows.columns]
        rows = rows.with_columns(missing).select(names)
        return tsv_rows(rows, self.columns) if self.form == "tsv" else json_rows(rows, self.columns)

    def append(self, rows: pl.DataFrame) -> None:
        """Write whole rows."""
        self.append_bytes(self.text(rows), rows.height)

    def append_bytes(self, data: bytes, rows: int = 0) -> None:
        """Write bytes as they are: half a line, a broken one, anything."""
        with self.path.open("ab") as out:
            out.write(data)
        self.rows += rows

    def _target(self) -> tuple[Path, datetime]:
        """Return where the log at hand belongs in the archive when it ends now, and its end in the sensor's zone."""
        start, end = self._opened.astimezone(self._zone), self._clock().astimezone(self._zone)
        return self._logs / f"{start:%Y-%m-%d}" / f"{self._log}.{start:%H:%M:%S}-{end:%H:%M:%S}.log.gz", end

    def rotate(self, *, archive: str = "at once", reopen: bool = True) -> Path:
        """Rename the log beside itself, archive it, and begin a new one; return where the archive will be.

        `archive` is `at once`, `later` (see `archive_waiting`), or `half`: the gzip is there, but its end is not.
        """
        aside = self.path.with_name(f"{self._log}-{self._opened:%y-%m-%d_%H.%M.%S}.log")
        target, end = self._target()
        self.path.rename(aside)
        if reopen:
            self.open()
        with aside.open("ab") as out:
            if self.form == "tsv":
                out.write(footer_line(end))
        self._waiting.append((aside, target))
        if archive == "at once":
            self.archive_waiting()
        elif archive == "half":
            target.parent.mkdir(parents=True, exist_ok=True)
            data = gzip.compress(aside.read_bytes())
            target.write_bytes(data[: len(data) // 2])
            kept = aside.with_name(f".{aside.name}")
            aside.rename(kept)
            self._waiting[-1] = (kept, target)
        return target

    def archive_waiting(self) -> None:
        """Bring every rotated log into the archive, whole."""
        for aside, target in self._waiting:
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(f".{target.name}")
            with aside.open("rb") as data, gzip.open(part, "wb", compresslevel=1) as out:
                shutil.copyfileobj(data, out)
            part.replace(target)
            aside.unlink()
        self._waiting.clear()

    def copy_truncate(self) -> None:
        """Copy the log beside itself and cut it to nothing, as logrotate's copytruncate does: no header follows."""
        copy = self.path.with_name(f"{self.path.name}.1")
        shutil.copyfile(self.path, copy)
        self._waiting.append((copy, self._target()[0]))
        with self.path.open("r+b") as out:
            out.truncate(0)
        self._opened = max(self._clock(), self._opened + timedelta(seconds=1))


def replay(rows: pl.DataFrame, log: GrowingLog, *, rate: float, sleep: Callable[[float], None], tick_s: float = 0.1) -> Iterator[int]:
    """Write rows into a growing log at `rate` rows a second; yield how many were written after each tick.

    Their times are kept; `sleep` is called with what is left of each tick, so that a caller may stop it.
    """
    began, done = time.monotonic(), 0
    while done < rows.height:
        upto = min(int((time.monotonic() - began + tick_s) * rate), rows.height)
        if upto > done:
            log.append(rows[done:upto])
            done = upto
            yield done
        sleep(tick_s)
