"""The live loop on a real SFTP server: alerts arrive, restarts and kills lose nothing and double nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlids import pipeline
from mlids.errors import StoreError
from mlids.settings import load_settings
from mlids.sources.simulated import SimulatedSensor
from mlids.synth.archive import cast_of
from mlids.synth.attacks import brute_force, horizontal_scan
from mlids.synth.draft import CONN_NAMES, written_order
from mlids.synth.site import Site
from mlids.zeek.types import CONN
from mlids.zeek.writer import header_lines, tsv_rows

NOW = datetime(2026, 11, 6, 9, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def trained_home(tmp_path_factory: pytest.TempPathFactory, made_site: Path) -> Path:
    """A home with two days in the lake and a model in production."""
    home = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLIDS_HOME", str(home))
        for day in ("2026-11-04", "2026-11-05"):
            pipeline.ingest_paths("hq", day, [made_site / day])
        snapshot = pipeline.snapshot("2026-11-04", "2026-11-06")
        pipeline.evaluate_and_promote(pipeline.train(snapshot["id"])["version"], snapshot["id"])
    return home


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
    parts += [attack(NOW.timestamp(), cast_of(site), rng).frame(rng) for attack in (horizontal_scan, brute_force)]
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
    alerts = pipeline.open_database(load_settings()).alerts(limit=10_000)
    kinds = {a["mlids"]["kind"] for a in alerts}
    assert "brute_force" in kinds and kinds & {"horizontal_scan", "slow_scan", "lateral_movement"}
    assert {a["mlids"]["model_version"] for a in alerts} == {"1"} and {a["observer"]["name"] for a in alerts} == {name}
    status = json.loads((load_settings().state / name / "status.json").read_text())
    assert status["rows"] == rows.height and status["rejected"] == 0


def expected(name: str, log: Path, folder: Path, patch: pytest.MonkeyPatch) -> dict[str, int]:
    """The alerts of one undisturbed run over the whole log."""
    before = os.environ["MLIDS_DATABASE_URL"]
    patch.setenv("MLIDS_DATABASE_URL", f"sqlite:///{folder}/quiet.db")
    for left in (load_settings().state / name).glob("*"):
        left.unlink()
    pipeline.score_live(name, 3)
    found = {a["id"]: a["mlids"]["count"] for a in pipeline.open_database(load_settings()).alerts(limit=10_000)}
    for left in (load_settings().state / name).glob("*"):
        left.unlink()
    patch.setenv("MLIDS_DATABASE_URL", before)
    return found


def test_killed_scorers_lose_nothing_and_double_nothing(live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    log, name, _ = live
    rows = traffic()
    append(log, rows)
    wanted = expected(name, log, tmp_path, monkeypatch)
    assert len(wanted) > 2
    log.write_bytes(log.read_bytes()[: len(header_lines("conn", CONN, NOW))])
    command = [
        sys.executable,
        "-c",
        f"from mlids import pipeline; import mlids.scorer as s; s.CHECKPOINT_S = 0.3; pipeline.score_live({name!r}, 60)",
    ]
    written = 0
    for kill in (2.6, 3.1, 2.9):
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + kill
        while time.monotonic() < end:
            append(log, rows[written : written + 40])
            written = min(written + 40, rows.height)
            time.sleep(0.05)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    append(log, rows[written:])
    assert pipeline.score_live(name, 4)["rows"] == rows.height
    found = {a["id"]: a["mlids"]["count"] for a in pipeline.open_database(load_settings()).alerts(limit=10_000)}
    assert found == wanted


def test_a_cut_connection_and_a_rotation_heal(live) -> None:  # type: ignore[no-untyped-def]
    log, name, sensor = live
    rows = traffic()
    result: dict[str, object] = {}
    thread = threading.Thread(target=lambda: result.update(pipeline.score_live(name, 9)))
    thread.start()
    third = rows.height // 3
    append(log, rows[:third])
    time.sleep(2)
    sensor.cut()
    append(log, rows[third : 2 * third])
    time.sleep(2)
    old = log.with_name("conn-old")
    log.rename(old)
    log.write_bytes(header_lines("conn", CONN, NOW.replace(hour=10)) + tsv_rows(rows[2 * third :]))
    thread.join()
    assert result["rows"] == rows.height and result["errors"] and result["state"] == "stopped"


def test_two_scorers_for_one_sensor_refuse(live) -> None:  # type: ignore[no-untyped-def]
    _, name, _ = live
    thread = threading.Thread(target=lambda: pipeline.score_live(name, 3))
    thread.start()
    time.sleep(1)
    with pytest.raises(StoreError, match="another scorer"):
        pipeline.score_live(name, 1)
    thread.join()


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
    assert child.returncode == 0 and time.monotonic() - began < 5 and json.loads(out)["rows"] == 200
