"""The lake: `LOG/sensor=NAME/date=YYYY-MM-DD/part-*.parquet`, each day replaced whole or not at all."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from mlids.errors import InputError, MlidsError, StoreError
from mlids.window import parse_day
from mlids.zeek.log_types import log_type_of
from mlids.zeek.prefetch import prefetch_chain
from mlids.zeek.reader import Batch, LogReader, ReadReport
from mlids.zeek.tsv import Reject
from mlids.zeek.types import CONN, ended

MANIFEST = "_manifest.json"
QUARANTINE = "_quarantine.jsonl"
# A part is one block of text; small hours are gathered up to this.
PART_ROWS = 125_000
# Several blocks are in flight at once: two files, each decompressed, parsed and written in threads.
BLOCK_BYTES = 8 << 20
QUARANTINED_PER_FILE = 10_000
_AT_FDCWD, _EXCHANGE = -100, 2


@dataclass(frozen=True)
class SourceEntry:
    """One source file of a lake day."""

    name: str
    size: int
    sha256: str | None
    rows: int
    rejected: int
    problem: str | None = None


@dataclass
class DayManifest:
    """What a lake day holds and where it came from."""

    log: str
    sensor: str
    date: str
    rows: int = 0
    rejected: int = 0
    sources: list[SourceEntry] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)  # Zeek fields seen
    columns: dict[str, str] = field(default_factory=dict)  # name → polars type
    written_at: str = ""


@dataclass(frozen=True)
class Ingested:
    """Sum over the logs of one sensor's day."""

    sensor: str
    day: str
    rows: int
    rejected: int
    logs: dict[str, int]
    problems: list[str]


class Lake:
    """Typed Zeek logs by type, sensor and the sensor's own day, in the order Zeek wrote them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def day_path(self, log: str, sensor: str, day: date | str) -> Path:
        """Return the folder of a day."""
        return self.root / log / f"sensor={sensor}" / f"date={day}"

    def manifest(self, log: str, sensor: str, day: date | str) -> DayManifest | None:
        """Return the manifest of a day; None when the day is not in the lake."""
        path = self.day_path(log, sensor, day) / MANIFEST
        self._recover(path.parent)
        try:
            held: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise StoreError(f"{path}: damaged: {error}; ingest the day again") from error
        return DayManifest(**(held | {"sources": [SourceEntry(**s) for s in held["sources"]]}))

    def days(self, log: str, sensor: str) -> list[date]:
        """Return the days in the lake."""
        root = self.root / log / f"sensor={sensor}"
        names = [p.name.removeprefix("date=") for p in root.glob("date=*") if (p / MANIFEST).exists()]
        return sorted(parse_day(n) for n in names)

    def sensors(self, log: str = "conn") -> list[str]:
        """Return the sensors that have days of a log."""
        return sorted(p.name.removeprefix("sensor=") for p in (self.root / log).glob("sensor=*"))

    def rows(self, log: str, sensors: Sequence[str], days: Sequence[date]) -> int:
        """Return how many rows of a log these days hold."""
        return sum(m.rows for s in sensors for d in days if (m := self.manifest(log, s, d)) is not None)

    def batches(
        self, log: str, sensor: str, days: Sequence[date], columns: Sequence[str] | None = None, *, run: tuple[float, float] = (0.0, 1.0)
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows of days in their order, part by part; days that are not there are passed over.

        `run` is the stretch of each day that is wanted, as shares of its rows, to the next whole part.
        """
        for day in days:
            paths = sorted(self.day_path(log, sensor, day).glob("part-*.parquet"))
            wanted = max(round((run[1] - run[0]) * len(paths)), 1)
            first = min(round(run[0] * len(paths)), max(len(paths) - wanted, 0))
            for path in paths[first : first + wanted]:
                frame = pl.read_parquet(path, columns=list(columns) if columns else None, hive_partitioning=False)
                yield frame.with_columns(sensor=pl.lit(sensor))

    def last_rows(self, log: str, sensor: str, day: date, since: datetime, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield the rows of a day that ended at `since` or later, in their order; only the last parts are read."""
        wanted: list[Path] = []
        for path in sorted(self.day_path(log, sensor, day).glob("part-*.parquet"), reverse=True):
            wanted.append(path)
            latest = pl.scan_parquet(path, hive_partitioning=False).select(ended().max()).collect().item()
            if latest is not None and latest < since:
                break
        for path in reversed(wanted):
            frame = pl.read_parquet(path, columns=list(columns), hive_partitioning=False).filter(ended() >= since)
            yield frame.with_columns(sensor=pl.lit(sensor))

    def ingest(self, sensor: str, day: date, files: Sequence[Path], digests: dict[str, str] | None = None) -> Ingested:
        """Replace a day of a sensor by the rows of `files`, given in the order they were written.

        One bad file is named in the outcome and does not stop the rest. Raises StoreError when the disk is
        full, InputError when no file could be read at all.
        """
        by_log: dict[str, list[Path]] = {}
        for path in files:
            by_log.setdefault(log_type_of(path.name) or "conn", []).append(path)
        done: dict[str, int] = {}
        rejected, problems = 0, []
        for log, paths in sorted(by_log.items()):
            writer = _DayWriter(self, log, sensor, day)
            try:
                # Two files are read at once, and written in their order.
                for piece in prefetch_chain([partial(_pieces, path, log) for path in paths]):
                    writer.add(piece, digests or {})
                manifest = writer.finish()
            except OSError as error:
                raise StoreError(f"{self.root}: {error.strerror or error}; the day as it was before is untouched") from error
            finally:
                writer.discard()
            problems += [f"{s.name}: {s.problem}" for s in manifest.sources if s.problem]
            if manifest.rows or any(not s.problem for s in manifest.sources):
                done[log] = manifest.rows
            rejected += manifest.rejected
        if not done and problems:
            raise InputError(f"nothing of {sensor} {day} could be read: {problems[0]}")
        return Ingested(sensor, day.isoformat(), sum(done.values()), rejected, done, problems)

    def _recover(self, target: Path) -> None:
        """Finish a swap that was killed between its two renames (only where an exchange is not possible)."""
        old = target.with_name(f".old-{target.name}")
        if old.exists():
            if target.exists():
                shutil.rmtree(old, ignore_errors=True)
            else:
                old.rename(target)


@dataclass(frozen=True)
class _Piece:
    """Some rows of a file and the rejects met on the way; the last piece of a file has its report."""

    path: Path
    batch: Batch | None
    rejects: list[Reject]
    report: ReadReport | None = None
    problem: str | None = None


def _pieces(path: Path, log: str) -> Iterator[_Piece]:
    reader = LogReader(path, path.name, log=log, block_bytes=BLOCK_BYTES)
    problem = None
    try:
        for batch in reader:
            yield _Piece(path, batch, reader.report.take_rejects())
    except MlidsError as error:
        problem = str(error)
    yield _Piece(path, None, reader.report.take_rejects(), reader.report, problem)


class _DayWriter:
    """Writes a day beside its place and swaps it in whole."""

    def __init__(self, lake: Lake, log: str, sensor: str, day: date) -> None:
        self._target = lake.day_path(log, sensor, day)
        lake._recover(self._target)
        self._aside = self._target.with_name(f".new-{self._target.name}-{os.getpid()}")
        shutil.rmtree(self._aside, ignore_errors=True)
        self._aside.mkdir(parents=True)
        for left in self._target.parent.glob(f".new-{self._target.name}-*"):
            if left != self._aside and not Path(f"/proc/{left.name.rsplit('-', 1)[1]}").exists():
                shutil.rmtree(left, ignore_errors=True)  # of a run that was killed
        self._manifest = DayManifest(log, sensor, day.isoformat())
        self._held: list[pl.DataFrame] = []
        self._held_rows = 0
        self._parts: list[tuple[Path, dict[str, pl.DataType]]] = []
        self._row = 0
        self._quarantined = 0
        self._syncing = ThreadPoolExecutor(1)
        self._synced: list[Future[None]] = []
        self._rewritten: set[Path] = set()

    def add(self, piece: _Piece, digests: dict[str, str]) -> None:
        """Take a piece of a file; the last piece of each file carries its report."""
        self._quarantine(piece.rejects, piece.path.name)
        if piece.batch is not None:
            self._batch(piece.batch, piece.path.name)
        if piece.report is None:
            return
        report = piece.report
        problem = piece.problem or (report.problems[0].reason if report.problems else None)
        name, size = piece.path.name, piece.path.stat().st_size
        self._manifest.sources.append(SourceEntry(name, size, digests.get(name), report.rows, report.rejected, problem))
        self._manifest.rows += report.rows
        self._manifest.rejected += report.rejected
        self._manifest.fields += [f for f in report.fields if f not in self._manifest.fields]
        self._quarantined = 0

    def _batch(self, batch: Batch, source: str) -> None:
        frame = batch.frame
        if self._manifest.log == "conn":
            absent = [pl.lit(None, c.dtype).alias(c.name) for c in CONN if c.name not in frame.columns]
            if absent:
                frame = frame.with_columns(absent)
        rows = pl.int_range(self._row, self._row + frame.height, dtype=pl.UInt64, eager=True)
        self._row += frame.height
        self._held.append(frame.with_columns(row_nr=rows, file=pl.lit(source)))
        self._held_rows += frame.height
        if self._held_rows >= PART_ROWS:
            self._flush()

    def _flush(self) -> None:
        if not self._held:
            return
        frame = self._held[0] if len(self._held) == 1 else pl.concat(self._held, how="diagonal_relaxed", rechunk=False)
        self._held, self._held_rows = [], 0
        path = self._aside / f"part-{len(self._parts):05d}.parquet"
        frame.write_parquet(path, compression="zstd", compression_level=1)
        self._parts.append((path, dict(frame.schema)))
        self._synced.append(self._syncing.submit(_sync, path))  # while the next rows are parsed

    def _quarantine(self, rejects: Sequence[Reject], source: str) -> None:
        kept = rejects[: max(QUARANTINED_PER_FILE - self._quarantined, 0)]
        if kept:
            self._quarantined += len(kept)
            with (self._aside / QUARANTINE).open("a", encoding="utf-8") as out:
                for r in kept:
                    out.write(json.dumps({"file": source, "line": r.line, "reason": r.reason, "raw": r.raw}) + "\n")

    def finish(self) -> DayManifest:
        """Swap the day in and return its manifest; a day where no source could be read is left as it was."""
        self._flush()
        self._unify()
        self._manifest.written_at = datetime.now(UTC).isoformat(timespec="seconds")
        if self._manifest.rows == 0 and all(s.problem for s in self._manifest.sources):
            return self._manifest
        (self._aside / MANIFEST).write_text(json.dumps(asdict(self._manifest), indent=1), encoding="utf-8")
        for synced in self._synced:
            synced.result()
        for path in self._aside.iterdir():
            if path.suffix != ".parquet" or path in self._rewritten:
                _sync(path)
        _swap(self._aside, self._target)
        return self._manifest

    def discard(self) -> None:
        self._syncing.shutdown()
        shutil.rmtree(self._aside, ignore_errors=True)

    def _unify(self) -> None:
        """Give all parts of the day one schema: a column added at noon is null in the morning."""
        schema: dict[str, pl.DataType] = {}
        for _, part in self._parts:
            for name, dtype in part.items():
                schema[name] = dtype if schema.get(name, dtype) == dtype else pl.String()
        for path, part in self._parts:
            if list(part.items()) != list(schema.items()):
                self._rewritten.add(path)
                frame = pl.read_parquet(path, hive_partitioning=False)
                frame.select(
                    pl.col(n).cast(t, strict=False) if n in part else pl.lit(None, t).alias(n) for n, t in schema.items()
                ).write_parquet(path, compression="zstd", compression_level=1)
        self._manifest.columns = {n: str(t) for n, t in schema.items()}


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _swap(new: Path, target: Path) -> None:
    """Put `new` in the place of `target` at once; what was there is removed afterwards."""
    if not target.exists():
        new.rename(target)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    exchange = getattr(libc, "renameat2", None)
    if exchange is not None and exchange(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(target), _EXCHANGE) == 0:
        shutil.rmtree(new, ignore_errors=True)
        return
    old = target.with_name(f".old-{target.name}")
    shutil.rmtree(old, ignore_errors=True)
    target.rename(old)
    new.rename(target)
    shutil.rmtree(old, ignore_errors=True)
