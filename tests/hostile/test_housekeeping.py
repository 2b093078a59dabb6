"""Housekeeping removes what is old, keeps what is needed, and stands being killed, a store that fails, a wrong clock and a live scorer."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mlids import pipeline
from mlids.alerts.stores import Stores, open_stores
from mlids.cli.__main__ import app
from mlids.errors import StoreError
from mlids.locks import locked, pin
from mlids.pipeline.retention import Clock
from mlids.settings import load_settings
from tests.conftest import CONN_HEADER, conn_line
from tests.hostile.conftest import Field
from tests.support.alerts import alert

LATER = timedelta(days=500)  # everything that the tests make is older than its setting then, save for open cases
MODEL_DAYS = ["2026-11-04", "2026-11-05"]  # what the model in production was trained on
CASE, UNRECONCILED, PLAIN = "2026-11-20", "2026-11-10", ["2026-11-11", "2026-11-12"]
DAYS = [*MODEL_DAYS, CASE, UNRECONCILED, *PLAIN]
TRAINED = "2026-11-04_2026-11-05_all2-aaaaaaaaaaaa"
IDLE = "2026-11-11_2026-11-12_all2-bbbbbbbbbbbb"
NEWEST = "2026-11-11_2026-11-12_all2-cccccccccccc"


def at(later: timedelta) -> Callable[[], Clock]:
    return lambda: Clock(datetime.now(UTC) + later)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let housekeeping begin long after the tests' data was written."""
    monkeypatch.setattr("mlids.pipeline.retention.clock_now", at(LATER))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with something in every store: days, snapshots, versions, runs, reports, alerts, letters, ledger."""
    home = tmp_path_factory.mktemp("made") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLIDS_HOME", str(home))
        for day in DAYS:
            land(home, day)
            pipeline.build_lake("hq", day)
        fill_tables(open_stores(load_settings().database))
        fill_registry(home)
    for name in (TRAINED, IDLE, NEWEST):
        (home / "snapshots" / name).mkdir(parents=True)
        (home / "snapshots" / name / "rows.parquet").write_bytes(b"rows")
    os.utime(home / "snapshots" / NEWEST, (time.time() + 60,) * 2)
    (home / "reports").mkdir()
    for name in ("weekly-2026-11-02_2026-11-09.html", "drift-2026-11-02_2026-11-09.json", "notes.html"):
        (home / "reports" / name).write_text("report")
    (home / "alerts").mkdir(exist_ok=True)
    (home / "alerts" / "alerts-2026-11-20.jsonl").write_text("{}\n")
    letters = [json.dumps({"at": f"{year}-11-20T12:00:00+00:00", "sink": "x", "alert": {}}) for year in (2026, 2999)]
    (home / "alerts" / "dead-letters.jsonl").write_text("\n".join([*letters, "no letter"]) + "\n")
    return home


def land(home: Path, day: str) -> None:
    """Put a day with a row and a rejected line into landing, as a pull does."""
    folder = home / "landing" / "hq" / day
    folder.mkdir(parents=True)
    ts = f"{datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp():.6f}"
    (folder / "conn.00:00:00-01:00:00.log").write_text(CONN_HEADER + conn_line(ts=ts) + "short\trow\n")
    entry = {"name": "conn.00:00:00-01:00:00.log", "size": 1, "mtime": 1, "sha256": "x", "pulled_at": "", "problem": None, "plain_size": 1}
    (folder / "manifest.json").write_text(json.dumps({"sensor": "hq", "day": day, "files": {entry["name"]: entry}}))


def fill_tables(stores: Stores) -> None:
    """An alert that nobody needs, an open case, one with a verdict, and hours of all days but one."""
    stores.alerts.put([alert(1), alert(2, score=95.0), alert(3), alert(4, datetime(2100, 1, 1, tzinfo=UTC))], "live")
    stores.rules.put_verdict(alert(3).id, "true positive", "test")
    for day in DAYS:
        if day != UNRECONCILED:
            stores.ledger.put_hours("hq", day, [{"hour": f"{day}T00:00Z", "archived": 1, "live": 1, "late": 0, "rejected": 0}])
    stores.close()


def fill_registry(home: Path) -> None:
    """Six versions: 1 in production, 2 without an alias and old, 3 the previous one; and a run without a version."""
    import mlflow
    from mlflow import MlflowClient

    mlflow.set_tracking_uri(f"sqlite:///{home}/mlruns/mlflow.db")  # versions of logged models are looked up there
    client = MlflowClient(f"sqlite:///{home}/mlruns/mlflow.db", f"sqlite:///{home}/mlruns/mlflow.db")
    experiment = client.create_experiment("mlids", artifact_location=(home / "mlruns" / "artifacts").as_uri())
    client.create_registered_model("mlids-conn")
    for n in range(7):
        run = client.create_run(experiment, run_name=f"train {n}")
        client.log_param(run.info.run_id, "snapshot", TRAINED)
        client.log_text(run.info.run_id, "card" * 100, "model-card.md")
        nested = client.create_run(experiment, run_name="forest", tags={"mlflow.parentRunId": run.info.run_id})
        client.log_text(nested.info.run_id, "trees" * 100, "sklearn/model.skops")
        if n:
            model = client.create_logged_model(experiment, "model", source_run_id=run.info.run_id)
            (home / "model.onnx").write_bytes(b"graph" * 100)
            client.log_model_artifact(model.model_id, str(home / "model.onnx"))
            client.create_model_version("mlids-conn", f"models:/{model.model_id}", run.info.run_id)
    for alias, version in (("production", "1"), ("previous", "3"), ("challenger", "6")):
        client.set_registered_model_alias("mlids-conn", alias, version)


@pytest.fixture
def kept_home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that home, its MLflow database with the copy's paths."""
    home = copied(made, tmp_path / "home")
    monkeypatch.setenv("MLIDS_HOME", str(home))
    return home


def copied(made: Path, home: Path) -> Path:
    shutil.copytree(made, home)
    columns = (("experiments", "artifact_location"), ("runs", "artifact_uri"), ("logged_models", "artifact_location"))
    db = sqlite3.connect(home / "mlruns" / "mlflow.db")
    for table, column in columns:
        db.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(made), str(home)))
    db.commit()
    db.close()
    return home


def state(home: Path) -> dict[str, Any]:
    """Return what a home holds: files by name, alerts, ledger days, versions, active runs."""
    skip = ("mlids.db", "mlflow.db", "housekeeping", "promotion", "state", "bundle.key")
    files = sorted(str(p.relative_to(home)) for p in home.rglob("*") if not any(word in p.name for word in skip))
    tables = {}
    for database, query in (
        ("mlids.db", "SELECT id FROM alerts"), ("mlids.db", "SELECT sensor, day FROM ledger"), ("mlids.db", "SELECT day, hour FROM hours"),
        ("mlruns/mlflow.db", "SELECT version FROM model_versions WHERE current_stage != 'Deleted_Internal'"),
        ("mlruns/mlflow.db", "SELECT run_uuid FROM runs WHERE lifecycle_stage = 'active'"),
    ):  # fmt: skip
        db = sqlite3.connect(home / database)
        tables[query] = sorted(db.execute(query).fetchall())
        db.close()
    return {"files": files, **tables}


def kept_days(home: Path) -> set[str]:
    return {p.name.removeprefix("date=") for p in (home / "lake" / "conn" / "sensor=hq").glob("date=*")}


def by_store(done: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {d["store"]: d for d in done["stores"]}


@pytest.mark.attack(
    row=14, attack="the disk fills: alerts, days, snapshots, runs and reports are never removed",
    held="each store by its `keep_…_days`; never what a model with an alias was trained on, a version with an alias, an open case or its lake "
    "day (`CASE_DAYS`), an alert with a verdict, or a day not reconciled",
)  # fmt: skip
def test_what_is_needed_stays_and_the_rest_goes(kept_home: Path, later: None, happened: Callable[[str], None]) -> None:
    done = pipeline.housekeeping()
    assert done["failed"] == []
    stores = by_store(done)
    assert kept_days(kept_home) == {*MODEL_DAYS, CASE, UNRECONCILED}
    assert {p.name for p in (kept_home / "landing" / "hq").iterdir()} == {UNRECONCILED}
    assert {p.name for p in (kept_home / "snapshots").iterdir()} == {TRAINED, NEWEST}
    assert {p.name for p in (kept_home / "reports").iterdir()} == {
        "weekly-2026-11-02_2026-11-09.html",
        "drift-2026-11-02_2026-11-09.json",
        "notes.html",
    }
    assert not list(kept_home.rglob("_quarantine.jsonl")) and not list((kept_home / "alerts").glob("alerts-*"))
    assert len((kept_home / "alerts" / "dead-letters.jsonl").read_text().splitlines()) == 2, "a new letter, and a line that is none"
    found = state(kept_home)
    assert [i for (i,) in found["SELECT id FROM alerts"]] == sorted([alert(2).id, alert(3).id])
    versions = next(v for k, v in found.items() if "model_versions" in k)
    assert versions == [(1,), (3,), (4,), (5,), (6,)] and stores["model versions"]["removed"] == 1
    assert stores["runs"]["removed"] == 4, "of version 2 and of a training that was never registered, each with its nested run"
    runs = next(v for k, v in found.items() if "FROM runs" in k)
    assert len(runs) == 10 and len(list((kept_home / "mlruns").rglob("model-card.md"))) == 5
    assert len(list((kept_home / "mlruns").rglob("model.onnx"))) == 5
    assert stores["lake"]["kept"] == {"a model in use was trained on it": 2, "an open case is about it": 1, "not reconciled yet": 1}
    opened = open_stores(load_settings().database)
    (row,) = opened.audit.housekeeping()
    assert "lake 2 (" in row["why"] and "alerts 2 (" in row["why"] and row["who"] == "command line"
    assert opened.audit.rows() == [] and opened.audit.unsettled() == []
    happened(f"{done['removed']} things went, what production, previous, challenger and an open case need stayed")


def test_the_settings_decide_and_nothing_goes_while_they_are_0(kept_home: Path, later: None, monkeypatch: pytest.MonkeyPatch) -> None:
    before = state(kept_home)
    for name in ("LANDING", "LAKE", "QUARANTINE", "SNAPSHOT", "MODEL", "REPORT", "ALERT", "OPEN_CASE", "DEAD_LETTER", "LEDGER"):
        monkeypatch.setenv(f"MLIDS_KEEP_{name}_DAYS", "0")
    assert pipeline.housekeeping()["removed"] == 0 and state(kept_home) == before
    monkeypatch.setenv("MLIDS_KEEP_REPORT_DAYS", "400")
    monkeypatch.setenv("MLIDS_KEEP_OPEN_CASE_DAYS", "450")
    monkeypatch.setenv("MLIDS_KEEP_ALERT_DAYS", "450")
    done = by_store(pipeline.housekeeping())
    assert {name: d["removed"] for name, d in done.items() if d["removed"]} == {"reports": 2, "JSON lines": 1, "alerts": 3}
    monkeypatch.setenv("MLIDS_KEEP_LAKE_DAYS", "5")
    with pytest.raises(Exception, match="training and drift read 14 days; give 14 or more, or 0"):
        pipeline.housekeeping()


def test_a_dry_run_lists_what_would_go_and_removes_nothing(kept_home: Path, later: None) -> None:
    before = state(kept_home)
    shown = CliRunner().invoke(app, ["housekeeping", "--dry-run"])
    assert shown.exit_code == 0 and state(kept_home) == before
    assert f"lake conn hq {PLAIN[0]}: 1, " in shown.output and f"lake conn hq {CASE}: 1, " in shown.output
    assert "stays: an open case is about it" in shown.output
    would = json.loads(CliRunner().invoke(app, ["housekeeping", "--dry-run", "--json"]).output)
    did = json.loads(CliRunner().invoke(app, ["housekeeping", "--json"]).output)
    assert [(d["store"], d["removed"]) for d in would["stores"]] == [(d["store"], d["removed"]) for d in did["stores"]]
    assert would["bytes"] >= did["bytes"] > 0, "the quarantine of a day that goes is counted with both"
    assert pipeline.housekeeping()["removed"] == 0, "twice is as once"


_KILLED = """
import os, signal, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from mlids import locks, pipeline
from mlids.alerts.stores.retention import RetentionStore
from mlids.pipeline import retention
from mlids.training.registry import Registry
from mlids.training.runs import Runs

left = int(sys.argv[1])
retention.clock_now = lambda: retention.Clock(datetime.now(UTC) + timedelta(days=500))

def dying(work, before=False):
    def run(*args, **kwargs):
        global left
        left -= 1
        if left == 0 and not before:
            work(*args, **kwargs)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return work(*args, **kwargs)
    return run

def half(folder):
    next(p for p in sorted(Path(folder).rglob("*")) if p.is_file()).unlink()
    os.kill(os.getpid(), signal.SIGKILL)

rmtree = locks.shutil.rmtree
locks.set_aside = dying(locks.set_aside)
locks.shutil.rmtree = lambda folder: half(folder) if left == 1 else rmtree(folder)
Path.unlink = dying(Path.unlink)
RetentionStore.remove_alerts = dying(RetentionStore.remove_alerts)
RetentionStore.remove_day = dying(RetentionStore.remove_day)
Registry.remove_version = dying(Registry.remove_version)
Runs._remove_artifacts = dying(Runs._remove_artifacts)
pipeline.housekeeping()
"""


def kill_at(place: int, home: Path) -> int:
    environment = os.environ | {"MLIDS_HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-c", _KILLED, str(place)], env=environment, check=False, timeout=120, capture_output=True
    ).returncode


PLACES = [pytest.param([4, 13], id="2 places"), pytest.param(range(1, 30), id="all places", marks=pytest.mark.long)]


@pytest.mark.attack(row=14, attack="housekeeping is killed in the middle", held="killed and run again equals once")
@pytest.mark.parametrize("places", PLACES)
def test_killed_at_any_point_and_run_again_equals_once(
    made: Path, tmp_path: Path, later: None, monkeypatch: pytest.MonkeyPatch, happened: Callable[[str], None], places: list[int]
) -> None:
    once = copied(made, tmp_path / "once")
    monkeypatch.setenv("MLIDS_HOME", str(once))
    pipeline.housekeeping()
    wanted, killed = state(once), 0
    for place in places:
        home = copied(made, tmp_path / str(place))
        killed += kill_at(place, home) == -9
        monkeypatch.setenv("MLIDS_HOME", str(home))
        assert pipeline.housekeeping()["failed"] == []
        assert state(home) == wanted, place
        assert [r["state"] for r in audit(home)] in (["done"], ["failed", "done"], ["done", "done"])
        shutil.rmtree(home)
    assert killed >= min(len(places), 18)
    happened(f"killed at {killed} places; the next run left what one run leaves")


def audit(home: Path) -> list[dict[str, Any]]:
    db = sqlite3.connect(home / "mlids.db")
    found = [{"state": s} for (s,) in db.execute("SELECT state FROM audit ORDER BY id")]
    db.close()
    return found


def test_a_store_that_fails_does_not_stop_the_others(kept_home: Path, later: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLIDS_MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    shown = CliRunner().invoke(app, ["housekeeping", "--json"])
    stores = by_store(json.loads(shown.output))
    assert shown.exit_code == 1
    assert {name for name, d in stores.items() if d["error"]} == {"lake", "snapshots", "model versions", "runs"}
    assert "does not answer" in stores["lake"]["error"] and kept_days(kept_home) == set(DAYS), "nobody says what production needs"
    assert stores["alerts"]["removed"] == 2 and stores["landing"]["removed"] == len(DAYS) - 1
    monkeypatch.setenv("MLIDS_DATABASE_URL", "sqlite:////proc/none/mlids.db")
    with pytest.raises(StoreError, match="database: "):
        pipeline.nightly_housekeeping()


def test_what_is_read_or_written_stays_until_the_next_night(kept_home: Path, later: None) -> None:
    read = kept_home / "lake" / "conn" / "sensor=hq" / f"date={PLAIN[0]}"
    writing = read.with_name(f".new-date={PLAIN[1]}-abc")
    writing.mkdir()
    holds = [pin(read), pin(writing)]
    with locked(kept_home / "landing" / "hq" / PLAIN[0]):  # as a pull does
        done = by_store(pipeline.housekeeping())
    assert read.exists() and writing.exists() and (kept_home / "landing" / "hq" / PLAIN[0]).exists()
    assert (
        done["lake"]["kept"]["in use"] == 1 and done["lake"]["kept"]["it is being written"] == 1 and done["landing"]["kept"]["in use"] == 1
    )
    for hold in holds:
        os.close(hold)
    pipeline.housekeeping()
    assert kept_days(kept_home) == {*MODEL_DAYS, CASE, UNRECONCILED} and not writing.exists()


def test_a_smaller_file_that_awaits_a_decision_keeps_its_day(kept_home: Path, later: None) -> None:
    manifest = kept_home / "landing" / "hq" / PLAIN[0] / "manifest.json"
    stored = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(stored | {"smaller": stored["files"]}))
    pipeline.housekeeping()
    assert {p.name for p in (kept_home / "landing" / "hq").iterdir()} == {PLAIN[0], UNRECONCILED}


def test_a_model_that_does_not_say_what_it_was_trained_on_keeps_the_lake(kept_home: Path, later: None) -> None:
    db = sqlite3.connect(kept_home / "mlruns" / "mlflow.db")
    db.execute("UPDATE params SET value = 'elsewhere' WHERE key = 'snapshot'")
    db.commit()
    db.close()
    done = by_store(pipeline.housekeeping())
    assert "whose days are unknown" in done["lake"]["error"] and kept_days(kept_home) == set(DAYS)


def test_artifacts_that_mlflow_places_elsewhere_are_left_alone(kept_home: Path, later: None) -> None:
    """Whoever may write to MLflow could have it name any folder."""
    db = sqlite3.connect(kept_home / "mlruns" / "mlflow.db")
    db.execute("UPDATE runs SET artifact_uri = ?", ((kept_home / "lake").as_uri(),))
    db.commit()
    db.close()
    assert by_store(pipeline.housekeeping())["runs"]["removed"] == 4 and kept_days(kept_home) >= set(MODEL_DAYS)


@pytest.mark.attack(
    row=14, attack="the clock of this machine is set ahead (by forged time servers), so that everything is old",
    held="a clock that moved by more than 30 days since the last run needs a person (`CLOCK_LEAP`, `--clock-is-right`)",
)  # fmt: skip
def test_a_clock_that_leaps_needs_a_person(kept_home: Path, monkeypatch: pytest.MonkeyPatch, happened: Callable[[str], None]) -> None:
    assert pipeline.housekeeping()["removed"] == 0
    before = state(kept_home)
    for leap in (timedelta(days=4_000), timedelta(days=-2)):
        monkeypatch.setattr("mlids.pipeline.retention.clock_now", at(leap))
        refused = CliRunner().invoke(app, ["housekeeping"])
        assert refused.exit_code == 4 or "a wrong clock would make everything old" in str(refused.exception)
        assert state(kept_home) == before
    monkeypatch.setattr("mlids.pipeline.retention.clock_now", at(LATER))
    assert pipeline.housekeeping(clock_is_right=True)["removed"] > 0
    happened("4,000 days ahead: refused, nothing removed")


def test_one_housekeeping_at_a_time(kept_home: Path) -> None:
    (kept_home / "state").mkdir(exist_ok=True)
    with (kept_home / "state" / "housekeeping.lock").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="another housekeeping is running"):
            pipeline.housekeeping()


@pytest.mark.long
def test_runs_of_real_trainings_go_with_their_artifacts(field: Field, later: None) -> None:
    before = {p for p in field.home.rglob("*") if p.is_file()}
    for _ in range(4):
        field.register()
    made = {p for p in (field.home / "mlruns").rglob("*") if p.is_file()} - before
    assert pipeline.housekeeping()["failed"] == []
    left = {p for p in made if p.exists()}
    assert 0 < len(left) < len(made) and {v.version for v in field.registry.versions()} == {"1", "3", "4", "5"}
    assert all(p.exists() for p in before if "mlruns" in p.parts), "what production has stays"
    field.registry.load("production")
