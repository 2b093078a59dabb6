"""Snapshots: which days and hours are read, and what happens to a snapshot that was altered."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from mlids.errors import ModelError, NoRowsError
from mlids.ingest.lake import Lake
from mlids.training.snapshot import SnapshotOptions, _conns, load_snapshot, take_snapshot

DAYS = [date(2026, 11, n) for n in (2, 3, 4)]


def lake_of(folder: Path, site: Path, days: list[date]) -> Lake:
    lake = Lake(folder / "lake")
    for day in days:
        lake.ingest("hq", day, sorted((site / day.isoformat()).glob("conn.*")))
    return lake


def test_a_large_week_is_read_in_stretches_of_hours(synthetic_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlids.ingest.day_writer.PART_ROWS", 200)
    lake = lake_of(tmp_path, synthetic_site, DAYS)
    info = take_snapshot(lake, tmp_path / "snapshots", ["hq"], DAYS, SnapshotOptions(read_rows=4_000))
    assert info.rows_there == lake.rows("conn", ["hq"], DAYS) > 8_000 and 0.6 < info.rows_seen / 4_000 < 1.3
    hours = {h for frame in _conns(lake, "hq", DAYS, 4_000 / info.rows_there) for h in frame["ts"].dt.hour()}
    assert len(hours) > 15, "the stretches of all days together cover most hours"


def test_a_snapshot_that_was_altered_or_is_missing_is_not_loaded(synthetic_site: Path, tmp_path: Path) -> None:
    lake = lake_of(tmp_path, synthetic_site, DAYS[:1])
    info = take_snapshot(lake, tmp_path, ["hq"], DAYS[:1])
    loaded = load_snapshot(tmp_path, info.id)
    assert loaded.info == info and len(loaded.x) == info.rows == len(loaded.label)
    path = tmp_path / info.id / "rows.parquet"
    rows = pl.read_parquet(path)
    rows.with_columns(duration=pl.col("duration") + 1.0).write_parquet(path)
    with pytest.raises(ModelError, match="altered"):
        load_snapshot(tmp_path, info.id)
    with pytest.raises(ModelError, match="not in"):
        load_snapshot(tmp_path, "none")


def test_days_that_are_not_in_the_lake_are_named(tmp_path: Path) -> None:
    with pytest.raises(NoRowsError, match="no conns of hq for 2026-11-02 to 2026-11-04"):
        take_snapshot(Lake(tmp_path), tmp_path, ["hq"], DAYS)
