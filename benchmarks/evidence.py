"""Speed of the collectors of evidence, per CPU second: of each log by itself, in the reader's batches and in a live scorer's."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path

import polars as pl

from mlids.evidence.collecting import Collectors
from mlids.synth.archive import write_days
from mlids.synth.site import Site
from mlids.zeek.log_types import log_type_of
from mlids.zeek.reader import LogReader, find_logs

Row = tuple[str, float, str, float, str, str]
DAY = date(2026, 11, 4)
GOAL = 150_000
# Logs with fewer rows show what a batch costs, and not what a row does.
LEAST_ROWS = 10_000
LIVE_ROWS = 512
# A live scorer stores the state every 20 s: so many rows at 1,000 a second of one log.
STORED_ROWS = 20_000
REAL = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
CAPTURES = ("zed", "more/benign-day")

Batches = Mapping[str, list[pl.DataFrame]]


def speeds(folder: Path, flows: int) -> list[Row]:
    """Return (name, value, unit, goal, note, better) of each log of a synthetic day of `flows` conns, and of real captures if they are there."""
    list(write_days(folder / "evidence", Site(7), [DAY], flows=flows, intrusions_per_day=2.0))
    out = [row for log, batches in _read(folder / "evidence").items() for row in _log_rows(log, batches)]
    data = Path(os.environ.get("MLIDS_BENCH_DATA", REAL))
    for capture in CAPTURES:
        if (data / capture).is_dir():
            out += [row for log, batches in _read(data / capture).items() for row in _log_rows(log, batches, Path(capture).name)]
    return out


def _read(folder: Path) -> Batches:
    """Return the batches of each log of a folder that collectors read, as the reader gives them; of two forms of a log the TSV one."""
    wanted, found = Collectors.fields(), defaultdict(list)
    paths = [p for p in find_logs(folder) if log_type_of(p.name) in wanted]
    tsv = {log_type_of(p.name) for p in paths if ".json" not in p.name}
    for path in paths:
        log = log_type_of(path.name)
        if ".json" not in path.name or log not in tsv:
            found[log] += [b.frame for b in LogReader(path, log=log) if b.frame.height]
    return {log: batches for log, batches in sorted(found.items()) if sum(b.height for b in batches) >= LEAST_ROWS}


def _log_rows(log: str, batches: list[pl.DataFrame], capture: str = "") -> list[Row]:
    name, of = f"evidence-{capture}-{log}" if capture else f"evidence-{log}", f"of {capture}" if capture else "of a synthetic day"
    live = [b.slice(start, LIVE_ROWS) for b in batches for start in range(0, b.height, LIVE_ROWS)]
    note = f"a limit; {sum(b.height for b in batches):,} rows {of}"
    return [
        (name, max(_speed(log, batches) for _ in range(2)), "rows/CPU s", GOAL, f"{note}, {len(batches)} batches", "higher"),
        (
            f"{name}-live",
            _speed(log, live, STORED_ROWS),
            "rows/CPU s",
            GOAL,
            f"{note}, 512 at once, stored every {STORED_ROWS:,}",
            "higher",
        ),
    ]


def _speed(log: str, batches: Iterable[pl.DataFrame], stored: int | None = None) -> float:
    """Return the rows per CPU second that all collectors of a log take together; `stored` is after how many rows the state is asked for."""
    collectors, rows, since = Collectors(("10.0.0.0/8", "192.168.0.0/16", "172.16.0.0/12"), one_day=True), 0, 0
    began = time.process_time()
    for batch in batches:
        collectors.add(log, batch)
        rows, since = rows + batch.height, since + batch.height
        if stored is not None and since >= stored:
            collectors.state()
            since = 0
    collectors.state()
    took = time.process_time() - began
    if collectors.problems:
        raise RuntimeError(collectors.problems[0])
    return rows / took
