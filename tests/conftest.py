"""Fixtures of real parts: sshd, MLflow's store, Elasticsearch, Airflow. CI fails where a user's machine skips."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
CI = os.environ.get("CI") == "true"


# Modules that take longest, in minutes: they begin first, so that no process works alone at the end; those that wait beside those that compute.
LONGEST = (
    "demo/test_run.py", "dags/test_dags.py", "faults/test_sensor_faults.py", "faults/test_scorer_faults.py",
    "cross_capture/test_evaluate.py", "faults/test_other_log_faults.py", "cli/test_evaluate.py", "hostile/test_poisoning.py",
    "pipeline/test_stages.py", "pipeline/test_models.py", "hostile/test_model_seals.py", "pipeline/test_promotion.py",
    "plugins/test_page.py", "plugins/test_browser.py", "cli/test_score.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the longest modules first; the order within a module stays."""
    rank = {name: n for n, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get("/".join(item.path.parts[-2:]), len(rank)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape what a worker could not send as UTF-8: tests of hostile text log lone surrogates."""
    report = yield
    report.sections = [(title, text.encode("utf-8", "backslashreplace").decode()) for title, text in report.sections]
    return report


def missing(what: str, line: str) -> None:
    """Skip with the line that would install the part; in CI nothing may be missing."""
    message = f"{what} is missing; {line}"
    if CI:
        pytest.fail(message)
    pytest.skip(message)


def need_program(name: str, package: str) -> str:
    """Return the path of a program, or skip."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        missing(name, f"sudo apt-get install -y {package}")
    assert found is not None
    return found


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real Zeek logs beside the project."""
    if not DATA.is_dir():
        missing("the folder of real logs", f"put Zeek logs into {DATA} (see docs/development.md)")
    return DATA


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home for settings, isolated from this machine's environment."""
    for name in list(os.environ):
        if name.startswith(("MLIDS_", "IDS_", "MLFLOW_", "ZEEK_", "ES_")):
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    monkeypatch.setenv("MLIDS_HOME", str(folder))
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    return folder


def write_site(out: Path) -> Path:
    """Write four days of a small synthetic site in zeekctl's layout, with attacks; their labels lie beside it."""
    from mlids.synth.archive import save_labels, write_days
    from mlids.synth.site import Site

    days = [date(2026, 11, 2 + n) for n in range(4)]
    for _, _, implanted in write_days(out, Site(3), days, flows=4_000, attacks_per_day=2.5):
        save_labels(out.with_name("labels.jsonl"), implanted)
    return out


def train_home(site: Path) -> None:
    """Ingest two days of the site into the home of MLIDS_HOME, and put a model into production; by force, as two days are few."""
    from mlids import pipeline

    for day in ("2026-11-04", "2026-11-05"):
        pipeline.ingest_paths("hq", day, [site / day])
    snapshot = pipeline.snapshot("2026-11-04", "2026-11-06")
    pipeline.evaluate_and_promote(pipeline.train(snapshot["id"])["version"], snapshot["id"], force=True)


def audit_production(version: str = "1") -> None:
    """Write into the database of the settings that a version is in production: one that is not the home's lacks the row."""
    from mlids import pipeline
    from mlids.alerts.stores.audit import Move
    from mlids.settings import load_settings

    pipeline.open_stores(load_settings()).audit.record(Move("a test", "promote", None, version, "the model of another home"))


def made_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that all processes of a test run share; the first that asks for it makes it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    made = folder.with_suffix(".made")
    with FileLock(f"{folder}.lock"):
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            made.touch()
    return folder


def copy_home(source: Path, target: Path, *parts: str) -> Path:
    """Copy a home, or these parts of it, with its MLflow, whose database names the folder of its artifacts."""
    for part in parts or (p.name for p in source.iterdir()):
        target.mkdir(exist_ok=True)
        if (source / part).is_dir():
            shutil.copytree(source / part, target / part)
        else:
            shutil.copy2(source / part, target / part)
    with closing(sqlite3.connect(target / "mlruns" / "mlflow.db")) as db, db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for _, column, kind, *_ in db.execute(f"PRAGMA table_info({table})").fetchall():
                if kind.upper().startswith(("VARCHAR", "TEXT")):
                    db.execute(
                        f"UPDATE {table} SET {column} = replace({column}, ?, ?) WHERE {column} LIKE ?",
                        (str(source), str(target), f"%{source}%"),
                    )
    return target


@pytest.fixture(scope="session")
def synthetic_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of `write_site`; no test changes it."""
    return made_once(tmp_path_factory, "site", lambda folder: write_site(folder / "logs")) / "logs"


@pytest.fixture(scope="session")
def trained_home(tmp_path_factory: pytest.TempPathFactory, synthetic_site: Path) -> Path:
    """A home with two days in the lake and a model in production."""

    def train(home: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLIDS_HOME", str(home))
            train_home(synthetic_site)

    return copy_home(made_once(tmp_path_factory, "home", train), tmp_path_factory.mktemp("trained"))


def free_port() -> int:
    """Return a free port of loopback."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


CONN_HEADER = (
    "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n#open\t2024-04-19-00-00-01\n"
    "#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\torig_bytes\tresp_bytes\tconn_state"
    "\tlocal_orig\tlocal_resp\tmissed_bytes\thistory\torig_pkts\torig_ip_bytes\tresp_pkts\tresp_ip_bytes\ttunnel_parents\n"
    "#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\tinterval\tcount\tcount\tstring\tbool\tbool\tcount\tstring\tcount"
    "\tcount\tcount\tcount\tset[string]\n"
)


def conn_line(uid: str = "CaAaAaAaAaAaAaAaA1", ts: str = "1713484800.000001", **cells: str) -> str:
    """Return one TSV conn row, cells overridden by name (dots as double underscores)."""
    row = {
        "ts": ts, "uid": uid, "id.orig_h": "10.0.0.5", "id.orig_p": "50000", "id.resp_h": "192.0.2.7", "id.resp_p": "443",
        "proto": "tcp", "service": "ssl", "duration": "1.5", "orig_bytes": "100", "resp_bytes": "2000", "conn_state": "SF",
        "local_orig": "T", "local_resp": "F", "missed_bytes": "0", "history": "ShADadFf", "orig_pkts": "5", "orig_ip_bytes": "360",
        "resp_pkts": "6", "resp_ip_bytes": "2312", "tunnel_parents": "-",
    }  # fmt: skip
    row |= {name.replace("__", "."): value for name, value in cells.items()}
    return "\t".join(row.values()) + "\n"
