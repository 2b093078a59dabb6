"""The whole pipeline on a synthetic site: simulated sensor, Airflow, MLflow, and a summary of the results."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlids.alerts.stores import open_stores
from mlids.alerts.stores.alerts import AlertStore
from mlids.cases.severity import Severity
from mlids.demo.sensor import LOGS, DemoSensor
from mlids.demo.sensor import NAME as SENSOR
from mlids.demo.stack import MLFLOW_USER, USER, Stack, task_log_tail
from mlids.errors import StackError
from mlids.files import write_atomic
from mlids.scoring.status import ScorerState
from mlids.settings import load_settings
from mlids.synth.archive import ImplantedAttack

DAYS = 14
LIVE_ATTACKS = ("horizontal_scan", "brute_force")
LIVE_INTRUSIONS = ("medusa_login", "remcom")  # they show in several logs; nobody waits until conn.log shows them
LIVE_S = 40.0
MLFLOW_LOGIN = f"user {MLFLOW_USER}, password `mlflow` in secrets.json of the home"


class Demo:
    """One run of the demo in one home folder."""

    def __init__(self, home: Path, *, flows: int = 20_000, seed: int = 7, say: Callable[[str], None]) -> None:
        self.home = home.resolve()
        self._say_line = say
        self._began = time.monotonic()
        self._sensor = DemoSensor(self.home, flows=flows, seed=seed)
        # A day is ingested from 02:05 on: before that, yesterday is not over for the schedule either.
        self._today = (datetime.now(UTC) - timedelta(hours=2, minutes=6)).date()
        self._days = [self._today - timedelta(days=n) for n in range(DAYS, 0, -1)]
        self.stack: Stack | None = None

    def say(self, message: str) -> None:
        """Print one line of progress with the seconds since the start."""
        self._say_line(f"[{time.monotonic() - self._began:5.0f} s] {message}")

    def run(self) -> dict[str, Any]:
        """Run every step and return the summary. Raises StackError with the end of the log when a step fails."""
        self._write_site()
        self._sensor.start(self._today)
        self.stack = Stack(self.home)
        self.stack.start(self.say)
        self.say(
            f"Airflow: {self.stack.airflow_url} (user {USER}, password {self.stack.password}), MLflow: {self.stack.mlflow_url} ({MLFLOW_LOGIN})"
        )
        self._unpause("zeek_ingest", "model_rollback")
        # The run of last night, which Airflow starts by itself: a backfill beside it has made the scheduler end.
        self._watch("zeek_ingest", lambda runs: runs, 1, limit_s=300)
        self._backfill()
        self._unpause("train_weekly", "drift_weekly", "report_weekly")  # not before: each week of the backfill would be trained on
        start, end = (self._today - timedelta(days=7)).isoformat(), self._today.isoformat()
        self._trigger("train_weekly", {"start": start, "end": end})
        self._unpause("score_live")
        self._trigger("drift_weekly", {"start": start, "end": end})
        live = self._replay_attack()
        ledger = self._close_day()
        self._trigger("report_weekly", {"start": start, "end": end})
        return self._summary(live, ledger)

    def stop(self) -> None:
        """Stop the sensor and the stack, with all processes that they started."""
        if self.stack is not None:
            self.stack.stop()
        self._sensor.stop()

    def _write_site(self) -> None:
        if self._sensor.has(self._days):
            self.say("using the site of an earlier run")
            return
        self.say(f"writing {DAYS} days of a synthetic site behind a simulated sensor")
        total = self._sensor.write(self._days)
        self.say(f"{total:,} conns written, {len(self._sensor.implanted())} attacks implanted; labels are in {self._sensor.labels.name}")

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

    def _backfill(self) -> None:
        assert self.stack is not None
        self.say(f"zeek_ingest: backfill from {self._days[0]} to {self._days[-1]}")
        body = {
            "dag_id": "zeek_ingest", "from_date": f"{self._days[0]}T00:00:00Z", "to_date": f"{self._days[-1]}T23:59:00Z",
            "max_active_runs": 3, "reprocess_behavior": "completed", "dag_run_conf": {},
        }  # fmt: skip
        self.stack.api("POST", "/api/v2/backfills", body)
        # The schedule may have started yesterday's run already; it counts as well.
        first, last = self._days[0].isoformat(), self._days[-1].isoformat()
        self._watch("zeek_ingest", lambda runs: [r for r in runs if first <= (r["logical_date"] or "")[:10] <= last], DAYS)

    def _watch(
        self, dag: str, choose: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], count: int, limit_s: float = 1_800.0
    ) -> None:
        assert self.stack is not None
        end = time.monotonic() + limit_s
        reported = -1
        while True:
            self.stack.check()
            runs = choose(self.stack.api("GET", f"/api/v2/dags/{dag}/dagRuns?limit=100&order_by=-run_after")["dag_runs"])
            for run in runs:
                if run["state"] == "failed":
                    raise StackError(
                        f"{dag} run {run['dag_run_id']} failed; the end of its log:\n{task_log_tail(self.home, dag, run['dag_run_id'])}"
                    )
            done = sum(r["state"] == "success" for r in runs)
            if done != reported and count > 1:
                self.say(f"{dag}: {done} of {count} runs done")
                reported = done
            if done >= count:
                return
            if time.monotonic() > end:
                raise StackError(f"{dag} did not finish in {limit_s:.0f} s; see {self.stack.logs}")
            time.sleep(1.0)

    def _trigger(self, dag: str, conf: dict[str, Any]) -> None:
        assert self.stack is not None
        self.say(f"{dag}: triggered")
        # With an id of our own, a repeated request does not start a second run.
        run_id = f"demo__{datetime.now(UTC):%Y%m%dT%H%M%S}"
        self.stack.api("POST", f"/api/v2/dags/{dag}/dagRuns", {"dag_run_id": run_id, "logical_date": None, "conf": conf})
        self._watch(dag, lambda runs: [r for r in runs if r["dag_run_id"] == run_id], 1)
        self.say(f"{dag}: done")

    def _replay_attack(self) -> list[ImplantedAttack]:
        """Write live attacks to the log and print alerts as they arrive; between the attacks the connection is cut."""
        self._wait_for_scorer()
        implanted: list[ImplantedAttack] = []
        printed: set[str] = set()
        alerts = open_stores(self._settings().database).alerts
        for what, conns, begins in self._sensor.attack((*LIVE_ATTACKS, *LIVE_INTRUSIONS), LIVE_S):
            if begins:
                if len(implanted) == 1:
                    self.say("the network between sensor and scorer is cut for a moment")
                    self._sensor.disconnect()
                self.say(f"the sensor sees a live {what.attack.replace('_', ' ')} ({what.profile}): {conns} conns")
                implanted.append(what)
            self._print_new(alerts, printed)
        end = time.monotonic() + 120
        awaited = implanted[: len(LIVE_ATTACKS)]
        while time.monotonic() < end and len(_found(awaited, alerts.latest(since=self._live_from()))) < len(awaited):
            self._print_new(alerts, printed)
            time.sleep(0.5)
        self._print_new(alerts, printed)
        return implanted

    def _live_from(self) -> datetime:
        return datetime.now(UTC) - timedelta(hours=1)

    def _print_new(self, alerts: AlertStore, printed: set[str]) -> None:
        """Print the live alerts that are not printed yet."""
        for alert in reversed(alerts.latest(since=self._live_from())):
            if alert["origin"] == "live" and alert["id"] not in printed:
                printed.add(alert["id"])
                age = (datetime.now(UTC) - datetime.fromisoformat(alert["event"]["end"])).total_seconds()
                self.say(f"live alert, risk {alert['score']:.0f}, {max(age, 0.0):.1f} s after its conn: {alert['message'][:130]}")

    def _close_day(self) -> dict[str, Any]:
        """Rotate the live log, run zeek_ingest for its day, and return the ledger of that day."""
        rotated = time.time()
        day = self._sensor.rotate()
        self.say("the live log is rotated; zeek_ingest compares its day with what was scored live")
        held = self.home / "state" / SENSOR / "checkpoint.json"
        end = time.monotonic() + 60
        while time.monotonic() < end and not (held.exists() and held.stat().st_mtime > rotated + 2.0):
            time.sleep(0.5)  # the checkpoint has what was scored until then
        self._trigger("zeek_ingest", {"day": day})
        ledger = open_stores(self._settings().database).ledger
        row = next((r for r in ledger.days() if r["day"] == day and r["sensor"] == SENSOR), None)
        if row is None or row["missing"] is None:
            raise StackError(f"the ledger of {day} was not closed; see {self.home / 'airflow' / 'logs'}")
        found = {k: row[k] for k in ("archived", "live", "late", "missing", "rejected")}
        self.say("ledger of that day: " + ", ".join(f"{v:,} {k}" for k, v in found.items()))
        return found

    def _wait_for_scorer(self) -> None:
        assert self.stack is not None
        self.say("score_live: waiting until the scorer follows the sensor")
        end = time.monotonic() + 120
        path = self.home / "state" / SENSOR / "status.json"
        while time.monotonic() < end:
            self.stack.check()
            with suppress(OSError, ValueError):
                status = json.loads(path.read_text(encoding="utf-8"))
                fresh = datetime.now(UTC) - datetime.fromisoformat(status["updated_at"]) < timedelta(seconds=5)
                if ScorerState(status["state"]).is_following and fresh:
                    return
            time.sleep(0.5)
        raise StackError(f"score_live did not follow the sensor in 120 s; see {self.home / 'airflow' / 'logs'}")

    def _settings(self) -> Any:
        return load_settings(home=self.home, mlflow_tracking_uri=self.stack.tracking_uri if self.stack else "")

    def _summary(self, live: Sequence[ImplantedAttack], live_ledger: dict[str, Any]) -> dict[str, Any]:
        assert self.stack is not None
        from mlids import pipeline

        settings = self._settings()
        stores = open_stores(settings.database)
        ledger = stores.ledger.days(self._days[0], self._today)
        alerts = stores.alerts.latest(limit=100_000)
        implanted = [*self._sensor.implanted(), *live]
        reports = sorted(p for p in settings.reports.glob("weekly-*") if p.suffix in {".html", ".pdf"})
        lake = pipeline.open_lake(settings)
        in_lake = sum(m.rows for log in LOGS for d in self._days if (m := lake.manifest(log, SENSOR, d)))
        model = pipeline.production_facts(settings)
        found = _found(implanted, alerts)
        cases = stores.cases.latest(least=Severity.MEDIUM, limit=10_000)
        summary = {
            "rows_pulled": in_lake + sum(r["rejected"] for r in ledger), "rows_in_lake": in_lake, "rows_rejected": sum(r["rejected"] for r in ledger),
            "model_version": model["version"] if model else None, "metrics": model["metrics"] if model else {},
            "alerts": len(alerts), "alerts_right": right_alerts(implanted, alerts), "attacks_planted": len(implanted), "attacks_found": len(found),
            "attacks_missed": sorted({p.attack for p in implanted if id(p) not in {id(f) for f in found}}),
            **judged_cases(implanted, cases),
            "live_ledger": live_ledger, "report": [str(p) for p in reports], "seconds": round(time.monotonic() - self._began, 1),
            "memory_mb": round(self.stack.memory_bytes() / 1e6),
            "airflow": self.stack.airflow_url, "mlflow": self.stack.mlflow_url,
        }  # fmt: skip
        write_atomic(self.home / "demo-summary.json", json.dumps(summary, indent=1))
        return summary


def _found(implanted: Sequence[ImplantedAttack], alerts: Sequence[dict[str, Any]]) -> list[ImplantedAttack]:
    """Return the attacks with at least one conn named by an alert."""
    named = {uid for a in alerts for uid in a["mlids"]["uids"]}
    return [p for p in implanted if named & set(p.uids)]


def right_alerts(implanted: Sequence[ImplantedAttack], alerts: Sequence[dict[str, Any]]) -> int:
    """Return how many alerts are implanted attacks: at least half of the conns that they name belong to one."""
    attacks = {uid for p in implanted for uid in p.uids}
    named = [a["mlids"]["uids"] for a in alerts]
    return sum(bool(uids) and 2 * len(attacks & set(uids)) >= len(set(uids)) for uids in named)


def judged_cases(implanted: Sequence[ImplantedAttack], cases: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return how many cases of medium severity or more there are, how many are implanted attacks, and how many attacks are in one.

    A case is right when its evidence names a conn of an attack, or its host is a source of one that began in its time.
    `cases_per_attack` is the mean over attacks that are in a case; null without one.
    """
    by_uid = {uid: number for number, p in enumerate(implanted) for uid in p.uids}
    right, hits = 0, Counter[int]()
    for case in cases:
        named = {by_uid[uid] for e in case["evidence"] for uid in e["uids"] if uid in by_uid}
        hits.update(named)
        day = slice(0, 10)
        begun = any(
            case["host"] in p.sources and case["first"] is not None and case["first"][day] <= p.start[day] <= case["last"][day]
            for p in implanted
        )
        right += bool(named) or begun
    return {
        "cases": len(cases), "cases_right": right, "attacks_in_cases": len(hits),
        "cases_per_attack": round(sum(hits.values()) / len(hits), 2) if hits else None,
    }  # fmt: skip


def show_summary(summary: dict[str, Any], password: str, out: Any = sys.stdout) -> None:
    """Print the summary as text."""
    metrics = summary["metrics"]
    model = f"{'none':>12}   the first training was refused; the reference model scores"
    if summary["model_version"] is not None:
        quality = (metrics.get(name, float("nan")) for name in ("pr_auc_at_1pct", "recall_at_fpr_1pct"))
        model = "{:>12}   PR-AUC at 1 % {:.3f}, recall at 1 % FPR {:.3f} (held-out rows)".format(summary["model_version"], *quality)
    lines = [
        "",
        f"  rows pulled        {summary['rows_pulled']:>12,}",
        f"  rows in the lake   {summary['rows_in_lake']:>12,}   ({summary['rows_rejected']:,} rejected)",
        f"  model version      {model}",
        f"  attacks found      {summary['attacks_found']:>5} of {summary['attacks_planted']:<4}"
        + (f"   missed: {', '.join(summary['attacks_missed'])}" if summary["attacks_missed"] else ""),
        f"  precision          {summary['alerts_right']:>5} of {summary['alerts']:<4}   alerts are implanted attacks",
        f"  cases              {summary['cases_right']:>5} of {summary['cases']:<4}   cases of medium severity or more are implanted attacks; {summary['attacks_in_cases']} attacks are in a case"
        + (f", {summary['cases_per_attack']:.1f} cases each" if summary["cases_per_attack"] is not None else ""),
        f"  ledger of today    {summary['live_ledger']['live']:>12,}   scored live, {summary['live_ledger']['late']:,} late, {summary['live_ledger']['missing']:,} missing",
        *(f"  report             {path}" for path in summary["report"][-2:]),
        f"  Airflow            {summary['airflow']}   (user {USER}, password {password})",
        f"  MLflow             {summary['mlflow']}   ({MLFLOW_LOGIN})",
        f"  took               {summary['seconds']:.0f} s, {summary['memory_mb']:,} MB",
        "",
    ]
    out.write("\n".join(lines))
    out.flush()
