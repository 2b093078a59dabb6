"""Faults of the sensor, its log and the way to it: rows written = scored live + scored late, no alert lost, none twice."""

from __future__ import annotations

import gzip
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlids import pipeline
from mlids.errors import HostKeyError
from mlids.ingest.follow import FollowOptions
from mlids.scoring.status import ScorerState
from mlids.synth.growing import GrowingLog
from mlids.zeek.types import Column
from tests.faults.conftest import LONG
from tests.faults.field import Field, Outcome, make_field, traffic

Tell = Callable[[Outcome], None]


def test_nothing_wrong(place: Field, tell: Tell) -> None:
    place.start()
    for _ in range(3):
        place.write(0.25)
    place.write_rest()
    assert place.caught_up()
    assert place.scorer is not None and place.scorer.status.lag_s >= 0.0
    place.stop()
    assert place.found() == place.expected()
    outcome = place.settle("none")
    assert outcome.late == 0 and place.found() == place.expected()
    tell(outcome)


def test_cut_in_mid_line(place: Field, tell: Tell) -> None:
    scorer = place.begin(0.4)
    line = place.log.text(place.rows[place.at : place.at + 1])
    place.log.append_bytes(line[:40])
    assert place.until(lambda: place.waiting_bytes() == 40), "the half line was not read"
    place.sensor.disconnect()
    place.log.append_bytes(line[40:], 1)
    place.at += 1
    place.write_rest()
    assert place.caught_up() and scorer.status.errors > 0
    outcome = place.settle("SFTP cut in mid-line")
    assert outcome.late == 0 and place.found() == place.expected()
    tell(outcome)


@pytest.mark.parametrize("rotations", [1, 2])
def test_rotation_while_disconnected(place: Field, tell: Tell, rotations: int) -> None:
    place.begin(0.3)
    place.sensor.faults.denied.add("conn.log")
    place.sensor.disconnect()
    for _ in range(rotations):
        place.write(0.2)
        place.log.rotate()
    place.write(0.1)
    place.sensor.faults.denied.clear()
    place.write_rest()
    assert place.caught_up()
    outcome = place.settle(f"{'two rotations' if rotations == 2 else 'rotation'} while disconnected")
    assert outcome.late == 0 and place.found() == place.expected()
    tell(outcome)


def test_inode_reused_at_once(place: Field, tell: Tell) -> None:
    place.begin(0.3)
    place.stop()
    inode = place.log.path.stat().st_ino
    place.write(0.1)
    place.log.rotate(reopen=False)  # the old one is unlinked before the new one is made
    place.log.open()
    for n in range(50):
        if place.log.path.stat().st_ino == inode:
            break
        other = place.log.path.with_name(f"other-{n}")
        place.log.path.rename(other)
        place.log.open()
    place.write_rest()
    place.start()
    assert place.caught_up()
    outcome = place.settle("inode reused at once")
    assert outcome.late == 0 and place.found() == place.expected()
    tell(outcome)


def test_copy_truncate(place: Field, tell: Tell) -> None:
    scorer = place.begin(0.5)
    place.sensor.faults.flow.clear()  # rows that are written now are not read before the log is truncated
    place.write(0.1)
    place.log.copy_truncate()
    place.sensor.faults.flow.set()
    assert place.until(lambda: scorer.status.state is ScorerState.WAITING_FOR_LOG), "the truncated log has no row"
    place.write_rest()
    assert place.caught_up()
    first = place.night()
    ledger = pipeline.open_stores(place.settings).ledger.days()
    assert sum(d["archived"] for d in first) < place.log.rows and "not a Zeek log" in str(ledger[0]["problems"])
    rest = next(p for p in place.logs.glob("2*/conn.*.gz") if not gzip.decompress(p.read_bytes()).startswith(b"#"))
    whole = next(p for p in place.logs.glob("2*/conn.*.gz") if p != rest)
    header = b"".join(gzip.decompress(whole.read_bytes()).splitlines(keepends=True)[:8])
    rest.write_bytes(gzip.compress(header + gzip.decompress(rest.read_bytes())))  # as the problem says
    outcome = place.settle("copy-truncate (the archived rest has no header: it is reported, and given one)")
    assert outcome.late == 0
    tell(outcome)


def test_half_a_line_at_rotation(place: Field, tell: Tell) -> None:
    place.begin(0.5)
    line = place.log.text(place.rows[place.at : place.at + 1])
    place.log.append_bytes(line[:-1], 1)  # Zeek was killed before the newline
    place.at += 1
    place.log.path.rename(place.log.path.with_name("conn-26-01-01_00.00.00.log"))
    place.log._waiting.append((place.log.path.with_name("conn-26-01-01_00.00.00.log"), _archive(place, "conn.00:00:00-00:30:00.log.gz")))
    place.log.open()
    place.write_rest()
    assert place.caught_up()
    outcome = place.settle("half-written last line at rotation")
    assert outcome.late == 0
    tell(outcome)


def _archive(place: Field, name: str) -> Path:
    return place.logs / f"{datetime.now(UTC):%Y-%m-%d}" / name


def test_incomplete_gzip(place: Field, tell: Tell) -> None:
    place.begin(0.3)
    place.stop()
    place.write(0.3)
    place.log.rotate(archive="half")
    place.write(0.2)
    scorer = place.start()
    assert place.until(lambda: scorer.status.state is ScorerState.WAITING_FOR_ARCHIVE), (
        "what comes later waits until what came before is whole"
    )
    place.log.archive_waiting()
    place.write_rest()
    assert place.caught_up()
    outcome = place.settle("`.gz` present but incomplete, whole later")
    assert outcome.late == 0 and place.found() == place.expected()
    tell(outcome)


def test_gzip_that_stays_incomplete_is_left_to_the_ledger(place: Field, tell: Tell) -> None:
    place.follow = FollowOptions(archive_wait_s=1.0)
    place.begin(0.3)
    place.stop()
    place.write(0.3)
    place.log.rotate(archive="half")
    place.write_rest()
    scorer = place.start()
    assert place.until(lambda: scorer.status.left_to_ledger == 1 and scorer.status.lag_s == 0.0)
    outcome = place.settle("`.gz` present but incomplete permanently, repaired before the night")
    assert outcome.late > 0
    tell(outcome)


def test_an_hour_that_arrives_a_day_late(place: Field, tell: Tell) -> None:
    place.follow = FollowOptions(archive_wait_s=0.5)
    place.begin(0.3)
    place.stop()
    place.write(0.4)
    target = place.log.rotate(reopen=False)
    hidden = place.home / "hidden.gz"
    shutil.move(target, hidden)
    place.log.open()
    place.write_rest()
    scorer = place.start()
    assert place.until(lambda: scorer.status.left_to_ledger == 1 and place.taken() > 0.3 * place.rows.height)
    assert place.until(lambda: scorer.status.lag_s == 0.0)
    first = place.night()
    assert sum(d["archived"] for d in first) < place.log.rows
    shutil.move(hidden, target)
    outcome = place.settle("an hour missing, arriving a day late")
    assert outcome.late == round(0.4 * place.rows.height)
    tell(outcome)


@pytest.mark.parametrize(("what", "at"), [("forward", datetime(2026, 3, 29, 0, 30)), ("back", datetime(2026, 10, 24, 23, 30))])
def test_dst(trained_home: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, tell: Tell, what: str, at: datetime) -> None:
    """The clock of Prague goes 01:59 → 03:00, or 02:59 → 02:00; logs are rotated at each full hour of UTC."""
    now = [at.replace(tzinfo=UTC)]
    place = make_field(trained_home, tmp_path / "field", monkeypatch, zone_name="Europe/Prague", clock=lambda: now[0])
    place.rows = traffic(now[0] + timedelta(hours=2, minutes=25))
    try:
        place.start()
        for _ in range(3):
            place.write(0.25)
            assert place.caught_up()
            now[0] = now[0].replace(minute=0) + timedelta(hours=1)
            place.log.rotate()
        place.write_rest()
        assert place.caught_up()
        now[0] += timedelta(minutes=25)
        outcome = place.settle(f"DST {what}")
        assert outcome.late == 0 and place.found() == place.expected()
        tell(outcome)
    finally:
        place.close()


def test_column_added_at_rotation(place: Field, tell: Tell) -> None:
    place.begin(0.5)
    place.log.columns = (*place.log.columns[:8], Column("vlan", "count"), *place.log.columns[8:])
    place.log.rotate()
    place.write_rest()
    assert place.caught_up()
    outcome = place.settle("column added at rotation")
    assert outcome.late == 0 and place.found() == place.expected()
    tell(outcome)


def test_tsv_turns_json(place: Field, tell: Tell) -> None:
    place.begin(0.5)
    place.log.form = "json"
    place.log.rotate()
    place.write_rest()
    assert place.caught_up()
    outcome = place.settle("TSV changes to JSON")
    assert outcome.late == 0 and place.found() == place.expected()
    tell(outcome)


def test_sensor_reboots_and_stalls(place: Field, tell: Tell) -> None:
    scorer = place.begin(0.3)
    place.sensor.reboot(4.0 if LONG else 1.0)
    place.write(0.3)
    assert place.caught_up(40.0)
    place.sensor.faults.flow.clear()  # connected, and no answer
    place.write(0.2)
    assert place.until(lambda: scorer.status.errors >= 2, 15.0), "a sensor that does not answer is an error after `timeout_s`"
    place.sensor.faults.flow.set()
    place.write_rest()
    assert place.caught_up(40.0)
    outcome = place.settle("sensor reboots, later stalls")
    assert outcome.late == 0 and place.found() == place.expected()
    tell(outcome)


def test_slow_link(place: Field, tell: Tell) -> None:
    place.sensor.faults.bytes_per_s = 60_000.0
    place.start()
    place.write_rest()
    assert place.caught_up(60.0)
    place.sensor.faults.bytes_per_s = 0.0
    outcome = place.settle("slow link (60 kB/s)")
    assert outcome.late == 0 and place.found() == place.expected()
    tell(outcome)


def test_permission_taken_away_for_a_while(place: Field, tell: Tell) -> None:
    scorer = place.begin(0.3)
    place.sensor.faults.denied.add("conn.log")
    place.write(0.3)
    place.log.rotate()
    assert place.until(lambda: scorer.status.errors > 0)
    assert "conn.log" in str(scorer.status.last_error)
    place.sensor.faults.denied.clear()
    place.write_rest()
    assert place.caught_up(30.0)
    outcome = place.settle("read permission removed for a while")
    assert outcome.late == 0 and place.found() == place.expected()
    tell(outcome)


def test_clock_steps_back(trained_home: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, tell: Tell) -> None:
    now = [datetime.now(UTC)]
    place = make_field(trained_home, tmp_path / "field", monkeypatch, clock=lambda: now[0])
    try:
        place.begin(0.4)
        now[0] -= timedelta(minutes=20)
        place.log.rotate()
        place.write(0.3)
        assert place.caught_up()
        now[0] += timedelta(minutes=45)
        place.log.rotate()
        place.write_rest()
        assert place.caught_up()
        outcome = place.settle("the sensor's clock steps back, then forward")
        assert outcome.late == 0 and place.found() == place.expected()
        tell(outcome)
    finally:
        place.close()


def test_log_that_comes_late_and_has_no_row(place: Field, tell: Tell) -> None:
    place.log.path.unlink()
    scorer = place.start()
    assert place.until(lambda: scorer.status.state is ScorerState.WAITING_FOR_LOG)
    place.log.open()
    time.sleep(1.0)
    assert scorer.status.rows == 0 and scorer.status.errors == 0
    place.write_rest()
    assert place.caught_up()
    outcome = place.settle("the log does not exist yet, then holds no row")
    assert outcome.late == 0
    tell(outcome)


def test_changed_host_key_stops_with_a_clear_error(place: Field, tmp_path: Path) -> None:
    scorer = place.begin(0.3)
    place.sensor.reboot(0.5, host_key=tmp_path / "another-host-key")
    assert place.until(lambda: bool(place.failure), 30.0)
    assert isinstance(place.failure[0], HostKeyError) and "HAS CHANGED" in str(place.failure[0])
    assert scorer.status.state is ScorerState.REFUSED


def test_malformed_lines_are_refused_one_by_one(place: Field, tell: Tell) -> None:
    place.start()
    place.write(0.5)
    place.log.append_bytes(b"a line of nonsense\n" * 3 + b"\x00\xff\xfe\n" + b"x" * (2 << 20) + b"\n", 5)
    place.write_rest()
    assert place.caught_up()
    outcome = place.settle("five malformed lines, one of 2 MiB")
    assert outcome.rejected == 5 and outcome.late == 0
    tell(outcome)


def test_growing_log_is_what_zeekctl_would_leave(tmp_path: Path) -> None:
    """The harness itself: a rotated log lies in the archive, whole, with header and footer."""
    log = GrowingLog(tmp_path).open()
    log.append(traffic(datetime.now(UTC), 300)[:10])
    target = log.rotate()
    lines = gzip.decompress(target.read_bytes()).decode().splitlines()
    assert lines[0].startswith("#separator") and lines[-1].startswith("#close") and len(lines) == 8 + 10 + 1
    assert log.path.read_text().count("\n") == 8
