"""The gap ledger: row keys, the record of what was scored live, and late scoring that merges into live alerts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlids import pipeline
from mlids.alerts.stores.ledger import LedgerDay
from mlids.errors import StoreError
from mlids.ingest.archive import hour_of
from mlids.scoring.late import reconcile
from mlids.scoring.scored_record import HOUR_S, ScoredRecord, row_keys
from mlids.settings import load_settings
from mlids.zeek.reader import LogReader
from mlids.zeek.types import conn_columns
from tests.conftest import CONN_HEADER, audit_production, conn_line

DAY = "2026-11-04"


def conns(n: int, start: datetime = datetime(2026, 11, 4, 10, tzinfo=UTC), step_s: float = 10.0) -> pl.DataFrame:
    stamps = [start + timedelta(seconds=step_s * i) for i in range(n)]
    frame = pl.DataFrame({"uid": [f"C{i:017d}" for i in range(n)], "ts": stamps}, schema_overrides={"ts": pl.Datetime("us", "UTC")})
    return conn_columns(frame)


def test_keys_are_the_same_however_a_row_was_read(tmp_path: Path) -> None:
    tsv = tmp_path / "conn.log"
    tsv.write_text(CONN_HEADER + conn_line("CHhAvVGS1DHFjwGM9", "1713484800.000001", duration="7200.5") + conn_line("-", duration="-"))
    as_json = tmp_path / "conn.json"
    as_json.write_text(
        '{"ts":1713484800.000001,"uid":"CHhAvVGS1DHFjwGM9","duration":7200.5,"conn_state":"SF"}\n{"ts":1713484800.000001,"conn_state":"SF"}\n'
    )
    both = [row_keys(conn_columns(pl.concat(b.frame for b in LogReader(path)))) for path in (tsv, as_json)]
    np.testing.assert_array_equal(both[0][0], both[1][0])
    np.testing.assert_array_equal(both[0][1], both[1][1])
    assert both[0][1].tolist() == [1713484800 + 2 * HOUR_S, 1713484800] and len(set(both[0][0].tolist())) == 2
    # Fixed for ever: a record outlives the version that wrote it.
    assert both[0][0].tolist() == [10694152462673779135, 9379992722202857573]


def test_keys_differ_where_rows_do() -> None:
    many = conns(200_000, step_s=0.001)
    keys, _ = row_keys(many)
    assert len(np.unique(keys)) == many.height
    later, _ = row_keys(many.with_columns(pl.col("ts") + pl.duration(microseconds=1)))
    assert not np.isin(later, keys).any()


def test_the_record_survives_kills_and_knows_its_rows(tmp_path: Path) -> None:
    record = ScoredRecord(tmp_path / "scored")
    some = conns(1_000)
    record.add(some[:600])
    record.store()
    record.add(some[600:700])
    record.forget()  # a restart from the last checkpoint
    path = next((tmp_path / "scored").glob("*.keys"))
    path.write_bytes(path.read_bytes() + b"abc")  # half a key of a writer that was killed
    again = ScoredRecord(tmp_path / "scored")
    again.add(some[500:650])
    again.store()
    held = ScoredRecord(tmp_path / "scored").holds(*row_keys(some))
    assert held[:650].all() and not held[650:].any()
    assert len(list((tmp_path / "scored").glob("*.keys"))) == 2
    again.prune(datetime(2026, 11, 4, 11, tzinfo=UTC))
    assert [p.stem for p in (tmp_path / "scored").glob("*.keys")] == ["2026-11-04T11"]


def test_a_record_that_cannot_be_written_is_an_error_and_keeps_its_rows(tmp_path: Path) -> None:
    (tmp_path / "scored").write_text("a file where the folder should be")
    record = ScoredRecord(tmp_path / "scored")
    record.add(conns(10))
    with pytest.raises(StoreError, match="scored"):
        record.store()
    assert record.pending_rows == 10


def test_without_a_model_the_gap_is_told_and_nothing_is_scored(tmp_path: Path) -> None:
    record = ScoredRecord(tmp_path / "scored")
    rows = conns(720)
    record.add(rows[:400])
    record.store()
    done = reconcile(lambda columns: [rows[:300].select(columns), rows[300:].select(columns)], record, None)
    assert [(h.archived, h.live, h.late, h.missing) for h in done.hours] == [(360, 360, 0, 0), (360, 40, 0, 320)]
    assert done.alerts == [] and done.late == 0


@pytest.fixture
def scored_home(trained_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    monkeypatch.setenv("MLIDS_HOME", str(trained_home))
    monkeypatch.setenv("MLIDS_DATABASE_URL", f"sqlite:///{tmp_path}/mlids.db")
    audit_production()
    yield trained_home
    import shutil

    shutil.rmtree(trained_home / "state", ignore_errors=True)


def test_late_rows_merge_into_live_alerts_and_a_second_run_changes_nothing(scored_home: Path) -> None:
    settings = load_settings()
    stores = pipeline.open_stores(settings)
    stores.ledger.put_day(LedgerDay("hq", DAY, archived=1, rejected=0, files=1))
    whole = pipeline.reconcile("hq", DAY)
    assert whole["late"] == whole["archived"] > 3_000 and whole["live"] == whole["missing"] == 0
    wanted = {a["id"]: a["mlids"]["count"] for a in stores.alerts.latest(limit=10_000)}
    assert len(wanted) > 3 and {a["origin"] for a in stores.alerts.latest(limit=10_000)} == {"late"}
    assert pipeline.reconcile("hq", DAY) == whole
    assert {a["id"]: a["mlids"]["count"] for a in stores.alerts.latest(limit=10_000)} == wanted

    # The first two thirds of the day are scored live, with the same alerts; the night does the rest.
    from mlids.alerts.aggregation import AlertAggregator
    from mlids.detectors.verdict import judge
    from mlids.features.extract import Extractor

    model = pipeline.open_registry(settings).load("production")
    record = ScoredRecord(settings.state / "hq" / "scored")
    rows = pl.concat(pipeline.open_lake(settings).batches("conn", "hq", [datetime(2026, 11, 4).date()]))
    two_thirds = conn_columns(rows[: 2 * rows.height // 3])
    extractor, aggregator = Extractor(settings.networks), AlertAggregator()
    x = extractor.features(two_thirds)
    live = aggregator.add(model, two_thirds, x, judge(model, x))
    stores.alerts.put(live, "live")
    record.add(two_thirds)
    record.store()
    for _ in range(2):
        done = pipeline.reconcile("hq", DAY)
        assert done["live"] == two_thirds.height and done["late"] == rows.height - two_thirds.height and done["missing"] == 0
        assert {a["id"]: a["mlids"]["count"] for a in stores.alerts.latest(limit=10_000)} == wanted
    hours = stores.ledger.hours(datetime(2026, 11, 4).date(), datetime(2026, 11, 5).date())
    assert sum(h["archived"] for h in hours) == rows.height and all(h["missing"] == 0 for h in hours)
    day = stores.ledger.days()[0]
    assert (day["live"], day["late"], day["missing"]) == (done["live"], done["late"], 0)


def test_the_first_hour_knows_the_last_hour_of_the_day_before(scored_home: Path) -> None:
    lake = pipeline.open_lake(load_settings())
    since = datetime(2026, 11, 4, 23, tzinfo=UTC)
    last = pl.concat(lake.last_rows("conn", "hq", since.date(), since, ["ts", "duration", "uid"]))
    everything = pl.concat(lake.batches("conn", "hq", [since.date()]))
    ended = everything["ts"] + pl.select(pl.duration(seconds=pl.lit(everything["duration"].fill_null(0.0)))).to_series()
    assert last.height == int((ended >= since).sum()) > 0
    assert list(lake.last_rows("conn", "hq", datetime(2020, 1, 1).date(), since, ["ts"])) == []


@pytest.mark.parametrize(
    ("name", "zone", "start", "hour"),
    [
        ("conn.13:00:00-14:00:00.log.gz", "UTC", datetime(2026, 11, 4, tzinfo=UTC), "2026-11-04T13"),
        ("conn.02:00:00-03:00:00.log.gz", "Europe/Prague", datetime(2026, 10, 24, 22, tzinfo=UTC), "2026-10-25T00"),
        ("conn.03:00:00-04:00:00.log.gz", "Europe/Prague", datetime(2026, 10, 24, 22, tzinfo=UTC), "2026-10-25T02"),
        ("conn.log", "UTC", datetime(2026, 11, 4, tzinfo=UTC), "2026-11-04T00"),
    ],
)
def test_the_hour_of_an_archived_file(name: str, zone: str, start: datetime, hour: str) -> None:
    assert f"{hour_of(name, start, zone):%Y-%m-%dT%H}" == hour
