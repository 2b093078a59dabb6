"""Faults of the logs beside conn.log: each row counted once over all runs, and the evidence that of one pass over the files."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from mlids import pipeline
from mlids.ingest.storage import LogStorage
from mlids.pipeline.stores import open_storage, open_stores
from mlids.scoring.log_counts import TABLES
from mlids.scoring.other_logs import OtherLogs
from mlids.settings import load_settings
from mlids.zeek.writer import header_lines
from tests.faults.conftest import LONG
from tests.faults.log_field import LogField, LogOutcome, day_rows, make_log_field, told, until

Tell = Callable[[LogOutcome], None]


@pytest.fixture
def tell(log_outcomes: list[LogOutcome]) -> Tell:
    """Add an outcome to the table."""
    return log_outcomes.append


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    """One day of a synthetic site, by log."""
    return day_rows(tmp_path_factory.mktemp("day"))


@pytest.fixture
def place(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, rows: dict[str, pl.DataFrame]) -> Iterator[LogField]:
    made = make_log_field(tmp_path / "field", monkeypatch, rows)
    yield made
    made.close()


@pytest.mark.parametrize("seed", range(6 if LONG else 1))
def test_kill_at_random_moments(place: LogField, tell: Tell, seed: int) -> None:
    rng = random.Random(seed)
    logs = list(place.rows)
    for n in range(12 if LONG else 3):
        child = place.child()
        if n == 0:  # what was rotated before the first scorer began is not its own
            place.write(0.01)
            assert until(lambda: (place.home / "state" / "hq" / "logs" / TABLES).exists())
        assert until(lambda: place.scored_by() == child.pid)  # noqa: B023
        end = time.monotonic() + rng.uniform(0.3, 2.0)
        while time.monotonic() < end:
            place.write(rng.uniform(0.005, 0.02), rng.sample(logs, rng.randint(1, len(logs))))
            time.sleep(rng.uniform(0.02, 0.15))
        child.kill()
        child.wait()
        if n % 2:
            place.rotate(rng.sample(list(place.logs), 2))
    place.write(1.0)
    place.start()
    tell(place.outcome(f"kill -9 {'twelve times' if LONG else 'three times'} at random moments, two logs rotated between them"))


def test_all_logs_rotate_together_and_one_alone(place: LogField, tell: Tell) -> None:
    place.begin(0.1)
    for _ in range(2):
        place.write(0.1)
        place.rotate()
        place.write(0.1)
        place.rotate(["dns"])
    place.write(1.0)
    tell(place.outcome("all logs rotate together, then one alone"))


def test_rotations_while_the_scorer_is_away(place: LogField, tell: Tell) -> None:
    place.begin(0.2)
    place.stop()
    place.write(0.2)
    place.rotate()
    place.write(0.2)
    place.rotate()
    place.write(1.0, ["conn"])
    place.start()
    assert place.caught_up(), (place.taken(), place.written())  # the other logs do not exist at the moment: their rest is in the archive
    place.write(1.0)
    tell(place.outcome("two rotations while the scorer is away; the new logs have no row"))


def test_copy_truncate(place: LogField) -> None:
    scorer = place.begin(0.4)
    for log in place.logs.values():
        log.copy_truncate()
    followers = [scorer._follower, *scorer._cases.logs._followers.values()]
    assert until(lambda: all(f is not None and f._log is None for f in followers), 10.0), "the truncated logs have no row"
    place.write(1.0)
    assert place.caught_up() and place.taken() == place.written(), (place.taken(), place.written(), place.error)


def test_connection_cut_in_the_middle(place: LogField, tell: Tell) -> None:
    scorer = place.start()
    for n in range(6 if LONG else 3):
        place.write(0.1)
        time.sleep(0.1 * (n % 3))
        place.sensor.disconnect()
        place.write(0.05)
    place.write(1.0)
    tell(place.outcome(f"SFTP connection lost {'six' if LONG else 'three'} times while the logs grow"))
    assert until(lambda: place.error is None) and scorer.status.errors > 0


def test_log_that_comes_late_is_rotated_at_once_and_disappears(place: LogField, tell: Tell) -> None:
    place.begin(0.3, ["conn", "dns", "x509"])
    time.sleep(0.5)  # it is known by now that the others are not there
    place.write(0.3, ["ssl", "http"])
    place.rotate(["ssl", "http"], reopen=False)
    place.write(0.3, ["ssl"])
    place.write(0.2, ["dns"])
    assert until(lambda: place.taken()["ssl"] == place.written()["ssl"])
    place.rotate(["dns"], reopen=False)
    place.write(0.5, ["conn"])
    time.sleep(1.0)
    place.stop()
    place.start()
    place.write(1.0)
    tell(place.outcome("logs that come late, are rotated at once, or disappear"))


def test_a_log_without_permission_keeps_no_other_from_being_read(place: LogField, tell: Tell) -> None:
    place.sensor.faults.denied.add("dns.log")
    place.start()
    place.write(0.5)
    assert until(lambda: all(place.taken()[n] == place.written()[n] for n in place.logs if n != "dns"))
    assert until(lambda: "dns" in str(place.error))
    place.sensor.faults.denied.clear()
    place.write(1.0)
    tell(place.outcome("read permission of one log removed for a while"))
    assert until(lambda: place.error is None)


def test_flood_of_one_log_does_not_slow_conn(place: LogField, tell: Tell, rows: dict[str, pl.DataFrame]) -> None:
    scorer = place.begin(0.1)
    flood = pl.concat([rows["dns"]] * (100_000 // rows["dns"].height + 1))[:100_000]
    place.open("dns").append(flood)
    slowest = 0.0
    while place.taken()["dns"] < place.written()["dns"]:
        began = time.monotonic()
        place.write(0.005, ["conn"])
        assert until(lambda: scorer.status.rows == place.written()["conn"]), "conn.log is not scored meanwhile"
        slowest = max(slowest, time.monotonic() - began)
        time.sleep(0.05)
    assert slowest < 3.0, "the goal is a second on a quiet machine"
    place.write(1.0)
    tell(place.outcome(f"flood of 100,000 rows in dns.log (conn.log scored within {slowest:.1f} s meanwhile)"))


def test_malformed_lines(place: LogField, tell: Tell, rows: dict[str, pl.DataFrame]) -> None:
    place.start()
    place.write(0.3)
    for name in place.beside:
        place.logs[name].append_bytes(b"nonsense\n\x00\xff\xfe\x01\n" + b"x" * (1 << 20) + b"y\n" + b'{"ts": 1}\n')
    place.write(0.2)
    dns = place.logs["dns"]  # its fields change in the middle of the file
    dns.columns = (*dns.columns[:2], *reversed(dns.columns[2:]))
    dns.append_bytes(header_lines("dns", dns.columns, dns._opened))
    place.write(1.0)
    tell(place.outcome("malformed lines, binary data and lines of 1 MiB; the fields change in mid-file"))
    assert place.scorer is not None
    counts = place.scorer._cases.logs.status.logs
    assert {name: counts[name].rejected for name in place.beside} == dict.fromkeys(place.beside, 4)


def test_json_after_a_rotation(place: LogField, tell: Tell) -> None:
    place.start()
    place.write(0.4)
    for log in place.logs.values():
        log.form = "json"
    place.rotate()
    place.write(1.0)
    tell(place.outcome("TSV changes to JSON"))


def test_changed_host_key_is_told_and_the_sensor_is_left_alone(place: LogField, tmp_path: Path) -> None:
    """The thread by itself: the scorer ends at once for the same reason, should its own connection be cut."""
    settings, asked = load_settings(), []
    place.write(0.3)

    def opened() -> LogStorage:
        asked.append(time.monotonic())
        return open_storage(settings, settings.sensor("hq"))

    logs = OtherLogs(settings.sensor("hq"), opened, tmp_path / "state", (), ["dns", "ssl"])
    logs.start()
    try:
        assert until(lambda: logs.status.logs["dns"].rows == place.written()["dns"])
        place.sensor.reboot(0.2, host_key=tmp_path / "another-host-key")
        assert until(lambda: "HAS CHANGED" in str(logs.status.error)), logs.status.error
        before = len(asked)
        time.sleep(4.0)
        assert len(asked) <= before + 1, "someone has to act first"
    finally:
        logs.stop()


def test_full_disk_when_the_state_is_stored(place: LogField, tell: Tell) -> None:
    place.begin(0.3)
    folder = place.home / "state" / "hq" / "logs"
    assert until(lambda: (folder / TABLES).exists())
    away = folder.with_name("away")
    folder.rename(away)
    folder.write_bytes(b"")  # a file where the folder was: nothing can be stored in it
    place.write(0.3)
    assert until(lambda: TABLES in str(place.error)), place.error
    place.settle()  # and all is read meanwhile
    folder.unlink()
    shutil.move(away, folder)
    place.write(0.1)
    place.settle()
    assert until(lambda: place.error is None)
    place.stop()
    place.start()
    place.write(1.0)
    tell(place.outcome("disk full for the state, then a restart"))


def test_a_scorer_that_failed_and_runs_again_reads_them_again(place: LogField, tell: Tell) -> None:
    scorer = place.begin(0.3)

    def fail() -> int:
        del scorer._score_new_rows  # type: ignore[attr-defined]
        raise ZeroDivisionError("a defect")

    scorer._score_new_rows = fail  # type: ignore[method-assign]
    assert until(lambda: bool(place.failure)) and place.thread is not None
    place.thread.join()
    place.run()
    place.write(1.0)
    tell(place.outcome("the scorer fails and starts again"))


def test_rows_of_two_days_count_for_their_own(place: LogField, rows: dict[str, pl.DataFrame]) -> None:
    """The other logs are read before conn.log reaches midnight, and after it."""
    later = {name: rows[name].with_columns(pl.col("ts") + pl.duration(days=1)) for name in rows}
    place.begin(1.0)
    first = told(place.evidence())
    assert first == told(place.expected())
    for name in ("dns", "ssl", "x509"):
        place.logs[name].append(later[name])
    assert place.caught_up() and told(place.evidence()) == first, "rows of tomorrow are no evidence of today"
    place.stop()
    place.start()
    for name in place.logs:
        place.logs[name].append(later[name] if name not in {"dns", "ssl", "x509"} else later[name].head(0))
    place.logs["http"].append(rows["http"])  # late rows of the day that has ended
    assert place.caught_up()
    assert until(lambda: place.scorer._cases.logs.status.day == "2026-11-05")  # type: ignore[union-attr]
    assert place.taken() == place.written()
    shift = timedelta(days=1)
    wanted = [replace(e, first=e.first and e.first + shift, last=e.last and e.last + shift) for e in place.expected(rows)]
    assert told(place.evidence()) == told(wanted)


def test_the_ledger_compares_each_log_with_its_archive(place: LogField) -> None:
    place.write(0.2, ["ssl"])
    place.rotate(["ssl"])  # before the scorer begins: nobody reads these rows live
    missed = place.logs["ssl"].rows
    place.logs["ssl"].rows = 0
    place.begin(0.3)
    place.rotate(["dns"])
    place.write(1.0)
    place.settle_counts()
    place.stop()
    place.rotate(reopen=False)
    (day,) = (p.name for p in place.root.iterdir() if p.name != "current")
    pipeline.pull("hq", day)
    pipeline.build_lake("hq", day)
    found = pipeline.reconcile("hq", day)["logs"]
    assert found == {
        name: {"archived": rows + (missed if name == "ssl" else 0), "live": rows}
        for name, rows in place.written().items()
        if name != "conn"
    }
    start = date.fromisoformat(day)
    stored = open_stores(load_settings()).ledger.logs(start, start + timedelta(days=1))
    assert {r["log"]: r["missing"] for r in stored if r["missing"]} == {"ssl": missed}
    (shown,) = pipeline.overview()["ledger"]
    assert shown["logs"]["ssl"]["missing"] == missed and shown["logs"]["dns"]["missing"] == 0
