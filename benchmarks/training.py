"""A week of big days: training from a lake to a registered version with its threshold; and the nightly reconciliation of a day."""

from __future__ import annotations

import json
import os
import shutil
import sys
from datetime import date, timedelta
from pathlib import Path

from benchmarks.measure import SYNTH, Cost, python, run

Row = tuple[str, float, str, float, str, str]
MLIDS = Path(sys.executable).with_name("mlids")
# Records all rows of a day except every hundredth as scored live.
_RECORD = """
import sys
from datetime import date
from pathlib import Path
import polars as pl
from mlids.features.extract import conn_columns
from mlids.ingest.lake import Lake
from mlids.scoring.checkpoint import SCORED
from mlids.scoring.scored_record import ScoredRecord
record, at = ScoredRecord(Path(sys.argv[1]) / "state" / "hq" / SCORED), 0
for frame in Lake(Path(sys.argv[1]) / "lake").batches("conn", "hq", [date.fromisoformat(sys.argv[2])]):
    frame = conn_columns(frame).with_row_index("nr", at)
    at += frame.height
    record.add(frame.filter(pl.col("nr") % 100 != 0))
    record.store()
"""
FIRST = date(2026, 11, 2)  # a Monday: five working days and a weekend


def speeds(folder: Path, flows: int) -> list[Row]:
    """Return (name, value, unit, goal, note, better) of training on seven days against one day, and of reconciling a day."""
    home = folder / "training-home"
    env = os.environ | {"MLIDS_HOME": str(home)}
    rows = 0
    for n in range(7):
        day = (FIRST + timedelta(days=n)).isoformat()
        rows += int(python(SYNTH, folder / "training-logs", day, flows, "tsv").output.split()[-1])
        run([MLIDS, "ingest", "hq", day, folder / "training-logs" / day], env=env)
        shutil.rmtree(folder / "training-logs")
    week = _train(FIRST, 7, env)
    one = _train(FIRST, 1, env)
    note = f"a limit; {rows:,} conns of seven days, from the lake to a registered version with its threshold"
    python(_RECORD, home, FIRST.isoformat())
    night = run([MLIDS, "reconcile", "hq", FIRST.isoformat(), "--json"], env=env)
    done = json.loads(night.output[night.output.index("{\n") :].partition("\n}")[0] + "}")  # a progress bar comes before
    assert done["missing"] == 0 and done["late"] == -(-done["archived"] // 100), done
    night_note = f"a limit; {done['archived']:,} conns, {done['late']:,} of them scored late, {night.wall_s:.0f} s"
    return [
        ("reconcile-day-peak-rss", night.peak_mb, "MB", 600.0, night_note, "lower"),
        ("training-week", week.wall_s, "s", 300.0, note, "lower"),
        (
            "training-week-peak-rss-vs-a-day",
            week.peak_mb / one.peak_mb,
            "×",
            1.2,
            f"one day: {one.peak_mb:,.0f} MB, {one.wall_s:.0f} s",
            "lower",
        ),
        ("training-week-peak-rss", week.peak_mb, "MB", 1_500.0, "a limit", "lower"),
    ]


def _train(start: date, days: int, env: dict[str, str]) -> Cost:
    return run([MLIDS, "train", "--start", start.isoformat(), "--end", (start + timedelta(days=days)).isoformat()], env=env)
