"""Live scoring of a busy sensor with five growing logs: conn.log has 70 of 100 records, dns, ssl, http and files the others."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.live import Live, Row, cpu, latency, running
from mlids.synth.growing import GrowingLog
from mlids.synth.ordinary.day import WRITTEN, logs_of
from mlids.synth.site import Site
from tests.support.sshd import Sshd, start_sshd

# Records of each log for one conn.
SHARES = {"dns": 0.18, "ssl": 0.14, "http": 0.07, "files": 0.04}
STEP = 50_000  # conns written at once


class OtherGrowingLogs:
    """The growing logs beside conn.log. Their rows are those of a synthetic day again and again, with uids of their own."""

    def __init__(self) -> None:
        site = Site(3)
        conns = site.day(date(2026, 11, 4), 100_000)
        self._rows = {log: rows.drop(WRITTEN) for log, rows in logs_of(site, conns, {}, 0).items() if log in SHARES}
        self._logs: dict[str, GrowingLog] = {}
        self.written = dict.fromkeys(SHARES, 0)

    def open(self, live: Live) -> None:
        """Begin empty logs beside the conn.log of a sensor."""
        self._logs = {log: GrowingLog(live.log.path.parent.parent, log=log).open() for log in SHARES}
        self.written = dict.fromkeys(SHARES, 0)
        self._conns = 0

    def append(self, conns: int) -> None:
        """Write what belongs to so many further conns."""
        self._conns += conns
        for log, share in SHARES.items():
            n = int(self._conns * share) - self.written[log]
            if n > 0:
                self._logs[log].append(self._next(log, n))
                self.written[log] += n

    def _next(self, log: str, n: int) -> pl.DataFrame:
        held, start = self._rows[log], self.written[log]
        uids = pl.Series([f"L{start + i:017d}" for i in range(n)])
        now = pl.lit(datetime.now(UTC)).dt.cast_time_unit("us")
        return held[(np.arange(n) + start) % held.height].with_columns(ts=now, uid=uids)

    def unread(self, live: Live) -> int:
        """Return how many rows the scorer has not read yet."""
        status: dict[str, dict[str, dict[str, int]]] = live.status().get("other_logs", {})  # type: ignore[assignment]
        return sum(n - status.get("logs", {}).get(log, {}).get("rows", 0) for log, n in self.written.items())


def speeds(folder: Path, conns: int, seconds: int) -> list[Row]:
    """Return (name, value, unit, goal, note, better): rate over `conns` and what belongs to them, memory, delay during `seconds`, CPU."""
    work = folder / "live-logs-sshd"
    work.mkdir()
    sshd, others = start_sshd(work), OtherGrowingLogs()
    try:
        out = _sustained(folder, sshd, others, conns)
        for name, value, unit, _, note, better in latency(folder, sshd, seconds, others=others):
            out.append((name.replace("live-", "live-logs-"), value, unit, 0.5 if "p50" in name else 1.5, f"{note}, five logs", better))
        for name, value, unit, _, note, better in cpu(folder, sshd, min(seconds, 60.0), others=others):
            out.append((name.replace("live-", "live-logs-"), value, unit, 6.0, f"{note}, five logs", better))
        return out
    finally:
        sshd.stop()


def _sustained(folder: Path, sshd: Sshd, others: OtherGrowingLogs, conns: int) -> list[Row]:
    with running(folder, sshd) as live:
        others.open(live)
        first = min(STEP, conns // 4)
        for start in range(0, conns, STEP):
            n = min(STEP, conns - start)
            others.append(n)
            live.log.append(live.rows(n))
        live.until(first, 120.0)  # started, compiled, connected
        began, scored, unread = time.monotonic(), live.status()["rows"], others.unread(live)
        live.until(conns, 600.0)
        conns_s = time.monotonic() - began
        while others.unread(live) > 0 and time.monotonic() - began < 600.0:
            time.sleep(0.1)
        if left := others.unread(live):
            raise RuntimeError(f"{left:,} rows of other logs were not read: {live.status()}")
        all_s, peak = time.monotonic() - began, live.memory_mb()[1]
    rows = conns - scored + unread
    note = f"a limit; {conns:,} conns and {sum(others.written.values()):,} records of four other logs over SFTP to SQLite"
    return [
        ("live-logs-sustained", rows / all_s, "records/s", 15_000, f"{note}; conns alone took {conns_s:.0f} of {all_s:.0f} s", "higher"),
        ("live-logs-peak-rss", peak, "MB", 600, note, "lower"),
    ]
