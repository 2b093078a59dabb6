"""Cases while a sensor is scored live, from several logs, cut and restarted anywhere; the night replaces them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mlids.alerts.stores import open_stores
from mlids.detectors.reference import load_reference
from mlids.ingest.local import LocalStorage
from mlids.pipeline.live import follow, make_scorer
from mlids.scoring.conn_day import ConnDay
from mlids.scoring.live_cases import CaseOptions, LiveCases
from mlids.scoring.other_logs import OtherLogs
from mlids.settings import Sensor, load_settings
from tests.support.tls_sessions import HOST, sessions, write


class Reference:
    """The reference model, as live scoring takes a model."""

    error = note = None

    def current(self) -> Any:
        return load_reference()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with one sensor whose logs are a folder of this machine."""
    monkeypatch.setenv("MLIDS_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "sensors.toml").write_text(f'[[sensor]]\nname = "hq"\nkind = "folder"\nlogs = "{tmp_path}/logs"\n')
    return tmp_path / "logs" / "current"


def wait_for(reached: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "not reached in time"
        time.sleep(0.05)


def live_cases() -> list[dict[str, Any]]:
    return open_stores(load_settings().database).cases.latest()


def told(case: dict[str, Any]) -> list[tuple[Any, ...]]:
    return sorted((e["log"], e["kind"], round(e["score"], 3), e["target"], e["count"], e["first"], e["last"]) for e in case["evidence"])


def test_a_killed_and_restarted_scorer_gives_the_cases_of_one_run(home: Path, tmp_path: Path) -> None:
    logs = sessions()
    whole = run_in_parts(home, logs, [120])
    shutil.rmtree(tmp_path / "home" / "state")
    shutil.rmtree(home)
    (tmp_path / "home" / "mlids.db").unlink()
    parts = run_in_parts(home, logs, [35, 36, 90, 120])
    assert [c["host"] for c in whole] == [HOST] and whole[0]["severity"] in {"high", "critical"}
    assert {e["log"] for e in whole[0]["evidence"]} >= {"conn", "ssl"}
    assert told(parts[0]) == told(whole[0]) and parts[0]["score"] == whole[0]["score"]


def run_in_parts(home: Path, logs: dict[str, pl.DataFrame], until: list[int]) -> list[dict[str, Any]]:
    """Write the logs piece by piece, with a scorer of its own for each piece; return the cases at the end."""
    before = 0
    for end in until:
        for log, rows in logs.items():
            write(home, log, rows[before:end])
        before = end
        scorer = make_scorer(load_settings(), "hq", Reference())  # type: ignore[arg-type]
        expected = {log: min(end, rows.height) for log, rows in logs.items()}
        stop_when(scorer, expected)
        assert scorer.status.rows == expected["conn"]
    return live_cases()


def stop_when(scorer: Any, expected: dict[str, int]) -> None:
    """Follow until the tables hold what is expected, then stop."""
    import threading

    def watch() -> None:
        wait_for(lambda: scorer.status.rows >= expected["conn"])
        names = scorer._cases.logs
        wait_for(lambda: all(names.status.logs[name].rows >= expected.get(name, 0) for name in ("ssl", "dns")))
        scorer.stop()

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert follow(scorer, 60) is None
    watcher.join()
    scorer.close()


def test_a_log_that_floods_or_is_no_log_does_not_stop_the_others(home: Path) -> None:
    logs = sessions(60)
    for log, rows in logs.items():
        write(home, log, rows)
    (home / "http.log").write_bytes(b"\xff\xfe not a log\n" * 1_000)
    (home / "ssh.log").write_bytes(b"#separator \\x09\n#fields\tts\n" + b"x" * 3_000_000)
    scorer = make_scorer(load_settings(), "hq", Reference())  # type: ignore[arg-type]
    stop_when(scorer, {"conn": 60})
    status = scorer.status.other_logs["logs"]
    assert status["ssl"]["rows"] == 60 and status["dns"]["rows"] == 30 and status["http"]["rejected"] > 0
    assert [c["host"] for c in live_cases()] == [HOST]


def test_damaged_state_is_read_again_from_the_log(tmp_path: Path) -> None:
    sensor = Sensor(name="hq", kind="folder", logs=str(tmp_path / "logs"))
    write(tmp_path / "logs" / "current", "dns", sessions()["dns"])

    def run() -> OtherLogs:
        logs = OtherLogs(sensor, LocalStorage, tmp_path / "state", (), ["dns", "nothing"], poll_s=0.05)
        logs.start()
        wait_for(
            lambda: logs.status.logs["dns"].rows == 30 or not logs.collectors.names.of(pl.Series(["192.0.2.5"]))["name"].is_null().all()
        )
        logs.stop()
        return logs

    run()
    assert run().status.logs["dns"].rows == 30, "all was read before, and is counted over all runs"
    (tmp_path / "state" / "tables.zip").write_bytes(b"PK damaged")
    assert run().status.logs["dns"].rows == 30


def test_a_day_ends_with_its_cases_stored(tmp_path: Path) -> None:
    stored: dict[str, list[Any]] = {}
    sensor = Sensor(name="hq", kind="folder", logs=str(tmp_path), zone="Asia/Tokyo")
    cases = LiveCases(
        sensor, LocalStorage, tmp_path, lambda s, part, found: stored.update({part: list(found)}), (), CaseOptions(gather_s=1e9)
    )
    from mlids.detectors.verdict import judge
    from mlids.features.context import live_context
    from mlids.features.extract import Extractor
    from mlids.zeek.types import conn_columns

    model, extractor = load_reference(), Extractor((), live_context())
    rows = conn_columns(sessions(400, 180.0)["conn"]).with_columns(sensor=pl.lit("hq"))  # 20 hours: two days in Tokyo
    for start in range(0, rows.height, 50):
        batch = rows.slice(start, 50)
        x = extractor.features(batch)
        cases.gather(model, None)
        cases.add(batch, x, judge(model, x), model, extractor.context.clock)
    assert list(stored) == ["day 2026-11-06"] and [c.subject.host for c in stored["day 2026-11-06"]] == [HOST]
    cases.gather(model, None, force=True)
    assert list(stored) == ["day 2026-11-06", "day 2026-11-07"]


def test_the_state_of_a_day_goes_through_a_checkpoint() -> None:
    day = ConnDay((), lambda when: when.date())
    assert day.state()["facts"].row(0) == (None, 0)
    other = ConnDay((), lambda when: when.date())
    other.restore(day.state())
    assert other.day is None and other.so_far().evidence(load_reference(), 55.0) == []
    other.restore({})
    assert np.array_equal(other.hosts.shared, [])
