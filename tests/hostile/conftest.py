"""A registry with a second version, for tests of the gate."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mlids import pipeline
from mlids.detectors.onnx_graph import with_spec
from mlids.settings import load_settings
from mlids.training.registry import Registry
from mlids.training.snapshot import Snapshot, load_snapshot
from mlids.training.train import Trained, train


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
        return self.registry.log_training(replace(self.trained, graph=graph, spec=changed), {}).version


@pytest.fixture(scope="session")
def trained_again(trained_home: Path) -> tuple[Snapshot, Trained]:
    (held,) = (trained_home / "snapshots").iterdir()
    frozen = load_snapshot(held.parent, held.name)
    return frozen, train(frozen, budget_per_day=20.0)


@pytest.fixture
def field(trained_home: Path, trained_again: tuple[Snapshot, Trained], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Field:
    """The trained home copied."""
    home = tmp_path / "home"
    shutil.copytree(trained_home, home)
    monkeypatch.setenv("MLIDS_HOME", str(home))
    settings = load_settings()
    return Field(home, *trained_again, pipeline.open_registry(settings))


@pytest.fixture
def production_file(field: Field, trained_home: Path) -> Callable[[], Path]:
    """Return a function that puts a new version into production and returns its file.

    MLflow keeps artifacts where its database was made: those of the copied home lie in the original one.
    """

    def put() -> Path:
        before = set(trained_home.rglob("*.onnx"))
        field.registry.set_alias("production", field.register())
        (path,) = set(trained_home.rglob("*.onnx")) - before
        return path

    return put
