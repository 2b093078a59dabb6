"""Live traffic: rows come at their times, a conn's other rows before its own, and nothing is lost by a rotation."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from mlids.synth.archive import attack_logs, attack_rows
from mlids.synth.growing import GrowingLogs
from mlids.synth.live import MOST_S, LiveTraffic, owned
from mlids.synth.ordinary.day import OTHER_LOGS, logs_of, stamped
from mlids.synth.site import Site
from mlids.window import Window
from mlids.zeek.reader import LogReader, find_logs

SITE = Site(5)
NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


def read(logs: Path) -> dict[str, pl.DataFrame]:
    frames: dict[str, list[pl.DataFrame]] = {}
    for path in find_logs(logs):
        for batch in LogReader(path):
            frames.setdefault(batch.log, []).append(batch.frame)
    return {log: pl.concat(parts, how="diagonal") for log, parts in frames.items()}


def test_rows_of_other_logs_come_before_their_conn_and_belong_to_it(tmp_path: Path) -> None:
    day = SITE.day(date(2026, 11, 4), 2_000).sort("ts")[1_000:1_400]
    logs = logs_of(SITE, day, {}, 1)
    live = LiveTraffic(GrowingLogs(tmp_path, clock=lambda: NOW))
    live.start(day, owned(day, logs), NOW, 60.0)
    seen: set[str] = set()
    for second in range(100):
        live.write(NOW + timedelta(seconds=second))
        found = read(tmp_path)
        if "conn" not in found:
            continue
        done = set(found["conn"]["uid"])
        for log, rows in logs.items():
            if log != "x509":
                mine = set(rows.filter(pl.col("uid").is_in(list(done)))["uid"])
                assert mine <= (set(found[log]["uid"]) if log in found else set()), (log, second)
        ends = found["conn"]["ts"] + pl.Series(found["conn"]["duration"].fill_null(0) * 1e6).cast(pl.Duration("us"))
        assert (ends <= NOW + timedelta(seconds=second + 0.01)).all() and done >= seen
        seen = done
    written = read(tmp_path)
    assert seen == set(day["uid"]) and {log: f.height for log, f in written.items() if log != "conn"} == {
        log: f.height for log, f in logs.items()
    }
    ssl = written["ssl"].join(written["conn"].select("uid", "duration", began="ts"), on="uid")
    late = (ssl["ts"] - ssl["began"]).dt.total_microseconds() / 1e6
    assert (late >= 0).all() and (late <= ssl["duration"] + 1e-5).all() and written["conn"]["duration"].max() <= MOST_S  # type: ignore[operator]
    assert set(written["x509"]["id"]) == set(written["ssl"]["cert_chain_fuids"].explode().drop_nulls())


def test_archive_and_live_logs_together_hold_every_row_of_an_attack_once(tmp_path: Path) -> None:
    times = iter([NOW, NOW + timedelta(minutes=1), NOW + timedelta(minutes=2)])
    live = LiveTraffic(GrowingLogs(tmp_path, clock=lambda: next(times)))
    conns_of = []
    for frame, what in attack_rows(
        SITE, ["medusa_login", "remcom", "mythic_tls"], Window(NOW, NOW + timedelta(hours=6)), np.random.default_rng(3)
    ):
        rows = {log: stamped(log, part) for log, part in attack_logs(frame, [what], 3).items()}
        live.start(frame, owned(frame, rows), NOW, 20.0)
        conns_of.append((frame, rows))
    live.write(NOW + timedelta(seconds=15))
    assert live.rotate() == "2026-11-20"
    live.write(NOW + timedelta(seconds=90))
    live.rotate()
    found = read(tmp_path)
    for log in {log for _, rows in conns_of for log in rows} | {"conn"}:
        wanted = pl.concat(
            [
                frame.select("uid") if log == "conn" else rows[log].select(_key(log))
                for frame, rows in conns_of
                if log == "conn" or log in rows
            ]
        )
        assert sorted(found[log][_key(log)].to_list(), key=str) == sorted(wanted[_key(log)].to_list(), key=str), log
    names = {p.name for p in (tmp_path / "2026-11-20").iterdir()}
    spans = {name.split(".", 1)[1] for name in names}
    assert len(spans) == 2, "logs are rotated together"
    assert {name.split(".")[0] for name in names} <= {"conn", *OTHER_LOGS} and len(names) > 8


def _key(log: str) -> str:
    return {"x509": "id", "notice": "note"}.get(log, "uid")


def test_a_log_has_no_file_before_its_first_row(tmp_path: Path) -> None:
    logs = GrowingLogs(tmp_path, clock=lambda: NOW)
    logs.append(
        {"dns": pl.DataFrame({"uid": ["C1"], "query": ["a.example"]}), "http": pl.DataFrame({"uid": []}, schema={"uid": pl.String})}
    )
    assert sorted(p.name for p in (tmp_path / "current").iterdir()) == ["conn.log", "dns.log"]
    assert set(logs.rotate()) == {"conn", "dns"} and sorted(p.name for p in (tmp_path / "current").iterdir()) == ["conn.log"]
