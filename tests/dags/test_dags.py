"""DAGs load nothing heavy when parsed, declare intervals, documentation and forms, and run with `dag.test()`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.airflow_runs import AirflowProcess

NAMES = {"zeek_ingest", "train_weekly", "drift_weekly", "report_weekly", "score_live", "live_watch", "model_rollback", "housekeeping"}
HEAVY = {"polars", "sklearn", "mlflow", "evidently", "numba", "onnxruntime", "weasyprint", "paramiko", "mlids"}


@pytest.fixture(scope="module")
def described(airflow: AirflowProcess) -> dict[str, Any]:
    """What parsing loaded and found; asked before anything runs in that process."""
    return airflow.ask("describe")[0]


def test_parsing_loads_nothing_heavy(described: dict[str, Any]) -> None:
    assert not HEAVY & set(described["loaded"])


def test_every_dag_has_docs_tags_an_owner_and_an_explicit_interval(described: dict[str, Any]) -> None:
    assert set(described["dags"]) == NAMES
    for name, dag in described["dags"].items():
        assert dag["doc"].startswith("###") and "mlids" in dag["tags"], name
        assert dag["catchup"] is False and dag["max_active_runs"] in (1, 3), name
        assert all(t["owner"] == "mlids" for t in dag["tasks"].values()), name
        assert dag["timetable"] in {"CronDataIntervalTimetable", "ContinuousTimetable", "NullTimetable"}, f"{name} reads nothing"
        assert dag["params"], f"{name} has no form"


def test_a_form_with_nonsense_is_refused(airflow: AirflowProcess) -> None:
    for form in ({"to": "not a version", "why": "it is worse"}, {"to": "3", "why": ""}):
        assert airflow.ask("form", dag="model_rollback", values=form)[0]["error"]
    assert airflow.ask("form", dag="model_rollback", values={"to": "3", "why": "it is worse"})[0]["error"] is None


def test_ingest_train_and_report_run(described: dict[str, Any], airflow: AirflowProcess, home: Path, synthetic_site: Path) -> None:
    home.mkdir()
    hq = f'[[sensor]]\nname = "hq"\nkind = "folder"\nlogs = "{synthetic_site}"\ntypes = ["conn"]\n'
    (home / "sensors.toml").write_text(hq)
    week = {"start": "2026-11-02", "end": "2026-11-04"}
    assert airflow.run("train_weekly", **week).state == "success"
    assert not (home / "mlruns" / "mlflow.db").exists(), "an empty lake trains nothing, and is no failure"
    assert airflow.run("zeek_ingest", day="2026-11-02").state == airflow.run("zeek_ingest", day="2026-11-03").state == "success"
    first = {p: p.read_bytes() for p in (home / "lake").rglob("*.parquet")}
    assert airflow.run("zeek_ingest", day="2026-11-03").state == "success"
    assert airflow.run("train_weekly", **week).state == airflow.run("report_weekly", **week).state == "success"
    assert airflow.run("model_rollback", why="there is none").state == "failed"
    assert airflow.run("zeek_ingest", day="2030-01-01").state == "failed"
    assert {p: p.read_bytes() for p in (home / "lake").rglob("*.parquet")} == first, "a task run twice leaves the same files"
    assert list((home / "reports").glob("weekly-*.pdf"))
    down = f'[[sensor]]\nname = "down"\nkind = "folder"\nlogs = "{home}/nothing"\n' + hq.replace('"hq"', '"up"')
    (home / "sensors.toml").write_text(down)
    assert airflow.run("zeek_ingest", day="2026-11-03").state == "failed", "a sensor that is down is a failure"
    assert list((home / "lake").glob("conn/sensor=up/**/*.parquet")), "and holds up no other"
    (home / "sensors.toml").write_text(hq)
    assert airflow.run("housekeeping", dry_run=False).state == "success"
    kept = {p: p.read_bytes() for p in (home / "lake").rglob("*.parquet")}
    assert {p: b for p, b in kept.items() if p in first} == first, "nothing is old"
