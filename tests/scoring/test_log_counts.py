"""Rows of a log are counted for the day on which it was opened, and stay counted over restarts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from mlids.scoring.log_counts import DAYS_KEPT, FACTS, TABLES, LogCounts, read_counts
from mlids.scoring.tables_file import write_tables
from mlids.zeek.reader import Batch

ZONE = ZoneInfo("Europe/Prague")


def batch(rows: int, ts: datetime, opened: str | None = None) -> Batch:
    return Batch("dns", pl.DataFrame({"ts": [ts] * rows}), "dns.log", opened)


def test_rows_after_midnight_count_for_the_log_that_was_opened_before() -> None:
    counts = LogCounts()
    counts.add(batch(3, datetime(2026, 11, 6, 22, 59, tzinfo=UTC), "2026-11-06-23-00-00"), "a", ZONE)
    counts.add(batch(2, datetime(2026, 11, 6, 23, 5, tzinfo=UTC), "2026-11-06-23-00-00"), "a", ZONE)
    counts.add(batch(4, datetime(2026, 11, 6, 22, 58, tzinfo=UTC), "2026-11-07-00-00-00"), "b", ZONE)
    assert counts.days == {"2026-11-06": 5, "2026-11-07": 4} and counts.rows == 9


def test_json_has_no_time_of_opening_and_its_first_rows_say_the_day() -> None:
    counts = LogCounts()
    counts.add(batch(1, datetime(2026, 11, 6, 23, 5, tzinfo=UTC)), "a", ZONE)
    counts.add(batch(1, datetime(2026, 11, 8, 23, 5, tzinfo=UTC)), "a", ZONE)
    assert counts.days == {"2026-11-07": 2}


def test_days_are_bounded() -> None:
    counts = LogCounts()
    for n in range(1, 29):
        counts.add(batch(1, datetime(2026, 11, n, tzinfo=UTC), f"2026-11-{n:02}-00-00-00"), str(n), ZONE)
    assert len(counts.days) == DAYS_KEPT and counts.rows == 28 and max(counts.days) == "2026-11-28"


def test_counts_are_read_from_the_state_of_a_sensor(tmp_path: Path) -> None:
    assert read_counts(tmp_path) == {}
    (tmp_path / "logs").mkdir()
    counts = LogCounts(rows=7, days={"2026-11-06": 7}, opened=("a", "2026-11-06"))
    facts = {"counts": {"dns": counts.state()}}
    write_tables(tmp_path / "logs" / TABLES, {FACTS: pl.DataFrame({"json": [json.dumps(facts)]}), "other": pl.DataFrame({"x": [1]})})
    assert read_counts(tmp_path) == {"dns": {"2026-11-06": 7}}
    assert LogCounts.of(json.loads(json.dumps(counts.state()))) == counts
    (tmp_path / "logs" / TABLES).write_bytes(b"PK damaged")
    assert read_counts(tmp_path) == {}
