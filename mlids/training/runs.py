"""Runs in MLflow: trainings, drift, evaluations and what the gate compared. `registry` has the versions that come from them."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlids.text import redact
from mlids.training.experiments import DETECTOR_NAMES, evaluation_metrics, experiments_of, metric_names, training_tags

if TYPE_CHECKING:
    from mlids.training.gate_report import GateReport
    from mlids.training.mlflow_server import MlflowServer
    from mlids.training.train import Thresholds, Trained

log = logging.getLogger(__name__)

_PARENT_TAG, _CONTEXT_TAG = "mlflow.parentRunId", "mlflow.data.context"
_LONGEST_DIGEST = 36  # that MLflow stores; the whole digest is in the profile and in the parameters
# What scoring needs beside the graph. mlids itself is on no index, and a package of that name there would be another's.
_SCORING, _COMPARING = ("onnxruntime", "numpy"), ("scikit-learn", "skops")


@dataclass(frozen=True)
class OldRun:
    """A run that no version needs: its id and name, and the size of its artifacts."""

    run_id: str
    name: str
    bytes: int


@dataclass(frozen=True)
class TrainingFacts:
    """What the run of a training says beside the model; everything may be absent."""

    card: str = ""  # Markdown
    thresholds: Thresholds | None = None
    record_rows: Mapping[str, int] = field(default_factory=dict)  # by log, rows that the forests of records were fitted on
    evaluation: Mapping[str, Any] | None = None  # what `mlids evaluate` measured
    source: Path | None = None  # folder of the snapshot


@dataclass(frozen=True)
class LoggedTraining:
    """A training in MLflow: number of the version, id of the run, and the graph that was logged."""

    version: str
    run_id: str
    graph: bytes


class Runs:
    """The runs that belong to one registered model on one tracking server."""

    def __init__(self, server: MlflowServer, model_name: str) -> None:
        self.experiments = experiments_of(model_name)
        self._server, self._name = server, model_name

    def log_training(self, trained: Trained, facts: TrainingFacts) -> LoggedTraining:
        """Log a run with a nested run of each forest, register the graph, and return the version and its run."""
        import mlflow

        tags = training_tags(trained.snapshot)
        by_detector = trained.held_out.metrics_at(trained.spec)
        with self._run(self.experiments.training, f"train {tags['week']}", tags | {"detector": DETECTOR_NAMES["hybrid"]}) as parent:
            self._log_input(parent.info.run_id, trained, facts.source)
            mlflow.log_params(trained.params)
            mlflow.log_metrics(
                metric_names(trained.metrics["hybrid"] | by_detector.get("hybrid", {}) | _threshold_metrics(facts.thresholds))
            )
            _log_documents(trained, facts)
            for key, estimator in (("forest", trained.forest), ("isolation", trained.isolation)):
                name = DETECTOR_NAMES[key]
                with mlflow.start_run(run_name=name, nested=True, tags=tags | {"detector": name}):
                    mlflow.log_params({k: v for k, v in estimator.get_params().items() if v is not None})  # type: ignore[attr-defined]
                    mlflow.log_metrics(metric_names(trained.metrics.get(key, {}) | by_detector.get(key, {})))
                    _log_estimator(estimator)
            number, graph = _log_graph(trained, self._name)
        return LoggedTraining(number, str(parent.info.run_id), graph)

    def log_drift(self, name: str, metrics: Mapping[str, float], page: Path, tags: Mapping[str, str]) -> str:
        """Log a run with metrics and Evidently's page, and return its id."""
        import mlflow

        with self._run(self.experiments.drift, name, tags) as run:
            mlflow.log_metrics(metric_names(metrics))
            mlflow.log_artifact(str(page), "drift")
        return str(run.info.run_id)

    def log_evaluation(self, found: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        """Log what `mlids evaluate` measured, with a nested run of each detector, and return the id of the run. Raises StoreError."""
        import mlflow

        by_detector = evaluation_metrics(found)
        with (
            self._server.answers(),
            self._run(self.experiments.evaluation, "evaluation", dict(tags) | {"detector": DETECTOR_NAMES["hybrid"]}) as parent,
        ):
            mlflow.log_metrics(metric_names(by_detector.pop("hybrid", {})))
            mlflow.log_text(json.dumps(found, indent=1), "evaluation.json")
            for key, metrics in by_detector.items():
                name = DETECTOR_NAMES.get(key, key)
                with mlflow.start_run(run_name=name, nested=True, tags=dict(tags) | {"detector": name}):
                    mlflow.log_metrics(metric_names(metrics))
        return str(parent.info.run_id)

    def log_gate(self, run_id: str, report: GateReport, tags: Mapping[str, str]) -> list[str]:
        """Log a run of each model that the gate compared, nested in the challenger's training, and return their ids.

        Without that run (`run_id` is empty, or MLflow has lost it) they stand alone. Raises StoreError.
        """
        from mlflow.entities import Metric

        with self._server.answers():
            client = self._server.client
            experiment, parent = self._place_of(run_id)
            out = []
            for candidate in report.candidates:
                about = dict(tags) | {"role": candidate.role, "version": candidate.version, "decision": report.decision, **parent}
                run = client.create_run(experiment, run_name=f"gate: {candidate.role} {candidate.version}", tags=about)
                now = int(time.time() * 1_000)
                client.log_batch(run.info.run_id, [Metric(k, v, now, 0) for k, v in metric_names(candidate.metrics).items()])
                client.log_text(run.info.run_id, report.table(), "gate.md")
                client.set_terminated(run.info.run_id)
                out.append(str(run.info.run_id))
            return out

    def _place_of(self, run_id: str) -> tuple[str, dict[str, str]]:
        """Return the experiment of a run, and the tag that nests others in it; the training's without the run."""
        if run_id:
            try:
                return str(self._server.client.get_run(run_id).info.experiment_id), {_PARENT_TAG: run_id}
            except self._server.error as error:
                if getattr(error, "error_code", "") != "RESOURCE_DOES_NOT_EXIST":
                    raise
        return self._experiment(self.experiments.training), {}

    @contextmanager
    def _run(self, experiment: str, name: str, tags: Mapping[str, str]) -> Iterator[Any]:
        import mlflow

        self._server.select()
        self._experiment(experiment)
        mlflow.set_experiment(experiment)
        with mlflow.start_run(run_name=name, tags=dict(tags)) as run:
            yield run

    def _experiment(self, name: str) -> str:
        """Return the id of an experiment, made when it does not exist; beside a SQLite file, with a local folder of artifacts."""
        client, database = self._server.client, self._server.database
        found = client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        location = None if database is None else (database.parent / "artifacts").as_uri()
        return str(client.create_experiment(name, artifact_location=location))

    def _log_input(self, run_id: str, trained: Trained, source: Path | None) -> None:
        """Name the snapshot as the run's dataset: its digest, its folder and its counts. No row is copied."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        info = trained.snapshot
        profile = {
            "digest": info.digest,
            "rows": info.rows,
            "held_out_rows": len(trained.held_out.label),
            "label_sources": info.label_sources,
        }
        dataset = Dataset(
            name=info.id, digest=info.digest[:_LONGEST_DIGEST], source_type="local",
            source=json.dumps({"uri": str(source.resolve()) if source is not None else info.id}), profile=json.dumps(profile),
        )  # fmt: skip
        self._server.client.log_inputs(run_id, [DatasetInput(dataset, [InputTag(_CONTEXT_TAG, "training")])])

    def old(self, before: datetime, gone: Collection[str] = ()) -> Iterator[OldRun]:
        """Yield the runs that began before a moment, without those of versions and their nested runs; `gone` versions do not count.

        Runs of any model's versions stay: several models may share an experiment. Raises StoreError.
        """
        server = self._server
        with server.answers():
            found = [server.client.get_experiment_by_name(name) for name in self.experiments.every()]
            ids = [experiment.experiment_id for experiment in found if experiment is not None]
            if not ids:
                return
            pages = server.pages(server.client.search_model_versions, "")
            needed = {v.run_id for page in pages for v in page if v.name != self._name or str(v.version) not in gone}
            chosen = f"attributes.start_time < {int(before.timestamp() * 1_000)}"
            for page in list(server.pages(server.client.search_runs, ids, chosen)):
                for run in page:
                    if not {run.info.run_id, run.data.tags.get(_PARENT_TAG)} & needed:
                        yield OldRun(run.info.run_id, run.info.run_name or "", sum(self._sizes(run.info.run_id)))

    def remove(self, run_id: str) -> None:
        """Delete a run's artifacts and models, then the run: a removal that is killed is made again. Raises StoreError.

        MLflow keeps the row of a deleted run; `mlflow gc` removes that as well.
        """
        with self._server.answers():
            client = self._server.client
            run = client.get_run(run_id)
            for model in self._models_of(run):
                self._remove_artifacts(model.artifact_location, model.model_id)
                client.delete_logged_model(model.model_id)
            self._remove_artifacts(run.info.artifact_uri, run_id)
            if run.info.lifecycle_stage == "active":
                client.delete_run(run_id)

    def _models_of(self, run: Any) -> list[Any]:
        chosen = f"source_run_id = '{run.info.run_id}'"
        return list(self._server.client.search_logged_models([run.info.experiment_id], filter_string=chosen))

    def _sizes(self, run_id: str) -> Iterator[int]:
        """Yield the sizes of a run's artifacts, and of the models that it logged."""
        client = self._server.client
        for model in self._models_of(client.get_run(run_id)):
            yield from _file_sizes(partial(client.list_logged_model_artifacts, model.model_id))
        yield from _file_sizes(partial(client.list_artifacts, run_id))

    def _remove_artifacts(self, uri: str, owner: str) -> None:
        """Remove the artifacts of a run or model. A place that is not named after it is left alone: MLflow holds what it is told."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        if not uri.rstrip("/").endswith(f"/{owner}/artifacts"):
            log.warning("artifacts in an unexpected place are left alone", extra={"uri": redact(uri), "owner": owner})
            return
        get_artifact_repository(uri, tracking_uri=self._server.uri).delete_artifacts()


def _threshold_metrics(found: Thresholds | None) -> dict[str, float]:
    if found is None:
        return {}
    by_way = {f"threshold/{way}": value for way, value in found.by_way.items()}
    return {"threshold": found.lowest, "alerts_per_day": found.alerts_per_day} | by_way


def _log_documents(trained: Trained, facts: TrainingFacts) -> None:
    """Log what a person reads: facts, spec, model card, evaluation and charts."""
    import mlflow

    from mlids.training.charts import charts

    per_day = facts.thresholds.alerts_per_day if facts.thresholds is not None else None
    about = {"snapshot": asdict(trained.snapshot), "alerts_per_day_at_threshold": per_day, "record_rows": dict(facts.record_rows)}
    texts = {
        "training.json": json.dumps(about, indent=1), "spec.json": json.dumps(trained.spec.as_dict(), indent=1), "model-card.md": facts.card,
        **({"evaluation.json": json.dumps(facts.evaluation, indent=1)} if facts.evaluation is not None else {}),
        **{f"charts/{name}": svg for name, svg in charts(trained, facts.thresholds).items()},
    }  # fmt: skip
    for name, text in texts.items():
        mlflow.log_text(text, name)


def _log_graph(trained: Trained, name: str) -> tuple[str, bytes]:
    """Log and register the graph as it was trained, and return the number of its version and the bytes that were logged."""
    import mlflow
    import onnx
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    kind, spec = np.dtype(np.float32), trained.spec
    outputs = [TensorSpec(kind, (-1, 1), "anomaly_score")]
    if spec.attack_classes:
        outputs.append(TensorSpec(kind, (-1, len(spec.classes)), "class_probabilities"))
    signature = ModelSignature(Schema([TensorSpec(kind, (-1, len(spec.features)), "features")]), Schema(outputs))
    model = onnx.load_from_string(trained.graph)
    info = mlflow.onnx.log_model(
        model, name="model", registered_model_name=name, pip_requirements=_pinned(_SCORING),
        signature=signature, onnx_execution_providers=["CPUExecutionProvider"], input_example={"features": np.array([spec.example], np.float32)},
    )  # fmt: skip
    return str(info.registered_model_version), model.SerializeToString()


def _log_estimator(estimator: object) -> None:
    """Log the scikit-learn model in the skops format, for comparison only: scoring never loads it."""
    import mlflow

    mlflow.sklearn.log_model(
        estimator, name="sklearn", serialization_format="skops", pip_requirements=_pinned(_COMPARING),
        skops_trusted_types=["sklearn.tree._tree.Tree"],
    )  # fmt: skip


def _pinned(names: tuple[str, ...]) -> list[str]:
    return [f"{name}=={installed(name)}" for name in names]


def _file_sizes(listed: Callable[..., Any], folder: str | None = None) -> Iterator[int]:
    for entry in listed(folder):
        if entry.is_dir:
            yield from _file_sizes(listed, entry.path)
        else:
            yield entry.file_size or 0
