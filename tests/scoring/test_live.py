"""The live loop as the command and the task run it; what can go wrong with it is in tests/faults."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

import numpy as np
import polars as pl
import pytest

from mlids import pipeline
from mlids.demo.simulated_sensor import SimulatedSensor
from mlids.settings import load_settings
from mlids.synth.archive import attack_hosts
from mlids.synth.attacks import brute_force, horizontal_scan
from mlids.synth.draft import CONN_NAMES, written_order
from mlids.synth.site import Site
from mlids.zeek.types import CONN
from mlids.zeek.writer import header_lines, tsv_rows
from tests.support import forked

NOW = datetime(2026, 11, 6, 9, 0, tzinfo=UTC)


@pytest.fixture
def live(trained_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """A simulated sensor with a growing log, and settings that follow it."""
    monkeypatch.setenv("MLIDS_HOME", str(trained_home))
    monkeypatch.setenv("MLIDS_DATABASE_URL", f"sqlite:///{tmp_path}/mlids.db")
    logs = tmp_path / "logs"
    (logs / "current").mkdir(parents=True)
    log = logs / "current" / "conn.log"
    log.write_bytes(header_lines("conn", CONN, NOW))
    sensor = SimulatedSensor(logs, tmp_path / "client", tmp_path / "host").start()
    (trained_home / "known_hosts").write_text(sensor.known_hosts_line() + "\n")
    (trained_home / "sensors.toml").write_text(
        f'[[sensor]]\nname = "live-{tmp_path.name[-20:]}"\nhost = "127.0.0.1"\nport = {sensor.port}\nkey_file = "{tmp_path}/client"\nlogs = "/"\n'
    )
    yield log, load_settings().sensors()[0].name, sensor
    sensor.stop()


def traffic() -> pl.DataFrame:
    site, rng = Site(3), np.random.default_rng(4)
    parts = [site.day(NOW.date(), 2_000)]
    parts += [attack(NOW.timestamp(), attack_hosts(site), rng).frame(rng) for attack in (horizontal_scan, brute_force)]
    return written_order(pl.concat(parts)).select(CONN_NAMES)


def append(log: Path, rows: pl.DataFrame) -> None:
    with log.open("ab") as out:
        out.write(tsv_rows(rows))


def test_alerts_arrive_and_a_second_run_goes_on(live) -> None:  # type: ignore[no-untyped-def]
    log, name, _ = live
    rows = traffic()
    append(log, rows[: rows.height // 2])
    first = pipeline.score_live(name, 3)
    assert first["rows"] == rows.height // 2 and first["state"] == "stopped"
    append(log, rows[rows.height // 2 :])
    second = pipeline.score_live(name, 3)
    assert second["rows"] == rows.height, "the second run went on where the first one stopped"
    alerts = pipeline.open_stores(load_settings()).alerts.latest(limit=10_000)
    kinds = {a["mlids"]["kind"] for a in alerts}
    assert "brute_force" in kinds and kinds & {"horizontal_scan", "slow_scan", "lateral_movement"}
    assert {a["mlids"]["model_version"] for a in alerts} == {"1"} and {a["observer"]["name"] for a in alerts} == {name}
    status = json.loads((load_settings().state / name / "status.json").read_text())
    assert status["rows"] == rows.height and status["rejected"] == 0


def test_a_scorer_far_behind_keeps_its_time_and_its_place(live) -> None:  # type: ignore[no-untyped-def]
    log, name, _ = live
    rows = traffic()
    for _ in range(90):
        append(log, rows)
    total = 90 * rows.height
    began = time.monotonic()
    first = pipeline.score_live(name, 3)
    assert 0 < first["rows"] < total and time.monotonic() - began < 10, "it ended in time though there was more to read"
    held = json.loads((load_settings().state / name / "checkpoint.json").read_text())
    assert held["rows"] == first["rows"], "and knows how far it was"
    done = first
    while done["rows"] < total and time.monotonic() - began < 120:
        done = pipeline.score_live(name, 4)
    assert done["rows"] == total
    keys = sum(p.stat().st_size for p in (load_settings().state / name / "scored").glob("*.keys")) // 8
    assert keys == total, "every row is recorded as scored, and none of them twice"


def test_serve_stops_at_once_when_asked(live) -> None:  # type: ignore[no-untyped-def]
    log, name, _ = live
    append(log, traffic()[:200])
    child = subprocess.Popen(
        [Path(sys.executable).with_name("mlids"), "serve", name, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    status = load_settings().state / name / "status.json"
    for _ in range(150):
        if status.exists() and json.loads(status.read_text())["rows"] == 200:
            break
        time.sleep(0.1)
    began = time.monotonic()
    child.send_signal(signal.SIGTERM)
    out, _ = child.communicate(timeout=10)
    assert child.returncode == 0 and time.monotonic() - began < 5 and json.loads(out)[0]["rows"] == 200


def test_a_rule_holds_back_what_a_running_scorer_would_tell(live, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    log, name, _ = live
    monkeypatch.setenv("COLUMNS", "400")

    def told(*words: str) -> str:
        done = forked.run(["alerts", *words])
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()

    rows = traffic()
    scorer = Thread(target=lambda: done.append(pipeline.score_live(name, 20)))
    done: list[dict[str, object]] = []
    scorer.start()
    append(log, rows)
    alerts = _until(
        lambda: json.loads(told("--json", "--limit", "1000")), lambda found: any(a["mlids"]["kind"] == "brute_force" for a in found)
    )
    one = next(a for a in alerts if a["mlids"]["kind"] == "brute_force")
    assert "rule 1" in told("suppress", "--alert", one["id"][:10], "--why", "our own password audit")
    time.sleep(6)  # the scorer reads the rules every five seconds
    append(log, rows)
    rule = _until(lambda: json.loads(told("rules", "--json"))[0], lambda r: r["conns"] > 0)
    scorer.join()
    assert rule["why"] == "our own password audit" and done[0]["rows"] == 2 * rows.height, "suppressed, not left out"
    assert one["id"] not in {a["id"] for a in json.loads(told("--json", "--limit", "1000"))}
    assert "were suppressed by rules" in told() and "our own password audit" in told("rules")
    assert json.loads(told("show", one["id"], "--json"))["mlids"]["count"] == one["mlids"]["count"], "and the alert grew no more"
    told("verdict", one["id"], "false-positive")
    told("unsuppress", "1")
    assert "[false positive]" in told("--limit", "1000")


def _until(look, good, seconds: float = 15.0):  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while not good(found := look()):
        assert time.monotonic() < end, found
        time.sleep(0.3)
    return found
