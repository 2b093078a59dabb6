"""The demo's sensor writes every log at once: the archive, live traffic, and attacks on request. No demo is run."""

from __future__ import annotations

import time
import tomllib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

from mlids.demo.sensor import LOGS, DemoSensor
from mlids.synth.intrusions import INTRUSIONS
from mlids.zeek.reader import LogReader, find_logs


def rows(logs: Path, log: str) -> pl.DataFrame:
    parts = [b.frame for p in find_logs(logs) if p.name.split(".")[0] == log for b in LogReader(p)]
    return pl.concat(parts, how="diagonal") if parts else pl.DataFrame()


def test_the_archive_has_each_intrusion_and_every_log(tmp_path: Path) -> None:
    sensor = DemoSensor(tmp_path, flows=1_000, seed=7)
    days = [date(2026, 11, 1) + timedelta(days=n) for n in range(14)]
    assert not sensor.has(days) and sensor.write(days) > 10_000 and sensor.has(days)
    profiles = [attack.profile for attack in sensor.implanted()]
    assert set(INTRUSIONS) <= set(profiles) and len(profiles) == 23
    logs = tmp_path / "sensor" / "logs"
    assert {p.name.split(".")[0] for p in find_logs(logs)} == set(LOGS)
    uids = {uid for attack in sensor.implanted() if attack.profile == "remcom" for uid in attack.uids}
    for log in ("conn", "smb_files", "smb_mapping", "dce_rpc", "files"):
        assert uids & set(rows(logs, log)["uid"]), log


def test_live_attacks_show_in_every_log_and_their_archive_is_rotated_together(tmp_path: Path) -> None:
    sensor = DemoSensor(tmp_path, flows=1_000, seed=7)
    sensor.start(date(2026, 11, 4))
    logs = tmp_path / "sensor" / "logs"
    try:
        assert tomllib.loads((tmp_path / "sensors.toml").read_text())["sensor"][0]["types"] == list(LOGS)
        begun = datetime.now(UTC)
        found = {what.profile: what for what, _, _ in sensor.attack(("medusa_login", "certutil_download"), 2.0, steps=4)}
        end = time.monotonic() + 45
        while time.monotonic() < end and not set(found["certutil_download"].uids) <= set(rows(logs, "conn")["uid"]):
            time.sleep(0.5)
        day = sensor.rotate()
    finally:
        sensor.stop()
    archived = {p.name.split(".")[0]: p.name.split(".", 1)[1] for p in (logs / day).iterdir()}
    assert {"conn", "dns", "http", "files", "ssh", "notice"} <= archived.keys() and len(set(archived.values())) == 1
    conns, http = rows(logs / day, "conn"), rows(logs / day, "http")
    assert set(found["certutil_download"].uids) <= set(http["uid"]) and set(found["medusa_login"].uids) & set(conns["uid"])
    assert (conns["ts"] >= begun - timedelta(seconds=5)).all() and (conns["ts"] <= datetime.now(UTC)).all()
    ended = conns["ts"] + (conns["duration"].fill_null(0.0) * 1e6).cast(pl.Int64).cast(pl.Duration("us"))
    assert ended.is_sorted() or (ended.diff().dt.total_milliseconds().drop_nulls() > -1_500).all(), "conns come in the order of their ends"
