"""Runs in MLflow as its users look for them: experiments, nested runs, tags, the dataset, charts, signature, the gate's comparison."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from mlids import pipeline
from mlids.detectors.bundle import Bundle
from mlids.errors import StoreError
from mlids.features.spec import FEATURES_VERSION, NAMES
from mlids.pipeline.gating import log_gate
from mlids.settings import load_settings
from mlids.training.gate_report import Candidate, GateReport
from mlids.training.registry import Registry
from tests.conftest import ROOT, copy_home

MODEL = "mlids-conn"
DETECTORS = {"RandomForest", "IsolationForest"}
BOTH = {
    "pr_auc",
    "pr_auc_at_1pct",
    "recall_at_fpr_1pct",
    "recall_at_fpr_0_1pct",
    "fpr_at_threshold",
    "recall_at_threshold",
    "recall/horizontal_scan",
}


@pytest.fixture
def registry(trained_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The registry of a copy of the trained home: tests log to it."""
    monkeypatch.setenv("MLIDS_HOME", str(copy_home(trained_home, tmp_path / "home")))
    return pipeline.open_registry(load_settings())


@pytest.fixture
def client(registry: Registry) -> MlflowClient:
    registry._server.select()
    return MlflowClient(registry.uri, registry.uri)


def runs_of(client: MlflowClient, experiment: str) -> list[Any]:
    found = client.get_experiment_by_name(experiment)
    assert found is not None, experiment
    return list(client.search_runs([found.experiment_id]))


def parent_of(client: MlflowClient) -> Any:
    return client.get_run(client.get_model_version(MODEL, "1").run_id)


def nested(client: MlflowClient, parent: Any, prefix: str = "") -> dict[str, Any]:
    found = runs_of(client, "mlids-training")
    mine = [r for r in found if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    return {str(r.info.run_name): r for r in mine if str(r.info.run_name).startswith(prefix)}


def files_of(client: MlflowClient, run: Any, folder: str | None = None) -> set[str]:
    return {f.path for f in client.list_artifacts(run.info.run_id, folder)}


def text_of(run: Any, name: str) -> str:
    return str(mlflow.artifacts.load_text(f"{run.info.artifact_uri}/{name}"))


def test_a_training_is_one_run_with_one_nested_run_of_each_forest_under_the_same_metric_names(client: MlflowClient) -> None:
    parent = parent_of(client)
    assert client.get_experiment(parent.info.experiment_id).name == "mlids-training" and parent.info.run_name == "train 2026-W45"
    forests = {n: r for n, r in nested(client, parent).items() if not n.startswith("gate:")}
    assert set(forests) == DETECTORS
    assert set(parent.data.metrics) >= BOTH | {"threshold", "threshold/outward", "alerts_per_day"}
    for run in forests.values():
        assert set(run.data.metrics) >= BOTH and not set(run.data.metrics) - set(parent.data.metrics)
        assert run.data.metrics["fpr_at_threshold"] <= parent.data.metrics["fpr_at_threshold"], "as many benign rows as the hybrid, at most"
    assert not [n for n in parent.data.metrics if n.startswith(("hybrid_", "forest_", "isolation_"))]


def test_runs_and_version_have_the_same_tags(client: MlflowClient) -> None:
    parent, version = parent_of(client), client.get_model_version(MODEL, "1")
    must = {"sensor": "hq", "week": "2026-W45", "features_version": str(FEATURES_VERSION), "snapshot_id": parent.data.params["snapshot"]}
    must |= {"git_commit": version.tags["git_commit"]} if (ROOT / ".git").exists() else {}
    for name, tags in {"hybrid": parent.data.tags, **{n: r.data.tags for n, r in nested(client, parent).items() if n in DETECTORS}}.items():
        assert {k: tags[k] for k in must} == must and tags["detector"] == name
    assert {k: version.tags[k] for k in must} == must and version.tags["detector"] == "hybrid"


def test_the_dataset_is_the_snapshot_by_digest_and_folder_without_its_rows(registry: Registry, client: MlflowClient) -> None:
    parent = parent_of(client)
    (found,) = parent.inputs.dataset_inputs
    snapshot = load_settings().home / "snapshots" / parent.data.params["snapshot"]
    info = json.loads((snapshot / "snapshot.json").read_text())
    assert found.dataset.name == info["id"] and len(found.dataset.digest) == 36 and info["digest"].startswith(found.dataset.digest)
    assert json.loads(found.dataset.profile)["digest"] == parent.data.params["snapshot_digest"] == info["digest"]
    assert {t.key: t.value for t in found.tags} == {"mlflow.data.context": "training"}
    source = mlflow.data.get_source(found.dataset)
    assert Path(source.uri) == snapshot and Path(source.load()) == snapshot
    assert not list((load_settings().home / "mlruns").rglob("*.parquet"))


def test_charts_are_svg_without_script_or_letters(client: MlflowClient) -> None:
    parent = parent_of(client)
    names = {"pr-curve", "scores", "confusion", "calibration", "importance", "alerts-a-day"}
    assert files_of(client, parent, "charts") == {f"charts/{n}.svg" for n in names}
    for name in names:
        text = text_of(parent, f"charts/{name}.svg")
        tags = {e.tag.rpartition("}")[2] for e in ElementTree.fromstring(text).iter()}
        assert "path" in tags and not tags & {"script", "text", "image", "foreignObject", "a"} - {"image"}, (name, tags)
        assert len(text) < 600_000, (name, len(text))


def test_the_model_has_its_whole_signature_an_example_and_pinned_requirements(registry: Registry, client: MlflowClient) -> None:
    info = mlflow.models.get_model_info(f"models:/{MODEL}/1")
    bundle = registry.load("1")
    outputs = {s.name: s.shape for s in info.signature.outputs}
    assert outputs == {"anomaly_score": (-1, 1), "class_probabilities": (-1, len(bundle.spec.classes))}
    assert {s.name: s.shape for s in info.signature.inputs} == {"features": (-1, len(NAMES))}
    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{MODEL}/1"))
    required = (folder / "requirements.txt").read_text().split()
    assert {f"onnxruntime=={installed('onnxruntime')}", f"numpy=={installed('numpy')}"} <= set(required)
    for path in load_settings().home.rglob("requirements.txt"):
        lines = path.read_text().split()
        assert all("==" in line for line in lines) and not [line for line in lines if line.startswith("mlids")], path
    assert not list(load_settings().home.rglob("*.pkl")), "nothing is pickled"
    model = mlflow.models.Model.load(str(folder))
    example = model.load_input_example(str(folder))
    scores = mlflow.pyfunc.load_model(f"models:/{MODEL}/1").predict({k: np.asarray(v, np.float32) for k, v in example.items()})
    assert scores["anomaly_score"][0, 0] == pytest.approx(bundle.spec.example_scores[0], abs=1e-4)
    assert scores["class_probabilities"].shape == (1, len(bundle.spec.classes)) and isinstance(bundle, Bundle)


def test_the_gate_logs_both_models_on_the_same_rows(registry: Registry, client: MlflowClient) -> None:
    """Version 1 was promoted by force, compared with the reference model."""
    parent, version = parent_of(client), client.get_model_version(MODEL, "1")
    runs = nested(client, parent, "gate:")
    roles = {r.data.tags["role"]: r for r in runs.values()}
    assert set(roles) == {"challenger", "reference"} and roles["challenger"].info.run_name == "gate: challenger v1"
    assert set(roles["challenger"].data.metrics) == set(roles["reference"].data.metrics) >= BOTH | {"threshold", "attacks_found"}
    assert roles["challenger"].data.metrics["pr_auc_at_1pct"] == pytest.approx(parent.data.metrics["pr_auc_at_1pct"])
    assert roles["challenger"].data.metrics["fpr_at_threshold"] == pytest.approx(parent.data.metrics["fpr_at_threshold"])
    (row,) = pipeline.open_stores(load_settings()).audit.rows()
    decision = "forced" if row["why"].startswith("forced") else "promoted"
    for run in roles.values():
        assert run.data.tags["decision"] == decision and run.data.tags["snapshot_id"] == parent.data.params["snapshot"]
        text = text_of(run, "gate.md")
        assert f"**{decision}**" in text and "| metric | challenger v1 | reference reference-" in text and "| pr_auc_at_1pct | 0." in text
    assert version.tags["gate.decision"] == decision and version.tags["gate.why"] == row["why"][:500]
    assert version.description.startswith("# Model card") and "\n## Gate\n" in version.description
    assert "mlids.sha256" in version.tags and "mlids.sha256" not in roles["challenger"].data.tags, "the seal is the version's alone"


def test_a_second_training_is_compared_with_production(registry: Registry, client: MlflowClient) -> None:
    report = GateReport(
        "refused", "<b>x</b> | y", "s1", (Candidate("challenger", "v1", {"a": 1.0}), Candidate("production", "v7", {"a": 0.5}))
    )
    registry.log_gate("1", report)
    registry.log_gate("1", report)
    found = client.get_model_version(MODEL, "1")
    assert found.description.count("## Gate") == 1, "the latest decision replaces the one before"
    assert "| a | 1 | 0.5 |" in found.description and "<b>" not in found.description and found.tags["gate.decision"] == "refused"
    runs = nested(client, parent_of(client), "gate: production v7")
    assert [r.data.metrics for r in runs.values()] == [{"a": 0.5}]


def test_a_fault_of_mlflow_while_the_gate_is_logged_is_a_warning(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    report = GateReport("promoted", "why", "s1", (Candidate("challenger", "v99", {}),))
    with caplog.at_level(logging.WARNING):
        log_gate(registry, "99", report)
    assert "the decision stands" in caplog.text and "99" in caplog.text
    Path(registry.uri.removeprefix("sqlite:///")).write_bytes(b"no database")
    caplog.clear()
    log_gate(pipeline.open_registry(load_settings()), "1", report)
    assert "the decision stands" in caplog.text


def test_a_decision_is_carried_out_and_audited_while_mlflow_takes_no_run(
    registry: Registry, client: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    parent, audit = parent_of(client), pipeline.open_stores(load_settings()).audit
    before = len(audit.rows())
    client.delete_experiment(parent.info.experiment_id)  # models and aliases stay, runs can no longer be made
    decision = pipeline.evaluate_and_promote("1", parent.data.params["snapshot"], who="ana", force=True)
    assert decision["promoted"] and "the decision stands" in caplog.text
    rows = audit.rows()
    assert len(rows) == before + 1 and rows[0]["who"] == "ana" and not audit.unsettled()


def test_a_version_whose_run_is_lost_has_its_comparison_all_the_same(registry: Registry, client: MlflowClient) -> None:
    report = GateReport("refused", "why", "s1", (Candidate("challenger", "v8", {"recall/<b>": 1.0, "pr_auc": float("nan")}),))
    for lost in ("", "0" * 32):
        (run_id,) = registry.runs.log_gate(lost, report, {"week": "2026-W45"})
        run = client.get_run(run_id)
        assert "mlflow.parentRunId" not in run.data.tags and run.data.metrics == {"recall/_b_": 1.0} and run.info.status == "FINISHED"
        assert client.get_experiment(run.info.experiment_id).name == "mlids-training"


def test_metrics_of_an_older_version_are_read_under_todays_names(registry: Registry, client: MlflowClient) -> None:
    client.log_metric(parent_of(client).info.run_id, "hybrid_of_before", 0.25)
    facts = pipeline.production_facts(load_settings())
    assert facts is not None and facts["metrics"]["of_before"] == 0.25 and facts["metrics"]["pr_auc_at_1pct"] > 0.5


def test_an_evaluation_has_an_experiment_of_its_own(registry: Registry, client: MlflowClient) -> None:
    metrics = {"pr_auc_at_1pct": 0.5, "recall_site": 0.75, "actual_fpr_site": None}
    pooled = {"n_attack": 3, "hybrid": metrics, "forest": metrics | {"recall_site": 0.25}}
    run_id = registry.runs.log_evaluation({"pooled": pooled, "macro": {"hybrid": metrics, "captures": 2}, "about": {}}, {"week": "x"})
    runs = {r.info.run_name: r for r in runs_of(client, "mlids-evaluation")}
    assert set(runs) == {"evaluation", "RandomForest"} and runs["evaluation"].info.run_id == run_id
    assert runs["evaluation"].data.metrics == {
        "pr_auc_at_1pct": 0.5,
        "recall_at_threshold": 0.75,
        "macro/pr_auc_at_1pct": 0.5,
        "macro/recall_at_threshold": 0.75,
    }
    assert runs["RandomForest"].data.metrics["recall_at_threshold"] == 0.25
    assert json.loads(text_of(runs["evaluation"], "evaluation.json"))["pooled"]["n_attack"] == 3


def test_old_runs_are_those_of_all_experiments_that_no_version_needs(registry: Registry, client: MlflowClient, tmp_path: Path) -> None:
    page = tmp_path / "drift.html"
    page.write_text("page")
    drift = registry.runs.log_drift("drift", {"drift_share": 0.5, "drift_x": float("nan")}, page, {"week": "2026-W45"})
    assert client.get_run(drift).data.metrics == {"drift_share": 0.5} and "drift" in files_of(client, client.get_run(drift))
    evaluation = registry.runs.log_evaluation({"pooled": {}, "macro": {}}, {})
    older = client.create_run(client.create_experiment("mlids", artifact_location=(tmp_path / "artifacts").as_uri()), run_name="train x")
    found = {r.run_id: r for r in registry.runs.old(datetime(2100, 1, 1, tzinfo=UTC))}
    assert set(found) == {drift, evaluation, older.info.run_id} and found[drift].bytes == len("page")
    gone = {r.name for r in registry.runs.old(datetime(2100, 1, 1, tzinfo=UTC), gone={"1"})}
    assert gone >= DETECTORS | {"train 2026-W45", "gate: challenger v1"}
    assert not list(registry.runs.old(datetime(2000, 1, 1, tzinfo=UTC)))


def test_mlflow_that_does_not_answer_is_a_store_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLIDS_MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    registry = pipeline.open_registry(load_settings())
    with pytest.raises(StoreError, match=r"MLflow at http://127\.0\.0\.1:9"):
        registry.runs.log_evaluation({"pooled": {}, "macro": {}}, {})
