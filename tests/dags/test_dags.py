"""DAGs load nothing heavy when parsed, declare intervals, documentation and forms, and run with `dag.test()`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

NAMES = {"zeek_ingest", "train_weekly", "drift_weekly", "report_weekly", "score_live", "live_watch", "model_rollback", "housekeeping"}
_RUN = """
import json, sys
dags, runs = sys.argv[1], json.loads(sys.argv[2])
sys.path.insert(0, dags)
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
DagBundlesManager().sync_bundles_to_db()
for name, conf in runs:
    bag = DagBag(dags + "/" + name + ".py")
    assert not bag.import_errors, bag.import_errors
    for task in bag.dags[name].tasks:  # a failure shall be seen at once
        if task.is_mapped:
            task.partial_kwargs["retries"] = 0
        else:
            task.retries = 0
    sync_bag_to_db(bag, "dags-folder", None)
    print("STATE", bag.dags[name].test(run_conf=conf).state)
"""


def run_dags(*runs: tuple[str, dict[str, object]]) -> list[str]:
    """Run DAGs one after the other in one process and return how each ended."""
    command = [sys.executable, "-c", _RUN, str(ROOT / "dags"), json.dumps(runs)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2_400, check=False)
    states = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("STATE ")]
    assert len(states) == len(runs), done.stdout[-3_000:] + done.stderr[-3_000:]
    return states


def test_parsing_loads_nothing_heavy(airflow_home: Path) -> None:
    code = (
        "import sys, pathlib\n"
        f"sys.path.insert(0, {str(ROOT / 'dags')!r})\n"
        f"for p in sorted(pathlib.Path({str(ROOT / 'dags')!r}).glob('*.py')): __import__(p.stem)\n"
        "heavy = {'polars', 'sklearn', 'mlflow', 'evidently', 'numba', 'onnxruntime', 'weasyprint', 'paramiko', 'mlids'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_every_dag_has_docs_tags_an_owner_and_an_explicit_interval(airflow_home: Path) -> None:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(ROOT / "dags"))
    assert not bag.import_errors and set(bag.dags) == NAMES
    for name, dag in bag.dags.items():
        assert dag.doc_md and dag.doc_md.startswith("###") and "mlids" in dag.tags, name
        assert dag.catchup is False and dag.max_active_runs in (1, 3), name
        assert all(t.owner == "mlids" for t in dag.tasks), name
        kind = type(dag.timetable).__name__
        assert kind in {"CronDataIntervalTimetable", "ContinuousTimetable", "NullTimetable"}, f"{name}: {kind} reads nothing"
        assert dag.params, f"{name} has no form"


def test_a_form_with_nonsense_is_refused(airflow_home: Path) -> None:
    from airflow.dag_processing.dagbag import DagBag

    params = DagBag(str(ROOT / "dags")).dags["model_rollback"].params
    with pytest.raises(Exception, match=r"not a version|does not match|too short"):
        params["to"] = "not a version"
        params.validate()


def test_ingest_train_and_report_run(airflow_home: Path, home: Path, synthetic_site: Path) -> None:
    home.mkdir()
    hq = f'[[sensor]]\nname = "hq"\nkind = "folder"\nlogs = "{synthetic_site}"\ntypes = ["conn"]\n'
    (home / "sensors.toml").write_text(hq)
    week: dict[str, object] = {"start": "2026-11-02", "end": "2026-11-04"}
    assert run_dags(("train_weekly", week)) == ["success"]
    assert not (home / "mlruns" / "mlflow.db").exists(), "an empty lake trains nothing, and is no failure"
    assert run_dags(("zeek_ingest", {"day": "2026-11-02"}), ("zeek_ingest", {"day": "2026-11-03"})) == ["success"] * 2
    first = {p: p.read_bytes() for p in (home / "lake").rglob("*.parquet")}
    runs: list[tuple[str, dict[str, object]]] = [("zeek_ingest", {"day": "2026-11-03"}), ("train_weekly", week), ("report_weekly", week)]
    refused: list[tuple[str, dict[str, object]]] = [("model_rollback", {"why": "there is none"}), ("zeek_ingest", {"day": "2030-01-01"})]
    assert run_dags(*runs, *refused) == ["success"] * 3 + ["failed"] * 2
    assert {p: p.read_bytes() for p in (home / "lake").rglob("*.parquet")} == first, "a task run twice leaves the same files"
    assert list((home / "reports").glob("weekly-*.pdf"))
    down = f'[[sensor]]\nname = "down"\nkind = "folder"\nlogs = "{home}/nothing"\n' + hq.replace('"hq"', '"up"')
    (home / "sensors.toml").write_text(down)
    assert run_dags(("zeek_ingest", {"day": "2026-11-03"})) == ["failed"], "a sensor that is down is a failure"
    assert list((home / "lake").glob("conn/sensor=up/**/*.parquet")), "and holds up no other"
    (home / "sensors.toml").write_text(hq)
    assert run_dags(("housekeeping", {"dry_run": False})) == ["success"]
    kept = {p: p.read_bytes() for p in (home / "lake").rglob("*.parquet")}
    assert {p: b for p, b in kept.items() if p in first} == first, "nothing is old"
