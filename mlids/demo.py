"""The whole line on a made-up site: simulated sensor, Airflow, MLflow, and a summary of what came of it."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mlids.alerts.database import Database
from mlids.errors import StackError
from mlids.files import write_aside
from mlids.settings import load_settings
from mlids.sources.simulated import SimulatedSensor
from mlids.stack import USER, Stack, task_log_tail
from mlids.synth.archive import Planted, attack_rows, load_labels, save_labels, write_days
from mlids.synth.draft import CONN_NAMES
from mlids.synth.site import Site
from mlids.window import Window
from mlids.zeek.types import CONN
from mlids.zeek.writer import header_lines, tsv_rows

SENSOR = "hq"
DAYS = 14
LIVE_ATTACKS = ("horizontal_scan", "brute_force")
LIVE_S = 25.0


class Demo:
    """One run of the demo in one home folder."""

    def __init__(self, home: Path, *, flows: int = 20_000, seed: int = 7, say: Callable[[str], None]) -> None:
        self.home = home.resolve()
        self._say_line = say
        self._flows = flows
        self._began = time.monotonic()
        self._site = Site(seed, name=SENSOR)
        # A day is ingested from 02:05 on: before that, yesterday is not over for the schedule either.
        self._today = (datetime.now(UTC) - timedelta(hours=2, minutes=6)).date()
        self._days = [self._today - timedelta(days=n) for n in range(DAYS, 0, -1)]
        self._logs = self.home / "sensor" / "logs"
        self._labels = self.home / "sensor-labels.jsonl"
        self._sensor: SimulatedSensor | None = None
        self._trickle_stop = threading.Event()
        self._trickle: threading.Thread | None = None
        self._busy = threading.Lock()
        self.stack: Stack | None = None

    def say(self, message: str) -> None:
        """Print one line of progress with the seconds passed."""
        self._say_line(f"[{time.monotonic() - self._began:5.0f} s] {message}")

    def run(self) -> dict[str, Any]:
        """Run every step and return the summary. Raises StackError at the step that failed, with its log's tail."""
        self._write_site()
        self._start_sensor()
        self.stack = Stack(self.home)
        self.stack.start(self.say)
        self.say(f"Airflow: {self.stack.airflow_url} (user {USER}, password {self.stack.password}), MLflow: {self.stack.mlflow_url}")
        self._unpause("zeek_ingest", "train_weekly", "drift_weekly", "report_weekly", "model_rollback")
        self._let_schedules_settle("train_weekly", "drift_weekly", "report_weekly")
        self._backfill()
        start, end = (self._today - timedelta(days=7)).isoformat(), self._today.isoformat()
        self._trigger("train_weekly", {"start": start, "end": end})
        self._unpause("score_live")
        self._trigger("drift_weekly", {"start": start, "end": end})
        live = self._replay_attack()
        self._trigger("report_weekly", {"start": start, "end": end})
        return self._summary(live)

    def stop(self) -> None:
        """Stop the sensor and the stack; nothing stays behind."""
        self._trickle_stop.set()
        if self._trickle is not None:
            self._trickle.join(timeout=5)
        if self.stack is not None:
            self.stack.stop()
        if self._sensor is not None:
            self._sensor.stop()

    def _write_site(self) -> None:
        have = all((self._logs / d.isoformat()).is_dir() for d in self._days) and self._labels.exists()
        self.say(
            f"writing {DAYS} days of a made-up site behind a simulated sensor" if not have else "the site of an earlier run is still good"
        )
        if have:
            return
        self._labels.unlink(missing_ok=True)
        total = 0
        for _, rows, planted in write_days(self._logs, self._site, self._days, flows=self._flows, attacks_per_day=1.3):
            save_labels(self._labels, planted)
            total += rows
        self.say(f"{total:,} conns written, {len(load_labels(self._labels))} attacks planted, labels kept aside")

    def _start_sensor(self) -> None:
        current = self._logs / "current"
        current.mkdir(parents=True, exist_ok=True)
        self._sensor = SimulatedSensor(self._logs, self.home / "sensor" / "client_key", self.home / "sensor" / "host_key").start()
        (self.home / "known_hosts").write_text(self._sensor.known_hosts_line() + "\n", encoding="utf-8")
        entry = (
            f'[[sensor]]\nname = "{SENSOR}"\nkind = "sftp"\nhost = "127.0.0.1"\nport = {self._sensor.port}\nuser = "zeek"\n'
            f'key_file = {json.dumps(str(self.home / "sensor" / "client_key"))}\nlogs = "/"\ncurrent = "/current"\ntypes = ["conn", "dns"]\n'
        )
        write_aside(self.home / "sensors.toml", entry)
        self._live_log = current / "conn.log"
        with self._live_log.open("wb") as out:
            out.write(header_lines("conn", CONN, datetime.now(UTC)))
        self._trickle = threading.Thread(target=self._trickle_on, name="live-log", daemon=True)
        self._trickle.start()

    def _trickle_on(self) -> None:
        """Write ordinary traffic with today's stamps into the growing log, a little every second."""
        day = self._site.day(self._today, self._flows)
        at = 0
        while not self._trickle_stop.wait(1.0):
            rows = day[np.arange(at, at + 8) % day.height]
            at += 8
            self._append(rows)

    def _append(self, rows: pl.DataFrame) -> None:
        """Append rows as if they had just ended."""
        span = rows["duration"].fill_null(0.0).clip(0.0, 30.0)
        now = datetime.now(UTC)
        stamped = rows.with_columns(
            ts=pl.lit(now).dt.cast_time_unit("us") - pl.Series((span * 1e6).cast(pl.Int64)).cast(pl.Duration("us")),
            duration=pl.when(pl.col("duration").is_not_null()).then(span),
        )
        with self._busy, self._live_log.open("ab") as out:
            out.write(tsv_rows(stamped.select(CONN_NAMES)))

    def _unpause(self, *dags: str) -> None:
        assert self.stack is not None
        for dag in dags:
            end = time.monotonic() + 60
            while True:
                try:
                    self.stack.api("PATCH", f"/api/v2/dags/{dag}", {"is_paused": False})
                    break
                except StackError as error:
                    if "404" not in str(error) or time.monotonic() > end:
                        raise
                    time.sleep(1.0)

    def _let_schedules_settle(self, *dags: str) -> None:
        """Wait for the runs that Airflow starts for last week by itself: with an empty lake they do nothing."""
        for dag in dags:
            self._watch(dag, lambda runs: runs, 1, limit_s=120)

    def _backfill(self) -> None:
        assert self.stack is not None
        self.say(f"zeek_ingest: backfill from {self._days[0]} to {self._days[-1]}")
        body = {
            "dag_id": "zeek_ingest", "from_date": f"{self._days[0]}T00:00:00Z", "to_date": f"{self._days[-1]}T23:59:00Z",
            "max_active_runs": 3, "reprocess_behavior": "completed", "dag_run_conf": {},
        }  # fmt: skip
        self.stack.api("POST", "/api/v2/backfills", body)
        # Yesterday's run may be the one that the schedule started by itself: it counts as well.
        first, last = self._days[0].isoformat(), self._days[-1].isoformat()
        self._watch("zeek_ingest", lambda runs: [r for r in runs if first <= (r["logical_date"] or "")[:10] <= last], DAYS)

    def _watch(self, dag: str, choose: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], count: int, limit_s: float = 400.0) -> None:
        assert self.stack is not None
        end = time.monotonic() + limit_s
        told = -1
        while True:
            self.stack.check()
            runs = choose(self.stack.api("GET", f"/api/v2/dags/{dag}/dagRuns?limit=100&order_by=-run_after")["dag_runs"])
            for run in runs:
                if run["state"] == "failed":
                    raise StackError(
                        f"{dag} run {run['dag_run_id']} failed; the end of its log:\n{task_log_tail(self.home, dag, run['dag_run_id'])}"
                    )
            done = sum(r["state"] == "success" for r in runs)
            if done != told and count > 1:
                self.say(f"{dag}: {done} of {count} runs done")
                told = done
            if done >= count:
                return
            if time.monotonic() > end:
                raise StackError(f"{dag} did not finish in {limit_s:.0f} s; see {self.stack.logs}")
            time.sleep(1.0)

    def _trigger(self, dag: str, conf: dict[str, Any]) -> None:
        assert self.stack is not None
        self.say(f"{dag}: triggered")
        # The id is ours, so that a repeated request cannot start a second run.
        run_id = f"demo__{datetime.now(UTC):%Y%m%dT%H%M%S}"
        self.stack.api("POST", f"/api/v2/dags/{dag}/dagRuns", {"dag_run_id": run_id, "logical_date": None, "conf": conf})
        self._watch(dag, lambda runs: [r for r in runs if r["dag_run_id"] == run_id], 1)
        self.say(f"{dag}: done")

    def _replay_attack(self) -> list[Planted]:
        """Let the sensor see attacks now, and wait until the live scorer has alerted."""
        self._wait_for_scorer()
        now = datetime.now(UTC)
        rng = np.random.default_rng(int(now.timestamp()))
        planted = []
        for frame, what in attack_rows(self._site, LIVE_ATTACKS, Window(now, now + timedelta(hours=6)), rng):
            self.say(f"the sensor sees a live {what.attack.replace('_', ' ')}: {frame.height} conns")
            what = Planted(what.attack, now.isoformat(timespec="seconds"), what.sources, what.uids)
            planted.append(what)
            steps = 25
            for part in range(steps):
                some = frame[part * frame.height // steps : (part + 1) * frame.height // steps]
                if some.height:
                    self._append(some)
                time.sleep(LIVE_S / len(LIVE_ATTACKS) / steps)
        end = time.monotonic() + 60
        database = Database(self._settings().database)
        while time.monotonic() < end:
            alerts = database.alerts(since=now - timedelta(hours=1))
            if len(_found(planted, alerts)) == len(planted):
                break
            time.sleep(0.5)
        for alert in alerts[:4]:
            self.say(f"live alert, risk {alert['score']:.0f}: {alert['message'][:140]}")
        return planted

    def _wait_for_scorer(self) -> None:
        assert self.stack is not None
        self.say("score_live: waiting for the scorer to follow the sensor")
        end = time.monotonic() + 120
        path = self.home / "state" / SENSOR / "status.json"
        while time.monotonic() < end:
            self.stack.check()
            with suppress(OSError, ValueError):
                status = json.loads(path.read_text(encoding="utf-8"))
                fresh = datetime.now(UTC) - datetime.fromisoformat(status["updated_at"]) < timedelta(seconds=5)
                if status["state"] == "following" and fresh:
                    return
            time.sleep(0.5)
        raise StackError(f"score_live did not follow the sensor in 120 s; see {self.home / 'airflow' / 'logs'}")

    def _settings(self) -> Any:
        return load_settings(home=self.home, mlflow_tracking_uri=self.stack.mlflow_url if self.stack else "")

    def _summary(self, live: Sequence[Planted]) -> dict[str, Any]:
        assert self.stack is not None
        from mlids import pipeline

        settings = self._settings()
        database = Database(settings.database)
        ledger = database.ledger(self._days[0], self._today)
        alerts = database.alerts(limit=100_000)
        planted = [*load_labels(self._labels), *live]
        reports = sorted(p for p in settings.reports.glob("weekly-*") if p.suffix in {".html", ".pdf"})
        lake = pipeline.open_lake(settings)
        in_lake = sum(m.rows for log in ("conn", "dns") for d in self._days if (m := lake.manifest(log, SENSOR, d)))
        model = pipeline.production_facts(settings)
        found = _found(planted, alerts)
        summary = {
            "rows_pulled": in_lake + sum(r["rejected"] for r in ledger), "rows_in_lake": in_lake, "rows_rejected": sum(r["rejected"] for r in ledger),
            "model_version": model["version"] if model else None, "metrics": model["metrics"] if model else {},
            "alerts": len(alerts), "attacks_planted": len(planted), "attacks_found": len(found),
            "attacks_missed": sorted({p.attack for p in planted if id(p) not in {id(f) for f in found}}),
            "report": [str(p) for p in reports], "seconds": round(time.monotonic() - self._began, 1),
            "memory_mb": round(self.stack.memory_bytes() / 1e6),
            "airflow": self.stack.airflow_url, "mlflow": self.stack.mlflow_url,
        }  # fmt: skip
        write_aside(self.home / "demo-summary.json", json.dumps(summary, indent=1))
        return summary


def _found(planted: Sequence[Planted], alerts: Sequence[dict[str, Any]]) -> list[Planted]:
    """Return the attacks of which at least one row is named by an alert."""
    named = {uid for a in alerts for uid in a["mlids"]["uids"]}
    return [p for p in planted if named & set(p.uids)]


def show_summary(summary: dict[str, Any], password: str, out: Any = sys.stdout) -> None:
    """Print the summary for a person."""
    figures = summary["metrics"]
    lines = [
        "",
        f"  rows pulled        {summary['rows_pulled']:>12,}",
        f"  rows in the lake   {summary['rows_in_lake']:>12,}   ({summary['rows_rejected']:,} refused)",
        f"  model version      {summary['model_version']:>12}   PR-AUC at 1 % {figures.get('hybrid_pr_auc_at_1pct', float('nan')):.3f}, recall at 1 % FPR {figures.get('hybrid_recall_at_fpr_1pct', float('nan')):.3f} (held-out rows)",
        f"  attacks found      {summary['attacks_found']:>5} of {summary['attacks_planted']:<4}   in {summary['alerts']:,} alerts"
        + (f"; missed: {', '.join(summary['attacks_missed'])}" if summary["attacks_missed"] else ""),
        *(f"  report             {path}" for path in summary["report"][-2:]),
        f"  Airflow            {summary['airflow']}   (user {USER}, password {password})",
        f"  MLflow             {summary['mlflow']}",
        f"  took               {summary['seconds']:.0f} s, {summary['memory_mb']:,} MB",
        "",
    ]
    out.write("\n".join(lines))
    out.flush()
