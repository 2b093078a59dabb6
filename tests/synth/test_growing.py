"""A growing log is written, rotated and archived as by Zeek and zeekctl, also with their faults."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from mlids.synth.growing import GrowingLog, replay
from mlids.synth.site import Site
from mlids.zeek.reader import LogReader


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    return Site(5).day(date(2026, 11, 4), 200)[:100]


def clock(*times: datetime) -> Callable[[], datetime]:
    """Return a clock that shows each time once and then stays at the last."""
    left = list(times)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


def read(path: Path) -> list[str]:
    return [uid for batch in LogReader(path) for uid in batch.frame["uid"]]


@pytest.mark.parametrize("form", ["tsv", "json"])
def test_rows_appended_are_read_back(form: str, rows: pl.DataFrame, tmp_path: Path) -> None:
    log = GrowingLog(tmp_path, form=form).open()
    assert (log.path.read_bytes() == b"") == (form == "json")
    log.append(rows)
    log.append_bytes(log.text(rows[:1])[:30])
    assert read(log.path) == rows["uid"].to_list() and log.rows == 100


def test_rotation_archives_under_the_sensors_local_day(rows: pl.DataFrame, tmp_path: Path) -> None:
    start = datetime(2026, 11, 4, 23, 30, tzinfo=UTC)
    log = GrowingLog(
        tmp_path, zone_name="Europe/Prague", clock=clock(start, start + timedelta(seconds=1), start + timedelta(hours=1))
    ).open()
    log.append(rows)
    target = log.rotate()
    assert target.relative_to(tmp_path).as_posix() == "2026-11-05/conn.00:30:01-01:30:00.log.gz"
    assert read(target) == rows["uid"].to_list() and b"#close\t2026-11-05-01-30-00" in gzip.decompress(target.read_bytes())
    assert read(log.path) == [] and sorted(p.name for p in log.path.parent.iterdir()) == ["conn.log"]


def test_a_late_archive_waits_beside_the_new_log(rows: pl.DataFrame, tmp_path: Path) -> None:
    log = GrowingLog(tmp_path).open()
    log.append(rows)
    target = log.rotate(archive="later")
    assert not target.exists() and len(list(log.path.parent.iterdir())) == 2
    log.archive_waiting()
    assert read(target) == rows["uid"].to_list() and [p.name for p in log.path.parent.iterdir()] == ["conn.log"]


def test_half_an_archive_is_completed_later(rows: pl.DataFrame, tmp_path: Path) -> None:
    log = GrowingLog(tmp_path).open()
    log.append(rows)
    target = log.rotate(archive="half", reopen=False)
    reader = LogReader(target)
    assert sum(batch.frame.height for batch in reader) < 100 and "truncated" in reader.report.problems[0].reason
    assert not log.path.exists()
    log.archive_waiting()
    assert read(target) == rows["uid"].to_list()


def test_copytruncate_leaves_an_empty_log_without_a_header(rows: pl.DataFrame, tmp_path: Path) -> None:
    log = GrowingLog(tmp_path).open()
    log.append(rows)
    log.copy_truncate()
    assert log.path.read_bytes() == b"" and read(log.path.with_name("conn.log.1")) == rows["uid"].to_list()


def test_another_log_type_has_its_own_columns(tmp_path: Path) -> None:
    log = GrowingLog(tmp_path, log="dns").open()
    assert log.path.name == "dns.log" and b"\tquery\t" in log.path.read_bytes()
    log.append(pl.DataFrame({"uid": ["C1"], "query": ["a.example"]}))
    assert next(iter(LogReader(log.path))).frame["query"].to_list() == ["a.example"]


def test_replay_writes_every_row_once_and_sleeps_between(rows: pl.DataFrame, tmp_path: Path) -> None:
    log, slept = GrowingLog(tmp_path).open(), []
    written = list(replay(rows, log, rate=1e9, sleep=slept.append, tick_s=0.01))
    assert written == [100] and slept == [0.01] and read(log.path) == rows["uid"].to_list()
    more = replay(rows, log, rate=1_000, sleep=slept.append, tick_s=0.01)
    assert 0 < next(more) < 100, "at this rate a tick has about ten rows"
