"""Writes one lake day: parts of Parquet, the quarantine of rejected lines, and the manifest."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from mlids.errors import MlidsError
from mlids.files import sync_path
from mlids.ingest.day_manifest import MANIFEST, DayManifest, SourceEntry
from mlids.ingest.day_mark import ASIDE_FROM, DayMark
from mlids.ingest.day_swap import remove_left_over, swap_in
from mlids.ingest.parquet import read_parquet, write_parquet
from mlids.locks import make_pinned
from mlids.zeek.reader import Batch, LogReader, ReadReport
from mlids.zeek.trial import Trials
from mlids.zeek.tsv import Reject
from mlids.zeek.types import CONN

QUARANTINE = "_quarantine.jsonl"
QUARANTINED_PER_FILE = 10_000
# A part is one block of text; the rows of small files are collected up to this many.
PART_ROWS = 125_000
# Several blocks are in flight at once: two files, each decompressed, parsed and written in threads.
BLOCK_BYTES = 8 << 20


@dataclass(frozen=True)
class Piece:
    """Some rows of a file and the lines rejected before them; the last piece of a file has its report."""

    path: Path
    batch: Batch | None
    rejects: list[Reject]
    report: ReadReport | None = None
    problem: str | None = None


def pieces(path: Path, log: str, mark: DayMark) -> Iterator[Piece]:
    """Yield the rows of a source file of log type `log`, and its rejected lines. An unreadable file is a `problem` of its last piece."""
    deaths = mark.deaths_of(path)
    if deaths >= ASIDE_FROM:
        yield Piece(
            path, None, [], ReadReport(path.name), f"put aside: an ingest died {deaths} times while it read it; repair or remove it"
        )
        return
    trials = Trials(path.name, log) if deaths else None
    mark.begin(path)
    reader = LogReader(path, path.name, log=log, block_bytes=BLOCK_BYTES, trials=trials)
    problem = None
    try:
        for batch in reader:
            yield Piece(path, batch, reader.report.take_rejects())
    except MlidsError as error:
        problem = str(error)
    finally:
        if trials is not None:
            trials.close()
    yield Piece(path, None, reader.report.take_rejects(), reader.report, problem)


class DayWriter:
    """Writes a day to a folder beside `target`, and replaces `target` by it in `finish`."""

    def __init__(self, target: Path, log: str, sensor: str, day: date) -> None:
        self._target = target
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_left_over(target.parent)
        self._folder, self._pin = make_pinned(target.parent, f".new-{target.name}-")
        self._manifest = DayManifest(log, sensor, day.isoformat())
        self._buffer: list[pl.DataFrame] = []
        self._buffered_rows = 0
        self._parts: list[tuple[Path, dict[str, pl.DataType]]] = []
        self._next_row = 0
        self._quarantined = 0
        self._syncing = ThreadPoolExecutor(1)
        self._synced: list[Future[None]] = []
        self._rewritten: set[Path] = set()

    def add(self, piece: Piece, digests: dict[str, str]) -> None:
        """Add a piece of a file. `digests` are the SHA-256 of the files by name."""
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
        rows = pl.int_range(self._next_row, self._next_row + frame.height, dtype=pl.UInt64, eager=True)
        self._next_row += frame.height
        self._buffer.append(frame.with_columns(row_nr=rows, file=pl.lit(source)))
        self._buffered_rows += frame.height
        if self._buffered_rows >= PART_ROWS:
            self._flush()

    def _flush(self) -> None:
        if not self._buffer:
            return
        frame = self._buffer[0] if len(self._buffer) == 1 else pl.concat(self._buffer, how="diagonal_relaxed", rechunk=False)
        self._buffer, self._buffered_rows = [], 0
        path = self._folder / f"part-{len(self._parts):05d}.parquet"
        write_parquet(frame, path)
        self._parts.append((path, dict(frame.schema)))
        self._synced.append(self._syncing.submit(sync_path, path))  # while the next rows are parsed

    def _quarantine(self, rejects: Sequence[Reject], source: str) -> None:
        stored = rejects[: max(QUARANTINED_PER_FILE - self._quarantined, 0)]
        if stored:
            self._quarantined += len(stored)
            with (self._folder / QUARANTINE).open("a", encoding="utf-8") as out:
                for r in stored:
                    out.write(json.dumps({"file": source, "line": r.line, "reason": r.reason, "raw": r.raw}) + "\n")

    def finish(self, *, at_least: int = 0) -> DayManifest:
        """Replace the day and return its manifest. Raises OSError.

        The day stays as it was when no source could be read, or there are fewer rows than `at_least`.
        """
        self._flush()
        self._unify()
        self._manifest.written_at = datetime.now(UTC).isoformat(timespec="seconds")
        unreadable = self._manifest.rows == 0 and all(s.problem for s in self._manifest.sources)
        if unreadable or self._manifest.rows < at_least:
            return self._manifest
        (self._folder / MANIFEST).write_text(json.dumps(asdict(self._manifest), indent=1), encoding="utf-8")
        for synced in self._synced:
            synced.result()
        for path in self._folder.iterdir():
            if path.suffix != ".parquet" or path in self._rewritten:
                sync_path(path)
        swap_in(self._folder, self._target)
        return self._manifest

    def close(self) -> None:
        """Remove what was written and not swapped in."""
        self._syncing.shutdown()
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._pin)

    def _unify(self) -> None:
        """Give all parts of the day one schema: a column that was added at noon is null in the morning."""
        schema: dict[str, pl.DataType] = {}
        for _, part in self._parts:
            for name, dtype in part.items():
                schema[name] = dtype if schema.get(name, dtype) == dtype else pl.String()
        for path, part in self._parts:
            if list(part.items()) != list(schema.items()):
                self._rewritten.add(path)
                columns = [pl.col(n).cast(t, strict=False) if n in part else pl.lit(None, t).alias(n) for n, t in schema.items()]
                write_parquet(read_parquet(path).select(columns), path)
        self._manifest.columns = {n: str(t) for n, t in schema.items()}
