"""A growing log, written, rotated and archived as Zeek and zeekctl do it, also with their faults: half lines, late or half archives."""

from __future__ import annotations

import gzip
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from mlids.window import zone
from mlids.zeek.log_types import LOG_COLUMNS
from mlids.zeek.types import Column
from mlids.zeek.writer import footer_line, header_lines, json_rows, tsv_rows


def _now() -> datetime:
    return datetime.now(UTC)


class GrowingLog:
    """`LOGS/current/LOG.log`, and its archive `LOGS/YYYY-MM-DD/LOG.HH:MM:SS-HH:MM:SS.log.gz` in the sensor's time zone.

    `clock` is the sensor's clock, which may step. `rows` is the number of rows written.
    """

    def __init__(
        self, logs: Path, *, log: str = "conn", form: str = "tsv", zone_name: str = "UTC", clock: Callable[[], datetime] = _now
    ) -> None:
        self._logs, self._log, self._zone, self._clock = logs, log, zone(zone_name), clock
        self.zone_name = zone_name
        self.form = form
        self.columns: tuple[Column, ...] = LOG_COLUMNS[log]
        self.path = logs / "current" / f"{log}.log"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._opened = clock()
        self.rows = 0
        self._waiting: list[tuple[Path, Path]] = []

    def open(self) -> GrowingLog:
        """Start an empty log: the header for TSV, no bytes for JSON."""
        last, self._opened = self._opened, self._clock()
        if abs((self._opened - last).total_seconds()) < 1.0:  # names and headers of logs hold whole seconds
            self._opened = last + timedelta(seconds=1)
        self.path.write_bytes(header_lines(self._log, self.columns, self._opened) if self.form == "tsv" else b"")
        return self

    def text(self, rows: pl.DataFrame) -> bytes:
        """Return rows as lines in the log's format; missing columns are unset."""
        names = [c.name for c in self.columns]
        missing = [pl.lit(None, c.dtype).alias(c.name) for c in self.columns if c.name not in rows.columns]
        rows = rows.with_columns(missing).select(names)
        return tsv_rows(rows, self.columns) if self.form == "tsv" else json_rows(rows, self.columns)

    def append(self, rows: pl.DataFrame) -> None:
        """Append whole rows."""
        self.append_bytes(self.text(rows), rows.height)

    def append_bytes(self, data: bytes, rows: int = 0) -> None:
        """Append raw bytes, which may be half a line or a malformed one; `rows` is how many to count."""
        with self.path.open("ab") as out:
            out.write(data)
        self.rows += rows

    def _target(self) -> tuple[Path, datetime]:
        """Return the archive path of the current log if it is rotated now, and that time in the sensor's zone."""
        start, end = self._opened.astimezone(self._zone), self._clock().astimezone(self._zone)
        return self._logs / f"{start:%Y-%m-%d}" / f"{self._log}.{start:%H:%M:%S}-{end:%H:%M:%S}.log.gz", end

    def rotate(self, *, archive: str = "at once", reopen: bool = True) -> Path:
        """Rename the log, archive it, and start a new one; return the path of the archive.

        `archive` is `at once`, `later` (see `archive_waiting`), or `half`: only the first half of the gzip file is written.
        """
        rotated = self.path.with_name(f"{self._log}-{self._opened:%y-%m-%d_%H.%M.%S}.log")
        target, end = self._target()
        self.path.rename(rotated)
        if reopen:
            self.open()
        with rotated.open("ab") as out:
            if self.form == "tsv":
                out.write(footer_line(end))
        self._waiting.append((rotated, target))
        if archive == "at once":
            self.archive_waiting()
        elif archive == "half":
            target.parent.mkdir(parents=True, exist_ok=True)
            data = gzip.compress(rotated.read_bytes())
            target.write_bytes(data[: len(data) // 2])
            hidden = rotated.with_name(f".{rotated.name}")
            rotated.rename(hidden)
            self._waiting[-1] = (hidden, target)
        return target

    def archive_waiting(self) -> None:
        """Archive every rotated log that is waiting, completely."""
        for rotated, target in self._waiting:
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(f".{target.name}")
            with rotated.open("rb") as data, gzip.open(part, "wb", compresslevel=1) as out:
                shutil.copyfileobj(data, out)
            part.replace(target)
            rotated.unlink()
        self._waiting.clear()

    def copy_truncate(self) -> None:
        """Copy the log and truncate it, as logrotate's copytruncate does: the new log has no header."""
        copy = self.path.with_name(f"{self.path.name}.1")
        shutil.copyfile(self.path, copy)
        self._waiting.append((copy, self._target()[0]))
        with self.path.open("r+b") as out:
            out.truncate(0)
        self._opened = max(self._clock(), self._opened + timedelta(seconds=1))


class GrowingLogs:
    """Growing logs of one sensor, rotated together. conn.log is there from the beginning, another one from its first row on.

    Logs that an earlier run left in the folder are removed.
    """

    def __init__(self, logs: Path, *, form: str = "tsv", zone_name: str = "UTC", clock: Callable[[], datetime] = _now) -> None:
        self._clock, self._at = clock, clock()  # one time of opening for all
        self._folder, self._form, self._zone_name = logs, form, zone_name
        for log in LOG_COLUMNS:
            (logs / "current" / f"{log}.log").unlink(missing_ok=True)
        self._logs = {"conn": self._make("conn").open()}
        self._open = {"conn"}

    def _make(self, log: str) -> GrowingLog:
        return GrowingLog(self._folder, log=log, form=self._form, zone_name=self._zone_name, clock=lambda: self._at)

    def append(self, rows: Mapping[str, pl.DataFrame]) -> None:
        """Append whole rows, by log."""
        for log, frame in rows.items():
            if frame.is_empty():
                continue
            if log not in self._logs:
                self._logs[log] = self._make(log)
            if log not in self._open:
                self._logs[log].open()
                self._open.add(log)
            self._logs[log].append(frame)

    def rotate(self) -> dict[str, Path]:
        """Archive every log that is open, and start a new conn.log; return the paths of the archives, by log."""
        self._at = self._clock()
        archived = {log: self._logs[log].rotate(reopen=log == "conn") for log in sorted(self._open)}
        self._open = {"conn"}
        return archived


def replay(rows: pl.DataFrame, log: GrowingLog, *, rate: float, sleep: Callable[[float], None], tick_s: float = 0.1) -> Iterator[int]:
    """Append rows to a growing log at `rate` rows a second; yield the number written so far, after each tick with new rows.

    `ts` of the rows is not changed. `sleep` is called with `tick_s` after each tick; a caller may end the replay there.
    """
    began, done = time.monotonic(), 0
    while done < rows.height:
        upto = min(int((time.monotonic() - began + tick_s) * rate), rows.height)
        if upto > done:
            log.append(rows[done:upto])
            done = upto
            yield done
        sleep(tick_s)
