"""Reads conns and the rows of other logs from files and folders in archive order, and counts rejected lines and skipped logs."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import polars as pl

from mlids.errors import InputError, MlidsError
from mlids.zeek.bytestream import Problem
from mlids.zeek.log_types import is_log_type, log_type_of
from mlids.zeek.reader import Batch, LogReader, find_logs
from mlids.zeek.tsv import Reject
from mlids.zeek.types import conn_columns


@dataclass
class Reading:
    """The counts of a reading: rows, rejected lines, files, damaged sources, and log types that are not conn."""

    rows: int = 0
    rejected: int = 0
    files: int = 0
    problems: list[Problem] = field(default_factory=list)
    rejects: list[tuple[str, Reject]] = field(default_factory=list)  # the first hundred
    skipped: list[str] = field(default_factory=list)  # log types that were not conn

    def note(self, reader: LogReader) -> None:
        """Add the rejected lines and problems of a reader."""
        self.rejected += reader.report.rejected
        self.problems += reader.report.problems
        room = max(100 - len(self.rejects), 0)
        self.rejects += [(reader.report.source, r) for r in reader.report.take_rejects()[:room]]


def read_conns(paths: Sequence[Path | BinaryIO], reading: Reading, *, sensor: str = "zeek") -> Iterator[pl.DataFrame]:
    """Yield the conns of files and folders in archive order; other logs are skipped, and their types are added to `reading.skipped`.

    A file that cannot be read is added to `reading.problems` when there are others; a single one raises its error.
    Raises InputError when there are no Zeek logs.
    """
    sources: list[Path | BinaryIO] = []
    for path in paths:
        sources += find_logs(path) if isinstance(path, Path) else [path]
    if not sources:
        raise InputError(f"{', '.join(map(str, paths))}: no Zeek logs in it (looked for *.log, *.json, .gz and .zst)")
    for source in sources:
        if isinstance(source, Path) and len(sources) > 1 and _other_log(source, reading):
            continue
        reader = LogReader(source, "standard input" if not isinstance(source, Path) else None, log="conn")
        try:
            for batch in reader:
                if batch.is_type("conn") and {"id.orig_h", "id.resp_h"} & set(batch.frame.columns):
                    yield _with_sensor(conn_columns(batch.frame), sensor)
                else:
                    reader.report.rows -= batch.frame.height
                    if batch.log not in reading.skipped:
                        reading.skipped.append(batch.log)
        except MlidsError as error:
            if len(sources) == 1:
                raise
            reading.problems.append(Problem(reader.report.source, str(error)))
        finally:
            reading.files += 1
            reading.rows += reader.report.rows
            reading.note(reader)


def read_logs(paths: Iterable[tuple[Path, str]], reading: Reading) -> Iterator[tuple[Path, Batch]]:
    """Yield the batches of files, each with the log type it is read as; a file that cannot be read is added to `reading.problems`."""
    for path, log in paths:
        reader = LogReader(path, log=log)
        try:
            for batch in reader:
                yield path, batch
        except MlidsError as error:
            reading.problems.append(Problem(reader.report.source, str(error)))
        finally:
            reading.note(reader)


def logs_of(paths: Iterable[object], wanted: Container[str]) -> list[tuple[Path, str]]:
    """Return the files of the wanted log types in files and folders, in archive order, each with its log type; streams are left out."""
    files = [p for folder in paths if isinstance(folder, Path) for p in find_logs(folder)]
    return [(p, log) for p in files if (log := log_type_of(p.name)) is not None and log in wanted]


def _other_log(path: Path, reading: Reading) -> bool:
    log = log_type_of(path.name)
    if log is None or is_log_type(log, "conn"):
        return log is not None and log != "conn"
    if log not in reading.skipped:
        reading.skipped.append(log)
    return True


def _with_sensor(frame: pl.DataFrame, sensor: str) -> pl.DataFrame:
    if "_system_name" in frame.columns:
        return frame.with_columns(sensor=pl.coalesce("_system_name", pl.lit(sensor)))
    return frame.with_columns(sensor=pl.lit(sensor))
