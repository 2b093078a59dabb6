"""A sensor, its growing log and a scorer, with the means to break each of them and to count rows and alerts afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mlids import pipeline
from mlids.alerts.aggregation import AlertAggregator
from mlids.demo.simulated_sensor import SimulatedSensor
from mlids.detectors.bundle import Model
from mlids.detectors.verdict import judge
from mlids.features.extract import Extractor
from mlids.ingest.follow import FollowOptions
from mlids.pipeline.live import make_scorer
from mlids.pipeline.registry_watch import watch_command
from mlids.scoring import checkpoint
from mlids.scoring.live import Scorer
from mlids.scoring.live_model import ProductionModel
from mlids.settings import Settings, load_settings
from mlids.synth.archive import attack_hosts
from mlids.synth.attacks import brute_force, horizontal_scan, vertical_scan
from mlids.synth.draft import CONN_NAMES, written_order
from mlids.synth.growing import GrowingLog
from mlids.synth.site import Site
from mlids.zeek.types import conn_columns
from tests.conftest import audit_production, copy_home

SENSOR = "hq"
FLOWS = 1_500


def traffic(end: datetime, flows: int = FLOWS) -> pl.DataFrame:
    """Return conns that all ended within the hour before `end`, three attacks among them, in written order."""
    site, rng = Site(3), np.random.default_rng(4)
    start = end - timedelta(hours=1)
    parts = [site.day(start.date(), flows)]
    parts += [
        attack(start.timestamp() + 60, attack_hosts(site), rng).frame(rng) for attack in (horizontal_scan, brute_force, vertical_scan)
    ]
    rows = pl.concat(parts)
    # Squeeze the day into the hour, in its own order.
    rank = written_order(rows)
    n = rank.height
    ended = pl.Series(np.linspace(start.timestamp() + 10, end.timestamp() - 10, n) * 1e6).cast(pl.Int64)
    span = rank["duration"].clip(0.0, 600.0)
    began = (ended - (span.fill_null(0.0) * 1e6).cast(pl.Int64)).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return rank.with_columns(ts=began, duration=span).select(CONN_NAMES)


@dataclass
class Outcome:
    """The counts after a fault: one row of the table."""

    fault: str
    written: int
    live: int
    late: int
    rejected: int
    missing: int
    lost: int
    doubled: int


@dataclass
class Field:
    """One home, one sensor, one log, and at most one running scorer."""

    home: Path
    logs: Path
    sensor: SimulatedSensor
    log: GrowingLog
    rows: pl.DataFrame
    scorer: Scorer | None = None
    thread: threading.Thread | None = None
    model: ProductionModel | None = None
    failure: list[BaseException] = field(default_factory=list)
    follow: FollowOptions | None = None
    at: int = 0
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        """The settings of this home."""
        return load_settings()

    def write(self, share: float) -> None:
        """Write the next share of the rows to the log."""
        upto = min(self.at + round(share * self.rows.height), self.rows.height)
        self.log.append(self.rows[self.at : upto])
        self.at = upto

    def write_rest(self) -> None:
        """Write the remaining rows to the log."""
        self.write(1.0)

    def start(self) -> Scorer:
        """Start a scorer in a thread of this process."""
        self.model = ProductionModel(
            watch_command(self.settings.tracking_uri, self.settings.model_name), self.settings.state / "model", poll_s=0.2
        ).__enter__()
        self.scorer = make_scorer(self.settings, SENSOR, self.model, self.follow)
        scorer = self.scorer

        def run() -> None:
            try:
                scorer.run()
            except BaseException as error:
                self.failure.append(error)

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        return scorer

    def begin(self, share: float) -> Scorer:
        """Start a scorer, write a share of the rows, and wait until they are scored."""
        scorer = self.start()
        self.write(share)
        assert self.caught_up()
        return scorer

    def stop(self) -> None:
        """Stop the scorer."""
        if self.scorer is not None and self.thread is not None and self.model is not None:
            self.scorer.stop()
            self.thread.join(timeout=15)
            assert not self.thread.is_alive(), "the scorer did not stop"
            self.model.__exit__()
            self.scorer = self.thread = None

    def child(self, code: str = "", seconds: int = 60) -> subprocess.Popen[bytes]:
        """Start a scorer in its own process; `code` runs before it and places a fault."""
        run = f"import mlids.scoring.checkpoint as c; c.EVERY_S = 0.1; c.SHARE = 1.0\n{code}\nfrom mlids import pipeline; pipeline.score_live('{SENSOR}', {seconds})"
        made = subprocess.Popen([sys.executable, "-c", run], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ))
        self.children.append(made)
        return made

    def close(self) -> None:
        """End everything that was started."""
        for child in self.children:
            child.kill()
            child.wait()
        self.stop()
        self.sensor.stop()

    def until(self, seen: Callable[[], bool], seconds: float = 60.0) -> bool:
        """Wait until `seen` is true; return whether it is."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if seen():
                return True
            time.sleep(0.05)
        return False

    def taken(self) -> int:
        """Rows that the running scorer has scored or rejected."""
        return self.scorer.status.rows + self.scorer.status.rejected if self.scorer is not None else 0

    def caught_up(self, seconds: float = 60.0) -> bool:
        """Wait until every written row was taken."""
        return self.until(lambda: self.taken() >= self.log.rows, seconds)

    def waiting_bytes(self) -> int:
        """Bytes of an incomplete last line that the scorer has read."""
        follower = self.scorer._follower if self.scorer is not None else None
        cursor = follower._cursor if follower is not None else None
        return cursor._lines.waiting_bytes if cursor is not None else 0

    def checkpointed(self) -> dict[str, Any]:
        """Return the checkpoint on disk; empty while there is none."""
        try:
            held: dict[str, Any] = json.loads((self.home / "state" / SENSOR / "checkpoint.json").read_text())
        except FileNotFoundError:
            return {}
        return held

    def night(self) -> list[dict[str, Any]]:
        """Rotate and archive what is left, pull every day that the sensor has, and reconcile; return the outcomes."""
        self.stop()
        if self.log.path.exists():
            self.log.rotate(reopen=False)
        self.log.archive_waiting()
        self.sensor.faults.denied.clear()
        out = []
        for day in sorted(p.name for p in self.logs.iterdir() if p.name != "current"):
            pulled = pipeline.pull(SENSOR, day)
            pipeline.build_lake(SENSOR, day, pulled["problems"])
            out.append(pipeline.reconcile(SENSOR, day))
        return out

    def expected(self, first: Model | None = None, rows: int = 0) -> dict[str, int]:
        """Return the alerts (id and count) of one undisturbed pass over the rows; `first` judges so many rows before production's model does."""
        registry = pipeline.open_registry(self.settings)
        model = registry.load("production")
        conns = conn_columns(self.rows).with_columns(sensor=pl.lit(SENSOR))
        extractor, aggregator = Extractor(self.settings.networks), AlertAggregator()
        found: dict[str, int] = {}
        parts = [(first, conns[:rows])] if first is not None else []
        parts += [(model, conns[start : start + 500]) for start in range(rows, conns.height, 500)]
        for used, part in parts:
            x = extractor.features(part)
            found |= {a.id: a.count for a in aggregator.add(used, part, x, judge(used, x))}
        assert len(found) >= 3, "without alerts a fault cannot lose any"
        return found

    def found(self) -> dict[str, int]:
        """Return the alerts (id and count) in the database."""
        return {a["id"]: a["mlids"]["count"] for a in pipeline.open_stores(self.settings).alerts.latest(limit=100_000)}

    def doubled(self) -> int:
        """Return how many documents a log shipper would see twice."""
        ids = Counter(
            json.loads(line)["event"]["id"]
            for path in (self.home / "alerts").glob("alerts-*.jsonl")
            for line in path.read_text().splitlines()
        )
        return sum(n - 1 for n in ids.values())

    def settle(self, fault: str, *, rejected: int | None = None, expected: dict[str, int] | None = None) -> Outcome:
        """Run the nightly tasks and count: the table row of a fault. `expected` is that of one undisturbed pass by default."""
        expected = self.expected() if expected is None else expected
        days = self.night()
        total = {k: sum(d[k] for d in days) for k in ("live", "late", "missing", "rejected")}
        found = self.found()
        return Outcome(
            fault, self.log.rows, total["live"], total["late"], total["rejected"] if rejected is None else rejected, total["missing"],
            len(set(expected) - set(found)), self.doubled(),
        )  # fmt: skip


def hold(outcome: Outcome) -> None:
    """Assert that no row and no alert was lost or counted twice."""
    assert outcome.missing == 0 and outcome.written == outcome.live + outcome.late + outcome.rejected, outcome
    assert outcome.lost == 0 and outcome.doubled == 0, outcome


def make_field(trained_home: Path, folder: Path, patch: pytest.MonkeyPatch, **log: Any) -> Field:
    """Return a field in its own home, with the trained model in production."""
    home, logs = folder / "home", folder / "logs"
    home.mkdir(parents=True)
    copy_home(trained_home, home, "mlruns", "bundle.key")
    patch.setenv("MLIDS_HOME", str(home))
    audit_production()
    patch.setenv("MLIDS_POLL_INTERVAL_S", "0.1")
    patch.setattr(checkpoint, "EVERY_S", 0.2)
    patch.setattr(checkpoint, "SHARE", 1.0)
    growing = GrowingLog(logs, **log).open()
    sensor = SimulatedSensor(logs, folder / "client", folder / "host").start()
    (home / "known_hosts").write_text(sensor.known_hosts_line() + "\n")
    (home / "sensors.toml").write_text(
        f'[[sensor]]\nname = "{SENSOR}"\nhost = "127.0.0.1"\nport = {sensor.port}\nkey_file = "{folder}/client"\nlogs = "/"\n'
        f'types = ["conn"]\ntimeout_s = 3\nzone = "{growing.zone_name}"\n'
    )
    return Field(home, logs, sensor, growing, traffic(datetime.now(UTC)))
