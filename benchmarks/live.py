"""Live scoring as a whole: `mlids serve` follows a growing log on a real sshd, with a trained model and SQLite."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
import psutil

from mlids.synth.archive import attack_hosts, write_days
from mlids.synth.attacks import SCENARIOS
from mlids.synth.draft import CONN_NAMES
from mlids.synth.growing import GrowingLog
from mlids.synth.hosts import AttackHosts
from mlids.synth.site import Site
from tests.support.sshd import Sshd, start_sshd

Row = tuple[str, float, str, float, str, str]
MLIDS = Path(sys.executable).with_name("mlids")
MARKS = ("brute_force", "horizontal_scan", "vertical_scan")


class Others(Protocol):
    """Logs that grow beside conn.log."""

    def open(self, live: Live) -> None:
        """Begin empty logs."""

    def append(self, conns: int) -> None:
        """Write what belongs to so many further conns."""


@dataclass
class Live:
    """A running scorer, its log and its home."""

    home: Path
    log: GrowingLog
    process: subprocess.Popen[bytes]
    day: pl.DataFrame
    written: int = 0

    def status(self) -> dict[str, float]:
        """Return the status file; empty before it exists."""
        try:
            held: dict[str, float] = json.loads((self.home / "state" / "hq" / "status.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return held

    def rows(self, n: int) -> pl.DataFrame:
        """Return the next conns, each ending now, with a uid of its own."""
        picked = self.day[(np.arange(n) + self.written) % self.day.height]
        uids = pl.Series([f"C{self.written + i:017d}" for i in range(n)])
        self.written += n
        return picked.with_columns(ts=pl.lit(datetime.now(UTC)).dt.cast_time_unit("us"), duration=pl.lit(0.1), uid=uids)

    def cpu_s(self) -> float:
        """Return the CPU seconds of the scorer, of its supervisor and of the process that polls MLflow."""
        family = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        return sum(p.cpu_times().user + p.cpu_times().system for p in family)

    def memory_mb(self) -> tuple[float, float]:
        """Return resident memory now and at its peak, of the scorer."""
        scorer = next(p for p in psutil.Process(self.process.pid).children() if "mlids.pipeline.scorer_process" in p.cmdline())
        text = Path(f"/proc/{scorer.pid}/status").read_text()
        return tuple(int(text.split(f"{name}:")[1].split()[0]) / 1e3 for name in ("VmRSS", "VmHWM"))  # type: ignore[return-value]

    def until(self, rows: int, seconds: float) -> None:
        """Wait until so many rows are scored."""
        end = time.monotonic() + seconds
        while self.status().get("rows", 0) < rows:
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError(f"{rows:,} rows were not scored in {seconds:.0f} s: {self.status()}")
            time.sleep(0.05)


def _home(folder: Path) -> Path:
    """Return a home with a model in production, trained on two days of a small synthetic site."""
    home = folder / "live-home"
    if (home / "mlruns").exists():
        return home
    os.environ["MLIDS_HOME"] = str(home)
    from mlids import pipeline

    days = [date(2026, 11, 4), date(2026, 11, 5)]
    list(write_days(folder / "live-site", Site(3), days, flows=20_000, attacks_per_day=2.5))
    for day in days:
        pipeline.ingest_paths("hq", day.isoformat(), [folder / "live-site" / day.isoformat()])
    snapshot = pipeline.snapshot("2026-11-04", "2026-11-06")
    pipeline.evaluate_and_promote(pipeline.train(snapshot["id"])["version"], snapshot["id"], force=True)
    return home


@contextmanager
def running(folder: Path, sshd: Sshd, *, before: int = 0) -> Iterator[Live]:
    """Start a scorer on a new log with `before` rows."""
    home = _home(folder)
    shutil.rmtree(home / "state", ignore_errors=True)
    for left in home.glob("mlids.db*"):
        left.unlink()
    logs = folder / f"live-logs-{time.monotonic_ns()}"
    log = GrowingLog(logs).open()
    shutil.copy(sshd.known_hosts, home / "known_hosts")
    (home / "sensors.toml").write_text(
        f'[[sensor]]\nname = "hq"\nhost = "127.0.0.1"\nport = {sshd.port}\nuser = "{getpass.getuser()}"\nkey_file = "{sshd.key}"\nlogs = "{logs}"\n'
    )
    live = Live(home, log, None, Site(3).day(date(2026, 11, 4), 200_000).select(CONN_NAMES))  # type: ignore[arg-type]
    for start in range(0, before, 100_000):
        log.append(live.rows(min(100_000, before - start)))
    live.process = subprocess.Popen(
        [MLIDS, "serve"], env=os.environ | {"MLIDS_HOME": str(home)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield live
    finally:
        live.process.send_signal(signal.SIGTERM)
        live.process.wait(timeout=20)
        shutil.rmtree(logs, ignore_errors=True)


def speeds(folder: Path, rows: int, seconds: int) -> list[Row]:
    """Return (name, value, unit, goal, note, better) of rate over `rows` conns, latency during `seconds`, and CPU."""
    work = folder / "live-sshd"
    work.mkdir()
    sshd = start_sshd(work)
    try:
        return [*_sustained(folder, sshd, rows), *latency(folder, sshd, seconds), *cpu(folder, sshd, min(seconds, 60.0))]
    finally:
        sshd.stop()


def _sustained(folder: Path, sshd: Sshd, rows: int) -> list[Row]:
    with running(folder, sshd, before=rows) as live:
        live.until(min(50_000, rows // 4), 60.0)  # started, compiled, connected
        began, first = time.monotonic(), live.status()["rows"]
        live.until(rows, 300.0)
        rate = (rows - first) / (time.monotonic() - began)
    return [("live-sustained", rate, "flows/s", 15_000, f"a limit; {rows:,} rows over SFTP to SQLite; peers: 69, 83, 100", "higher")]


def latency(folder: Path, sshd: Sshd, seconds: int, rate: int = 500, others: Others | None = None) -> list[Row]:
    """Return the time from an attack's last conn to its alert, at `rate` conns a second and with `others` growing beside them."""
    with running(folder, sshd) as live:
        if others is not None:
            others.open(live)
        cast, rng = attack_hosts(Site(3)), np.random.default_rng(1)
        live.log.append(live.rows(2_000))
        live.until(2_000, 60.0)
        database = sqlite3.connect(live.home / "mlids.db", timeout=30)
        waiting: dict[str, float] = {}
        took: list[float] = []
        began = time.monotonic()
        marks = done = 0
        while (now := time.monotonic() - began) < seconds + 5:
            if now < seconds and (n := int(now * rate) - done) > 0:
                live.log.append(live.rows(n))
                if others is not None:
                    others.append(n)
                done += n
            if now < seconds and marks < now:
                source = f"10.250.{marks // 250}.{1 + marks % 250}"
                rows = _mark(MARKS[marks % len(MARKS)], source, cast, rng)
                live.log.append(rows)
                waiting[source] = time.monotonic()
                marks += 1
            for (source,) in database.execute("SELECT DISTINCT src FROM alerts WHERE src LIKE '10.250.%'").fetchall():
                if source in waiting:
                    took.append(time.monotonic() - waiting.pop(source))
            time.sleep(0.005)
        database.close()
    if len(took) < 0.9 * marks:
        raise RuntimeError(f"only {len(took)} of {marks} attacks gave an alert")
    note = f"a limit; {len(took)} attacks of {marks} at {rate} flows/s, poll 0.25 s"
    return [
        ("live-latency-p50", float(np.quantile(took, 0.5)), "s", 0.3, note, "lower"),
        ("live-latency-p99", float(np.quantile(took, 0.99)), "s", 1.0, note, "lower"),
    ]


def _mark(name: str, source: str, cast: AttackHosts, rng: np.random.Generator) -> pl.DataFrame:
    """Return an attack by its own source address, all of whose conns have just ended."""
    rows = SCENARIOS[name](time.time() - 3_000, cast, rng).frame(rng)
    span = rows["duration"].fill_null(0.0).clip(0.0, 5.0)
    late = pl.Series(np.linspace(60.0, 0.0, rows.height)) + span
    stamps = pl.lit(datetime.now(UTC)).dt.cast_time_unit("us") - (late * 1e6).cast(pl.Int64).cast(pl.Duration("us"))
    return rows.with_columns(pl.lit(source).alias("id.orig_h"), ts=stamps).select(CONN_NAMES)


def cpu(folder: Path, sshd: Sshd, seconds: float, rate: int = 50, others: Others | None = None) -> list[Row]:
    """Return the share of a core that scoring takes at `rate` conns a second, with `others` growing beside them."""
    with running(folder, sshd) as live:
        if others is not None:
            others.open(live)
        live.log.append(live.rows(6_000))
        live.until(6_000, 60.0)
        time.sleep(8)
        began, before, done = time.monotonic(), live.cpu_s(), 0
        while (now := time.monotonic() - began) < seconds:
            if (n := int(now * rate) - done) > 0:
                live.log.append(live.rows(n))
                if others is not None:
                    others.append(n)
                done += n
            time.sleep(0.1)
        share = (live.cpu_s() - before) / (time.monotonic() - began)
    return [
        (
            "live-cpu-at-50-flows",
            100 * share,
            "% of a core",
            5.0,
            f"a limit; {seconds:.0f} s, scorer and the process that polls MLflow",
            "lower",
        )
    ]


def soak(folder: Path, minutes: float = 30.0) -> list[Row]:
    """Return the scorer's peak memory while twice as much comes in as it can score: it is never idle and never catches up."""
    work = folder / "soak-sshd"
    work.mkdir()
    sshd = start_sshd(work)
    seen: list[float] = []
    try:
        with running(folder, sshd) as live:
            began, done, rotated = time.monotonic(), 0, time.monotonic()
            while time.monotonic() - began < 60 * minutes:
                if (n := min(2 * int(live.status().get("rows", 0)) + 120_000 - done, 60_000)) > 0:
                    live.log.append(live.rows(n))
                    done += n
                if time.monotonic() - rotated > 300:
                    live.log.rotate()
                    rotated = time.monotonic()
                seen.append(live.memory_mb()[0])
                time.sleep(0.2)
            peak, scored = live.memory_mb()[1], int(live.status()["rows"])
    finally:
        sshd.stop()
    third = len(seen) // 3
    growth = float(np.mean(seen[-third:]) - np.mean(seen[third : 2 * third]))
    note = f"a limit; {minutes:g} min at twice its capacity: {done:,} rows written, {scored:,} scored"
    return [
        ("live-soak-peak-rss", peak, "MB", 500, note, "lower"),
        ("live-soak-growth-last-third", growth, "MB", 15, "a limit; mean of the last third less the third before", "lower"),
    ]
