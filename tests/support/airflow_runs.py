"""Airflow in one process of its own, where DAGs run one after the other with `dag.test()`.

Imports, the database, and the execution API (which Airflow builds at its first request) take ten times as long as a run: they are
made once. A request is a line of JSON on stdin; its answer is the line of JSON after MARK on stdout, where the log of the run is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.conftest import ROOT

MARK = "ANSWER "


@dataclass(frozen=True)
class Run:
    """What a DAG run came to: its state, that of each task (`name`, `name[1]`), what it left in Airflow's database, and its log."""

    state: str
    tasks: dict[str, str]
    xcoms: dict[str, Any]
    rendered: list[Any]
    events: list[dict[str, Any]]
    log: str = field(repr=False)


class AirflowProcess:
    """A process that runs DAGs with the MLIDS_… and AIRFLOW_CONN_… variables that this process has at the time of the request."""

    def __init__(self, home: Path) -> None:
        self.home = home
        env = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "MLIDS_"))} | environment(home)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.airflow_runs"], cwd=ROOT, env=env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def ask(self, what: str, timeout: float = 1_200.0, **request: Any) -> tuple[dict[str, Any], str]:
        """Return the answer to a request, and what the process printed meanwhile."""
        assert self._process.stdin is not None and self._process.stdout is not None
        env = {k: v for k, v in os.environ.items() if k.startswith(("MLIDS_", "MLFLOW_", "AIRFLOW_CONN_"))}
        self._process.stdin.write(json.dumps({"what": what, "env": env} | request) + "\n")
        self._process.stdin.flush()
        watchdog = threading.Timer(timeout, self._process.kill)
        watchdog.start()
        printed: list[str] = []
        try:
            for line in self._process.stdout:
                if line.startswith(MARK):
                    answer = json.loads(line.removeprefix(MARK))
                    assert "fault" not in answer, answer["fault"]
                    return answer, "".join(printed)
                printed.append(line)
        finally:
            watchdog.cancel()
        raise AssertionError(f"Airflow ended, or took more than {timeout:.0f} s:\n" + "".join(printed)[-6_000:])

    def run(self, dag: str, partition: str | None = None, at: str | None = None, **conf: Any) -> Run:
        """Run a DAG without retries, as at a time (ISO 8601); `partition` is the key of a run that assets have triggered."""
        answer, log = self.ask("run", dag=dag, conf=conf, partition=partition, at=at)
        return Run(**answer, log=log)

    def close(self) -> None:
        """End the process; what it waits for at its exit is of no use to a test."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.kill()
        self._process.wait(timeout=60)
        self._process.stdin.close()
        self._process.stdout.close()


def environment(home: Path) -> dict[str, str]:
    """Return the variables of an Airflow with a database below `home` and the DAGs and plugin of this tree."""
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW__API_AUTH__JWT_SECRET": "only-for-tests-0123456789abcdef0123456789",
    }


@contextmanager
def airflow_process(home: Path) -> Iterator[AirflowProcess]:
    """Start the process; it ends with the block."""
    process = AirflowProcess(home)
    try:
        yield process
    finally:
        process.close()


def _bag(name: str = "") -> Any:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(ROOT / "dags" / name))
    assert not bag.import_errors, bag.import_errors
    return bag


def _describe() -> dict[str, Any]:
    """Return the modules that parsing loaded, and what each DAG and its tasks say of themselves."""
    before = set(sys.modules)
    bag = _bag()
    loaded = sorted({m.partition(".")[0] for m in set(sys.modules) - before} | {m for m in set(sys.modules) - before if "mlids" in m})
    return {"loaded": loaded, "dags": {name: _facts(dag) for name, dag in bag.dags.items()}, "pool": _pool()}


def _pool() -> list[Any]:
    """Return name and slots of the pool that the plugin makes when a scheduler starts."""
    from airflow.jobs.job import Job
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session

    for _ in range(2):
        Job()  # calls the listeners
    with create_session() as session:
        found = session.query(Pool).filter(Pool.pool.like("mlids%")).one()
        return [found.pool, found.slots]


def _facts(dag: Any) -> dict[str, Any]:
    tasks = {}
    for task in dag.tasks:
        tasks[task.task_id] = {
            "owner": task.owner, "doc": task.doc_md, "retries": task.retries, "pool": task.pool,
            "growing": bool(task.retry_exponential_backoff), "timeout": bool(task.execution_timeout),
            "tried_again": _tried_again(task), "notifies": [type(c).__name__ for c in task.on_failure_callback or ()],
        }  # fmt: skip
    return {
        "doc": dag.doc_md, "tags": sorted(dag.tags), "catchup": dag.catchup, "max_active_runs": dag.max_active_runs,
        "timetable": type(dag.timetable).__name__, "params": {n: p.schema | {"value": p.value, "description": p.description} for n, p in dag.params.items()}, "tasks": tasks,
    }  # fmt: skip


def _tried_again(task: Any) -> dict[str, bool] | None:
    """Return whether a task is tried again after an error of each kind; None where it always is."""
    from airflow.sdk import RetryAction

    from mlids import errors

    if task.retry_policy is None:
        return None
    kinds = (errors.SourceError, errors.StoreError, errors.AuthError, errors.HostKeyError, errors.SettingsError)
    return {kind.__name__: task.retry_policy.evaluate(kind("x"), 1, 4).action is not RetryAction.FAIL for kind in kinds}


def _check_form(dag: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return what the form of a DAG says to these values; nothing when it takes them."""
    params = _bag(f"{dag}.py").dags[dag].params
    try:
        for name, value in values.items():
            params[name] = value
        params.validate()
    except Exception as error:
        return {"error": str(error)}
    return {"error": None}


def _run(dag: str, conf: dict[str, Any], partition: str | None, at: str | None) -> dict[str, Any]:
    from airflow.dag_processing.dagbag import sync_bag_to_db
    from airflow.models.asset import AssetEvent
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    bag = _bag(f"{dag}.py")
    for task in bag.dags[dag].tasks:  # a failure shall be seen at once
        if task.is_mapped:
            task.partial_kwargs["retries"] = 0
        else:
            task.retries = 0
    sync_bag_to_db(bag, "dags-folder", None)
    when = {"logical_date": datetime.fromisoformat(at)} if at is not None else {}
    run = _with_partition(partition, lambda: bag.dags[dag].test(run_conf=conf, **when))
    with create_session() as session:
        mine = {"dag_id": dag, "run_id": run.run_id}
        tasks = {
            f"{t.task_id}[{t.map_index}]" if t.map_index >= 0 else t.task_id: str(t.state) for t in run.get_task_instances(session=session)
        }
        xcoms = {f"{x.task_id}[{x.map_index}] {x.key}": x.value for x in session.scalars(select(XComModel).filter_by(**mine))}
        rendered = [r.rendered_fields for r in session.scalars(select(RenderedTaskInstanceFields).filter_by(**mine))]
        found = select(AssetEvent).where(AssetEvent.source_dag_id == dag, AssetEvent.source_run_id == run.run_id).order_by(AssetEvent.id)
        events = [{"asset": e.asset.name, "partition": e.partition_key, "extra": e.extra} for e in session.scalars(found)]
    return {"state": str(run.state), "tasks": tasks, "xcoms": xcoms, "rendered": rendered, "events": events}


def _with_partition(key: str | None, run: Any) -> Any:
    """Run with `dag.test()`, which makes no runs with a partition key by itself."""
    from airflow.models import dagrun

    if key is None:
        return run()
    original = dagrun.DagRun.__init__

    def keyed(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs | {"partition_key": key})

    dagrun.DagRun.__init__ = keyed
    try:
        return run()
    finally:
        dagrun.DagRun.__init__ = original


def _follow() -> dict[str, Any]:
    """Let the scheduler make the runs that assets ask for; return DAG and partition key of each."""
    from airflow.jobs.job import Job
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        job = Job()
        session.add(job)
        session.flush()
        runner = SchedulerJobRunner(job)
        runner._create_dagruns_for_partitioned_asset_dags(session=session)
        session.flush()
        runs = session.scalars(select(DagRun).where(DagRun.creating_job_id == job.id).order_by(DagRun.id))
        return {"runs": [[r.dag_id, r.partition_key] for r in runs]}


def _sync() -> dict[str, Any]:
    """Write all DAGs into the database, as the DAG processor does; assets are known, and DAGs unpaused, from then on."""
    from airflow.dag_processing.dagbag import sync_bag_to_db
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import update

    sync_bag_to_db(_bag(), "dags-folder", None)
    with create_session() as session:
        session.execute(update(DagModel).values(is_paused=False))
    return {}


def _serve() -> None:
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.sdk.log import configure_logging
    from airflow.utils.db import initdb

    initdb()
    configure_logging(json_output=True, output=sys.stdout.buffer)  # as a task's supervisor writes it: secrets are masked
    DagBundlesManager().sync_bundles_to_db()
    known: dict[str, Callable[..., dict[str, Any]]] = {
        "describe": _describe,
        "form": _check_form,
        "run": _run,
        "follow": _follow,
        "sync": _sync,
    }
    for line in sys.stdin:
        request = json.loads(line)
        for name in [n for n in os.environ if n.startswith(("MLIDS_", "MLFLOW_", "AIRFLOW_CONN_"))]:
            del os.environ[name]
        os.environ.update(request.pop("env"))
        try:
            answer = known[request.pop("what")](**request)
        except Exception:
            answer = {"fault": traceback.format_exc()}
        sys.stderr.flush()
        print(f"\n{MARK}{json.dumps(answer, default=str)}", flush=True)


if __name__ == "__main__":
    _serve()
