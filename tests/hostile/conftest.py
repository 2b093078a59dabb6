"""The table of attacks, and a registry with a second version for tests of the gate."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mlids import pipeline
from mlids.alerts.stores.audit import Move
from mlids.detectors.onnx_graph import with_spec
from mlids.pipeline.promotion import move_production
from mlids.settings import load_settings
from mlids.training.registry import Registry
from mlids.training.snapshot import Snapshot, load_snapshot
from mlids.training.train import Trained, train
from tests.conftest import audit_production, copy_home
from tests.hostile.attack_table import as_markdown, attack_rows, note_attack, write_table


def pytest_itemcollected(item: pytest.Item) -> None:
    note_attack(item)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
    """Print the attacks of this run when they were asked for by MLIDS_HOSTILE."""
    if "MLIDS_HOSTILE" not in os.environ:
        return
    rows = attack_rows(report for kind in ("passed", "failed", "error") for report in terminalreporter.stats.get(kind, ()))
    terminalreporter.section("attacks")
    terminalreporter.write_line(as_markdown(rows))
    # A part of the attacks, or a run that was interrupted, is not the table.
    if exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED} and not terminalreporter.stats.get("deselected"):
        write_table(rows)


@pytest.fixture
def happened(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Return a function that says what the attack led to, for the table."""

    def say(text: str) -> None:
        record_property("happened", text)

    return say


@dataclass
class Field:
    """A home with version 1 in production and the snapshot that it was trained on."""

    home: Path
    frozen: Snapshot
    trained: Trained  # on the same snapshot, with the same seed
    registry: Registry

    def register(self, **spec: object) -> str:
        """Register the model with another spec; return its version."""
        changed = replace(self.trained.spec, **spec)  # type: ignore[arg-type]
        graph = with_spec(self.trained.graph, changed.as_dict())
        return self.registry.log_training(replace(self.trained, graph=graph, spec=changed)).version

    def put_into_production(self, version: str) -> None:
        """Move the alias to a version with an audit row, as a promotion does, without the gate."""
        move_production(self.registry, pipeline.open_stores(load_settings()).audit, Move("a test", "promote", None, version, "a test"))


@pytest.fixture(scope="session")
def trained_again(trained_home: Path) -> tuple[Snapshot, Trained]:
    (held,) = (trained_home / "snapshots").iterdir()
    frozen = load_snapshot(held.parent, held.name)
    return frozen, train(frozen, budget_per_day=20.0)


@pytest.fixture
def field(trained_home: Path, trained_again: tuple[Snapshot, Trained], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Field:
    """The trained home copied."""
    home = tmp_path / "home"
    copy_home(trained_home, home)
    monkeypatch.setenv("MLIDS_HOME", str(home))
    settings = load_settings()
    return Field(home, *trained_again, pipeline.open_registry(settings))


@pytest.fixture
def serving_home(trained_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, without sensors yet, whose model in production is that of the trained home; it polls often."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("MLIDS_HOME", str(home))
    monkeypatch.setenv("MLIDS_MLFLOW_TRACKING_URI", f"sqlite:///{trained_home}/mlruns/mlflow.db")
    shutil.copy(trained_home / "bundle.key", home)
    audit_production()
    monkeypatch.setenv("MLIDS_POLL_INTERVAL_S", "0.1")
    monkeypatch.setenv("MLIDS_SINKS", "sqlite")
    return home


@pytest.fixture
def production_file(field: Field) -> Callable[[], Path]:
    """Return a function that puts a new version into production and returns its file."""

    def put() -> Path:
        before = set(field.home.rglob("*.onnx"))
        field.put_into_production(field.register())
        (path,) = set(field.home.rglob("*.onnx")) - before
        return path

    return put
