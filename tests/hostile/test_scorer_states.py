"""One row, or one scorer that fails again and again, cannot stop a sensor while everything says that it is well."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mlids import pipeline
from mlids.errors import SourceError
from mlids.ingest.read_mark import ASIDE_FROM, SMALL_BYTES, SMALL_FROM, Place, ReadMark, put_aside
from mlids.pipeline.health import MetricsServer, is_well
from mlids.scoring.batch import ScoreOptions, score_logs
from mlids.scoring.status import GRACE_S, LOOP_FAILURES, ScorerState, Status
from mlids.settings import load_settings
from mlids.synth.growing import GrowingLog
from tests.faults.field import traffic
from tests.support.serving import serve_until

attack = pytest.mark.attack(
    row=2,
    attack="a row with a time near year 9999 and a duration overflows a datetime, and the scorer fails at each start",
    held="`ts` and `duration` have ranges (`MAX_TS_S`, `MAX_DURATION_S`); three failures in 5 minutes are not well for /healthz, doctor, live_watch and metrics (`LOOP_FAILURES`); a piece that fails 4 times is put aside",
)

# The first two are rejected, the last two are read: at the ends of both ranges, and as milliseconds.
OVERFLOWS = ["99999999999.9\t864000.0", "99999999999.9\t-", "4294967295.9\t4294967296.0", "253402300799.999\t864000.0"]


@pytest.fixture
def log(serving_home: Path, tmp_path: Path) -> GrowingLog:
    """A sensor with a growing log, in a home of its own with a model in production."""
    (serving_home / "sensors.toml").write_text(
        f'[[sensor]]\nname = "hq"\nkind = "folder"\nlogs = "{tmp_path / "logs"}"\ntypes = ["conn"]\n'
    )
    return GrowingLog(tmp_path / "logs").open()


def scored() -> int:
    try:
        found = json.loads((load_settings().state / "hq" / "status.json").read_text())
    except FileNotFoundError:
        return 0
    return int(found["rows"] + found["rejected"])


@attack
def test_rows_that_overflow_a_time_stop_nothing(log: GrowingLog, monkeypatch: pytest.MonkeyPatch, happened: Callable[[str], None]) -> None:
    """Live, ingest, late scoring and batch scoring each pass them."""
    rows = traffic(datetime.now(UTC))
    log.append(rows[:300])
    for n, cells in enumerate(OVERFLOWS):
        ts, duration = cells.split("\t")
        line = log.text(rows[:1].with_columns(uid=pl.lit(f"COVERFLOW{n}"))).decode().rstrip("\n").split("\t")
        at = [c.name for c in log.columns].index("duration")
        line[0], line[at] = ts, duration
        log.append_bytes(("\t".join(line) + "\n").encode(), 1)
    log.append(rows[300:])
    done = serve_until(lambda: scored() == log.rows, lambda: pipeline.score_live("hq"), monkeypatch)
    assert (done["rows"], done["rejected"]) == (rows.height + 2, 2) and done["failed_at"] == [], (
        rows.height,
        log.rows,
        log.path.read_bytes().count(b"\n"),
    )
    file = log.rotate(reopen=False)
    pipeline.pull("hq", file.parent.name)
    built = pipeline.build_lake("hq", file.parent.name)
    night = pipeline.reconcile("hq", file.parent.name)
    assert (built["rows"], built["rejected"]) == (rows.height + 2, 2)
    assert night["live"] + night["late"] + night["rejected"] == log.rows and night["missing"] == 0
    reading = score_logs([file], ScoreOptions()).reading
    assert reading.rejected == 2 and reading.rows == rows.height + 2
    problems = [p for r in pipeline.open_stores(load_settings()).ledger.days() for p in r["problems"]]
    assert any("2 conns ended outside this day" in p and "2106-02" in p for p in problems), problems
    happened("two of four rows rejected with a reason, two read; live, ingest, late and batch scoring go on")


def test_conns_of_a_clock_that_leapt_are_named_in_the_ledger(log: GrowingLog, tmp_path: Path) -> None:
    day = date(2026, 11, 20)
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    rows = traffic(noon)
    log.append(pl.concat([rows, rows[-3:].with_columns(pl.col("ts") + timedelta(hours=26))]))
    pipeline.ingest_paths("hq", day.isoformat(), [log.path])
    pipeline.reconcile("hq", day.isoformat())
    pipeline.reconcile("hq", day.isoformat())
    (row,) = pipeline.open_stores(load_settings()).ledger.days()
    assert row["problems"] == [
        "conn: 3 conns ended outside this day, from 2026-11-21 13:00 to 2026-11-21 13:59 UTC; was the sensor's clock wrong? set up NTP there"
    ]


def now(seconds_ago: float = 0.0) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds_ago)).isoformat()


GOOD = {ScorerState.STARTING, ScorerState.FOLLOWING, ScorerState.WAITING_FOR_LOG, ScorerState.WAITING_FOR_ARCHIVE, ScorerState.STOPPED}


@attack
@pytest.mark.parametrize("state", [*ScorerState, "a text of another version"])
def test_every_state_but_the_good_ones_is_not_well_everywhere(log: GrowingLog, state: str) -> None:
    """In /healthz, the watch, the doctor and mlids_up; waiting for a sensor or a sink only when it lasts."""
    status = Status("hq", state=ScorerState(state), state_since=now(GRACE_S + 5), updated_at=now(), last_error="why")
    assert_seen(status, state, well=status.state in GOOD)


@attack
def test_a_crash_loop_is_not_well_whatever_the_scorer_does_at_the_moment(log: GrowingLog) -> None:
    status = Status("hq", state=ScorerState.FOLLOWING, state_since=now(), updated_at=now())
    told = [status.note_failure("ZeroDivisionError: at this row") for _ in range(LOOP_FAILURES + 2)]
    assert told == [n == LOOP_FAILURES - 1 for n in range(LOOP_FAILURES + 2)], "one line of the log, when it becomes a crash loop"
    for state in (ScorerState.FOLLOWING, ScorerState.STARTING, ScorerState.FAILED):
        status.state = state
        assert_seen(status, str(state), well=False)
    status.failed_at, status.state = [now(301.0)] * 5, ScorerState.FOLLOWING
    assert is_well(status), "five minutes after the last failure it is well again"


def assert_seen(status: Status, text: str, *, well: bool) -> None:
    folder = load_settings().state / "hq"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "status.json").write_text(json.dumps(status.as_dict() | {"state": text}))
    shown = Status.load(folder / "status.json", "hq")
    assert is_well(shown) is well
    with MetricsServer(lambda: [shown], "127.0.0.1", 0) as server:
        try:
            code = urllib.request.urlopen(f"http://127.0.0.1:{server.port}/healthz", timeout=5).status
        except urllib.error.HTTPError as error:
            code = error.code
        text = urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=5).read().decode()
    (up,) = (f.samples[0].value for f in text_string_to_metric_families(text) if f.name == "mlids_up")
    assert code == (200 if well else 503) and up == float(well and shown.state.is_following)
    finding = {f.part: f for f in pipeline.doctor()}["live scoring"]
    assert finding.well is well, finding.text
    if not well:
        with pytest.raises(SourceError, match=r"hq: .*(why|at this row)"):
            pipeline.watch_live()


def test_the_mark_counts_deaths_at_one_place_and_goes_in_smaller_pieces(tmp_path: Path) -> None:
    """The steps that `mlids serve` takes in test_crashing_reader, without its processes: no death here comes from the reading."""
    place = Place("conn.log", "identity", 1_000, 40_000)
    row = b"1.5\tC1\n"
    for deaths in range(ASIDE_FROM):
        mark = ReadMark(tmp_path)
        mark.begin()
        if deaths >= SMALL_FROM:
            assert mark.read_bytes("identity", 0, 1 << 20) == 1_000 and mark.read_bytes("identity", 1_000, 1 << 20) == SMALL_BYTES
        assert mark.read_bytes("identity", 1_000 + place.size, 1 << 20) == 1 << 20 and mark.read_bytes("other", 0, 9) == 9
        place = place if deaths < SMALL_FROM else Place("conn.log", "identity", 1_000, SMALL_BYTES)
        assert [c.reason for c in mark.pieces(place, row * (place.size // len(row)) + row[place.size % len(row) :], dict, "conn")] == [None]
        if mark._trials is not None:  # the process dies here, and its trials with it: the file keeps the mark
            mark._trials.close()
    mark = ReadMark(tmp_path)
    mark.begin()
    (chunk,) = mark.pieces(place, row * 585 + b"\n", dict, "conn")
    assert chunk.reason == "the scorer failed 4 times in a row at this piece" and mark.put_aside == chunk.lines
    assert put_aside(tmp_path)[0]["offset"] == 1_000
    mark.close()
    again = ReadMark(tmp_path)
    again.begin()
    assert [c.reason for c in again.pieces(place, row * 585 + b"\n", dict, "conn")] == ["put aside before"] and len(
        put_aside(tmp_path)
    ) == 1
    again.close()


def test_an_end_while_nothing_is_read_is_no_death(tmp_path: Path) -> None:
    for _ in range(ASIDE_FROM + 1):
        mark = ReadMark(tmp_path)
        mark.begin()
        (chunk,) = mark.pieces(Place("conn.log", "identity", 0, 7), b"1.5\tC1\n", dict, "conn")
        assert chunk.reason is None and mark.read_bytes("identity", 0, 1 << 20) == 1 << 20
        mark.leave()
