"""A sensor with several growing logs and a scorer that follows them all, with the means to break each and to count afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mlids.alerts.stores import open_stores
from mlids.demo.simulated_sensor import SimulatedSensor
from mlids.detectors.reference import load_reference
from mlids.evidence.base import Evidence
from mlids.evidence.collecting import Collectors
from mlids.pipeline.live import make_scorer
from mlids.scoring import checkpoint, other_logs
from mlids.scoring.live import Scorer
from mlids.settings import load_settings
from mlids.synth.archive import write_days
from mlids.synth.growing import GrowingLog
from mlids.synth.site import Site
from mlids.zeek.log_types import log_type_of
from mlids.zeek.reader import LogReader, find_logs

SENSOR = "hq"
DAY = date(2026, 11, 4)
# How a child process scores: as the thread of `start` does, with the reference model.
_CHILD = """
import mlids.scoring.checkpoint as c, mlids.scoring.other_logs as o
c.EVERY_S, c.SHARE, o.POLL_S, o.SAVE_S, o.ABSENT_S = 0.1, 1.0, 0.05, 0.15, 0.3
from mlids.pipeline.live import follow, make_scorer
from mlids.settings import load_settings
from tests.faults.log_field import Reference
follow(make_scorer(load_settings(), "hq", Reference()), 60)
"""


class Reference:
    """The reference model, as live scoring takes a model."""

    error = note = None

    def current(self) -> Any:
        """Return it."""
        return load_reference()


def day_rows(folder: Path, flows: int = 1_500) -> dict[str, pl.DataFrame]:
    """Return one day of a synthetic site by log, in written order, with attacks that show in several logs."""
    list(write_days(folder, Site(5), [DAY], flows=flows, attacks_per_day=2.0, intrusions_per_day=3.0, suffix=".log"))
    return read_frames(find_logs(folder))


def read_frames(paths: Iterable[Path]) -> dict[str, pl.DataFrame]:
    """Return the rows of logs by log type."""
    frames: dict[str, list[pl.DataFrame]] = {}
    for path in paths:
        for batch in LogReader(path):
            frames.setdefault(batch.log, []).append(batch.frame.drop("line", strict=False))
    return {log: pl.concat(parts, how="diagonal_relaxed") for log, parts in frames.items()}


@dataclass(frozen=True)
class LogOutcome:
    """The counts after a fault: rows of all logs written and read, pieces of evidence of one pass over the files and found live."""

    fault: str
    logs: int
    written: int
    read: int
    expected: int
    found: int


@dataclass
class LogField:
    """One home, one sensor, its growing logs, and at most one running scorer."""

    home: Path
    root: Path
    sensor: SimulatedSensor
    rows: Mapping[str, pl.DataFrame]
    logs: dict[str, GrowingLog] = field(default_factory=dict)
    at: dict[str, int] = field(default_factory=dict)
    scorer: Scorer | None = None
    thread: threading.Thread | None = None
    failure: list[BaseException] = field(default_factory=list)
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def beside(self) -> list[str]:
        """The names of the logs beside conn.log."""
        return [name for name in self.rows if name != "conn"]

    def write(self, share: float, only: Iterable[str] | None = None) -> None:
        """Write the next share of the rows of some logs, or of all; a log is opened with its first row."""
        for name in only or self.rows:
            rows, at = self.rows[name], self.at.get(name, 0)
            upto = min(at + max(round(share * rows.height), 1), rows.height)
            if upto > at:
                self.open(name).append(rows[at:upto])
            self.at[name] = upto

    def open(self, name: str) -> GrowingLog:
        """Return a growing log, which is made when it does not exist."""
        if name not in self.logs:
            self.logs[name] = GrowingLog(self.root, log=name)
        if not self.logs[name].path.exists():
            self.logs[name].open()
        return self.logs[name]

    def rotate(self, names: Iterable[str] | None = None, **how: Any) -> None:
        """Rotate some logs, or all that exist; the names of their archives hold whole seconds."""
        chosen = [self.logs[name] for name in list(names or self.logs) if self.logs[name].path.exists()]
        opened = max(log._opened for log in chosen)
        time.sleep(max((opened - datetime.now(UTC)).total_seconds() + 1.05, 0.0))
        for log in chosen:
            log.rotate(**how)

    def start(self) -> Scorer:
        """Start a scorer in a thread of this process."""
        self.scorer = make_scorer(load_settings(), SENSOR, Reference())  # type: ignore[arg-type]
        return self.run()

    def run(self) -> Scorer:
        """Run the scorer of this process, again if it has failed."""
        scorer = self.scorer
        assert scorer is not None

        def run() -> None:
            try:
                scorer.run()
            except BaseException as error:
                self.failure.append(error)

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        return scorer

    def begin(self, share: float, only: Iterable[str] | None = None) -> Scorer:
        """Start a scorer, write a share of the rows, and wait until they are taken."""
        scorer = self.start()
        self.write(share, only)
        assert self.caught_up(), (self.taken(), self.written(), self.error, self.failure)
        return scorer

    def stop(self) -> None:
        """Stop the scorer of this process."""
        if self.scorer is not None and self.thread is not None:
            self.scorer.stop()
            self.thread.join(timeout=40)
            assert not self.thread.is_alive(), "the scorer did not stop"
            self.scorer = self.thread = None

    def child(self, code: str = "") -> subprocess.Popen[bytes]:
        """Start a scorer in its own process; `code` runs before it and places a fault."""
        env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        made = subprocess.Popen([sys.executable, "-c", code + _CHILD], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
        self.children.append(made)
        return made

    def scored_by(self) -> int | None:
        """Return the process of the last status; None before the first."""
        try:
            return int(json.loads((self.home / "state" / SENSOR / "status.json").read_text())["pid"])
        except (OSError, ValueError):
            return None

    def close(self) -> None:
        """End everything that was started."""
        for child in self.children:
            child.kill()
            child.wait()
        self.stop()
        self.sensor.stop()

    def taken(self) -> dict[str, int]:
        """Return the rows read over all runs, by log."""
        assert self.scorer is not None
        return {name: counts.rows for name, counts in self.scorer._cases.logs.status.logs.items()} | {"conn": self.scorer.status.rows}

    def written(self) -> dict[str, int]:
        """Return the rows written, by log."""
        return {name: log.rows for name, log in self.logs.items()}

    def caught_up(self, seconds: float = 20.0) -> bool:
        """Wait until every written row was taken; a row taken twice is one too many."""
        return until(lambda: all(self.taken().get(n, 0) >= rows for n, rows in self.written().items()), seconds)

    def settle(self) -> None:
        """Assert that every row was taken once, and that the evidence of the logs is that of one pass over what was written."""
        self.settle_counts()
        assert told(self.evidence()) == told(self.expected())

    def outcome(self, fault: str) -> LogOutcome:
        """Settle, and return the table row of a fault."""
        self.settle()
        beside = self.beside
        return LogOutcome(
            fault, len(beside), sum(self.written()[n] for n in beside), sum(self.taken()[n] for n in beside),
            len(self.expected()), len(self.evidence()),
        )  # fmt: skip

    def settle_counts(self) -> None:
        """Assert that every row was taken once."""
        assert self.caught_up(), (self.taken(), self.written(), self.error)
        time.sleep(0.4)  # a row taken twice would come now
        assert {n: self.taken().get(n, 0) for n in self.written()} == self.written()

    @property
    def error(self) -> str | None:
        """What the status says of the logs beside conn.log."""
        assert self.scorer is not None
        return self.scorer._cases.logs.status.error

    def evidence(self) -> list[Evidence]:
        """Return the evidence that the running scorer has of the logs beside conn.log."""
        assert self.scorer is not None
        cases = self.scorer._cases
        assert cases.day.day is not None
        found = cases.logs.evidence(cases.day.day, cases.day.so_far().site)
        assert found is not None
        return found[1]

    def expected(self, rows: Mapping[str, pl.DataFrame] | None = None) -> list[Evidence]:
        """Return the evidence of one pass over the files, or over `rows`, as `mlids score` makes it."""
        assert self.scorer is not None
        collectors = Collectors(load_settings().networks)
        live = load_settings().live_logs
        for path in sorted(find_logs(self.root), key=lambda p: p.parent.name == "current"):
            if rows is None and log_type_of(path.name) in live:
                for batch in LogReader(path):
                    collectors.add(batch.log, batch.frame)
        for name, frame in (rows or {}).items():
            collectors.add(name, frame)
        found = collectors.evidence(self.scorer._cases.day.so_far().site(collectors.names))
        assert len({e.log for e in found}) >= 2, "without evidence none can be lost"
        return found

    def cases(self) -> list[dict[str, Any]]:
        """Return the stored cases."""
        return open_stores(load_settings().database).cases.latest()


def told(evidence: Iterable[Evidence]) -> list[tuple[Any, ...]]:
    """Return what must be equal of evidence: all but the words, sorted."""
    return sorted(
        (e.log, e.kind, e.source, e.target, e.subject, round(e.score, 6), e.count, sorted(e.uids), str(e.first), str(e.last))
        for e in evidence
    )


def until(seen: Callable[[], bool], seconds: float = 30.0) -> bool:
    """Wait until `seen` is true; return whether it is."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if seen():
            return True
        time.sleep(0.03)
    return False


def make_log_field(folder: Path, patch: pytest.MonkeyPatch, rows: Mapping[str, pl.DataFrame]) -> LogField:
    """Return a field in a home of its own, whose sensor is an SSH server."""
    home, root = folder / "home", folder / "logs"
    home.mkdir(parents=True)
    patch.setenv("MLIDS_HOME", str(home))
    patch.setenv("MLIDS_POLL_INTERVAL_S", "0.1")
    patch.setenv("MLIDS_LIVE_LOGS", ",".join(n for n in rows if n != "conn"))
    for module, name, value in (
        (checkpoint, "EVERY_S", 0.2), (checkpoint, "SHARE", 1.0), (other_logs, "POLL_S", 0.05), (other_logs, "SAVE_S", 0.2), (other_logs, "ABSENT_S", 0.3),
    ):  # fmt: skip
        patch.setattr(module, name, value)
    (root / "current").mkdir(parents=True)
    sensor = SimulatedSensor(root, folder / "client", folder / "host").start()
    (home / "known_hosts").write_text(sensor.known_hosts_line() + "\n")
    (home / "sensors.toml").write_text(
        f'[[sensor]]\nname = "{SENSOR}"\nhost = "127.0.0.1"\nport = {sensor.port}\nkey_file = "{folder}/client"\nlogs = "/"\ntimeout_s = 3\n'
        f"types = [{', '.join(repr(n) for n in rows)}]\n"
    )
    return LogField(home, root, sensor, rows)
