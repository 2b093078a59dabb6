"""The registry on MLflow's SQLite store: aliases, versions, and references that do not exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlids.errors import ModelError, StoreError
from mlids.training.registry import Registry
from mlids.training.seal import key_from_file


@pytest.fixture(scope="module")
def registry(trained_home: Path) -> Registry:
    key = key_from_file(trained_home / "bundle.key", make=False)
    return Registry(f"sqlite:///{trained_home}/mlruns/mlflow.db", "mlids-conn", key)


def test_aliases_lead_to_a_version_with_its_metrics(registry: Registry) -> None:
    found = registry.version("production")
    assert found is not None and found.version == "1" and {"production", "challenger"} <= set(found.aliases)
    assert found.metrics is not None and 0.5 < found.metrics["pr_auc_at_1pct"] <= 1.0
    assert registry.version("previous") is None
    assert [v.version for v in registry.versions()] == ["1"]


def test_a_model_is_loaded_by_alias_number_or_uri(registry: Registry) -> None:
    digests = {registry.load(r).digest for r in ("production", "1", "models:/mlids-conn@production", "models:/mlids-conn/1")}
    assert len(digests) == 1 and registry.load("production").version == "1"


def test_what_does_not_exist_is_an_error(registry: Registry) -> None:
    with pytest.raises(ModelError, match="no model is registered as models:/mlids-conn@previous"):
        registry.load("previous")
    with pytest.raises(StoreError, match="could not be moved to version 99"):
        registry.set_alias("production", "99")
    found = registry.version("production")
    assert found is not None and found.version == "1"
