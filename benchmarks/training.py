"""Training on a week of big days: wall time and memory of snapshot, both forests and the cut, from a lake to a registered version."""

from __future__ import annotations

import os
import shutil
import sys
from datetime import date, timedelta
from pathlib import Path

from benchmarks.measure import Cost, python, run

Row = tuple[str, float, str, float, str, str]
MLIDS = Path(sys.executable).with_name("mlids")
FIRST = date(2026, 11, 2)  # a Monday: five working days and a weekend
_MAKE = "import sys; from pathlib import Path; from datetime import date; from mlids.synth.archive import write_days; from mlids.synth.site import Site\nfor d, n, p in write_days(Path(sys.argv[1]), Site(7), [date.fromisoformat(sys.argv[2])], flows=int(sys.argv[3]), dns=False, suffix='.log.gz'): print(n)"


def speeds(folder: Path, flows: int) -> list[Row]:
    """Return (name, value, unit, goal, note, better) of a training on seven days and of one on a single day."""
    home = folder / "training-home"
    env = os.environ | {"MLIDS_HOME": str(home)}
    rows = 0
    for n in range(7):
        day = (FIRST + timedelta(days=n)).isoformat()
        rows += int(python(_MAKE, folder / "training-logs", day, flows).output.split()[-1])
        run([MLIDS, "ingest", "hq", day, folder / "training-logs" / day], env=env)
        shutil.rmtree(folder / "training-logs")
    week = _train(FIRST, 7, env)
    one = _train(FIRST, 1, env)
    note = f"a limit; {rows:,} conns of seven days, from the lake to a registered version with its cut"
    return [
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
