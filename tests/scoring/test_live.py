"""The live loop as the command and the task run it; what can go wrong with it is in tests/faults."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mlids import pipeline
from mlids.demo.simulated_sensor import SimulatedSensor
from mlids.scoring.outbox import RULES_S
from mlids.settings import load_settings
from mlids.synth.archive import attack_hosts
from mlids.synth.attacks import brute_force, horizontal_scan
from mlids.synth.draft import CONN_NAMES, written_order
from mlids.synth.site import Site
from mlids.zeek.types import CONN
from mlids.zeek.writer import header_lines, tsv_rows
from tests.conftest import audit_production
from tests.support import forked
from tests.support.serving import serve_until, wait_until

NOW = datetime(2026, 11, 6, 9, 0, tzinfo=UTC)


@pytest.fixture
def live(trained_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """A simulated sensor with a growing log, and settings that follow it."""
    monkeypatch.setenv("MLIDS_HOME", str(trained_home))
    monkeypatch.setenv("MLIDS_DATABASE_URL", f"sqlite:///{tmp_path}/mlids.db")
    audit_production()
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


def scored_rows(name: str) -> int:
    """Return the rows that the status file counts; 0 while there is none."""
    try:
        return int(json.loads((load_settings().state / name / "status.json").read_text())["rows"])
    except FileNotFoundError:
        return 0


@contextmanager
def serving(name: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run `mlids serve` in its own process; it is killed at the end if it still runs."""
    command: list[str | Path] = [Path(sys.executable).with_name("mlids"), "serve", name, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        try:
            yield child
        finally:
            child.kill()


def score_until(name: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    return serve_until(lambda: scored_rows(name) >= rows, lambda: pipeline.score_live(name), monkeypatch)


def test_alerts_arrive_and_a_second_run_goes_on(live, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    log, name, _ = live
    rows = traffic()
    append(log, rows[: rows.height // 2])
    first = score_until(name, rows.height // 2, monkeypatch)
    assert first["rows"] == rows.height // 2 and first["state"] == "stopped"
    append(log, rows[rows.height // 2 :])
    second = score_until(name, rows.height, monkeypatch)
    assert second["rows"] == rows.height, "the second run continued where the first one stopped"
    alerts = pipeline.open_stores(load_settings()).alerts.latest(limit=10_000)
    kinds = {a["mlids"]["kind"] for a in alerts}
    assert "brute_force" in kinds and kinds & {"horizontal_scan", "slow_scan", "lateral_movement"}
    assert {a["mlids"]["model_version"] for a in alerts} == {"1"} and {a["observer"]["name"] for a in alerts} == {name}
    status = json.loads((load_settings().state / name / "status.json").read_text())
    assert status["rows"] == rows.height and status["rejected"] == 0


def test_a_scorer_far_behind_ends_in_time_and_keeps_its_position(live, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    log, name, _ = live
    rows = traffic()
    for _ in range(90):
        append(log, rows)
    total = 90 * rows.height
    for seconds in (3, 6, 12):  # a loaded machine may not begin to score within three seconds
        first = pipeline.score_live(name, seconds)
        if first["rows"]:
            break
    # The time limit ends it after a poll (65,536 rows), whose duration depends on the machine: rows left over show that it did.
    assert 0 < first["rows"] < total, "it ended though there was more to read"
    held = json.loads((load_settings().state / name / "checkpoint.json").read_text())
    assert held["rows"] == first["rows"], "and knows how far it was"
    assert score_until(name, total, monkeypatch)["rows"] == total
    keys = sum(p.stat().st_size for p in (load_settings().state / name / "scored").glob("*.keys")) // 8
    assert keys == total, "every row is recorded as scored, and none of them twice"


def test_serve_stops_at_once_when_asked(live) -> None:  # type: ignore[no-untyped-def]
    log, name, _ = live
    append(log, traffic()[:200])
    with serving(name) as child:
        assert wait_until(lambda: scored_rows(name) == 200)
        began = time.monotonic()
        child.send_signal(signal.SIGTERM)
        out, _ = child.communicate(timeout=30)
        assert child.returncode == 0 and time.monotonic() - began < 8 and json.loads(out)[0]["rows"] == 200


def test_a_suppression_rule_reaches_a_running_scorer(live, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    log, name, _ = live
    monkeypatch.setenv("COLUMNS", "400")

    def mlids(*words: str) -> str:
        done = forked.run(["alerts", *words])
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()

    rows = traffic()
    with serving(name) as scorer:
        append(log, rows)
        assert wait_until(lambda: scored_rows(name) == rows.height)
        alerts = _until(
            lambda: json.loads(mlids("--json", "--limit", "1000")), lambda found: any(a["mlids"]["kind"] == "brute_force" for a in found)
        )
        one = next(a for a in alerts if a["mlids"]["kind"] == "brute_force")
        assert "rule 1" in mlids("suppress", "--alert", one["id"][:10], "--why", "our own password audit")
        time.sleep(RULES_S + 0.5)  # the scorer reads the rules before rows once they are this old, and has flushed its counts
        count = json.loads(mlids("show", one["id"], "--json"))["mlids"]["count"]
        append(log, rows)
        rule = _until(lambda: json.loads(mlids("rules", "--json"))[0], lambda r: r["conns"] > 0)
        assert wait_until(lambda: scored_rows(name) == 2 * rows.height)
        scorer.send_signal(signal.SIGTERM)
        done = json.loads(scorer.communicate(timeout=30)[0])
        assert rule["why"] == "our own password audit" and done[0]["rows"] == 2 * rows.height, "suppressed, and scored all the same"
        assert one["id"] not in {a["id"] for a in json.loads(mlids("--json", "--limit", "1000"))}
        assert "were suppressed by rules" in mlids() and "our own password audit" in mlids("rules")
        assert json.loads(mlids("show", one["id"], "--json"))["mlids"]["count"] == count, "and the alert grew no more"
        mlids("verdict", one["id"], "false-positive")
        mlids("unsuppress", "1")
        assert "false positive" in mlids("--limit", "1000")


def _until(look, good, seconds: float = 60.0):  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while not good(found := look()):
        assert time.monotonic() < end, found
        time.sleep(0.3)
    return found
