"""MLflow: runs, model versions, aliases. Only this module imports mlflow."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlids.detectors.bundle import Bundle
from mlids.detectors.self_test import check_not_blind
from mlids.errors import ModelError, OtherFeaturesError, StoreError
from mlids.files import open_private
from mlids.text import redact, short
from mlids.training.seal import SealKey, digest_of

if TYPE_CHECKING:
    from mlids.training.train import Trained

log = logging.getLogger(__name__)

PRODUCTION, CHALLENGER, PREVIOUS = "production", "challenger", "previous"
_REQUIREMENTS = ["mlids", "onnxruntime"]


@dataclass(frozen=True)
class Version:
    """A registered model version and the run it came from."""

    version: str
    run_id: str
    aliases: tuple[str, ...] = ()
    metrics: Mapping[str, float] | None = None
    params: Mapping[str, str] | None = None


@dataclass(frozen=True)
class OldRun:
    """A run that no version needs: its id and name, and the size of its artifacts."""

    run_id: str
    name: str
    bytes: int


class Registry:
    """Versions of one registered model on one tracking server. MLflow keeps no history of aliases: callers write the audit.

    Every version that is trained is sealed with `key`, and no graph is given out whose seal does not fit.
    """

    def __init__(self, tracking_uri: str, name: str, key: SealKey, experiment: str = "mlids") -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # the URL of a run holds the password of the tracking URI
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        if tracking_uri.startswith("sqlite:///"):
            path = Path(tracking_uri.removeprefix("sqlite:///"))
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(open_private(str(path), os.O_RDWR | os.O_CREAT))
        self.name, self.experiment, self.uri, self._key = name, experiment, tracking_uri, key
        self._error = MlflowException
        self._client = MlflowClient(tracking_uri, tracking_uri)

    def log_training(self, trained: Trained, extra: Mapping[str, Any], card: str = "") -> Version:
        """Log a run with nested runs of both forests, register and seal the graph, and return its version; `card` is Markdown."""
        import mlflow
        import onnx
        from mlflow.models import infer_signature

        self._select()
        self._ensure_experiment()
        mlflow.set_experiment(self.experiment)
        model = onnx.load_from_string(trained.graph)
        example = _example(trained)
        bundle = Bundle(trained.graph)
        output = bundle.score(example)
        shown = {"anomaly_score": output.anomaly_score.reshape(-1, 1)}
        with mlflow.start_run(run_name=f"train {trained.params['snapshot']}") as parent:
            mlflow.log_params(trained.params)
            mlflow.log_metrics(_flat({"hybrid": trained.metrics["hybrid"]}))
            mlflow.log_dict(dict(extra), "training.json")
            mlflow.log_dict(trained.spec.as_dict(), "spec.json")
            mlflow.log_text(card, "model-card.md")
            for name, estimator in (("forest", trained.forest), ("isolation", trained.isolation)):
                with mlflow.start_run(run_name=name, nested=True):
                    mlflow.log_params({k: v for k, v in estimator.get_params().items() if v is not None})  # type: ignore[attr-defined]
                    mlflow.log_metrics(_flat({name: trained.metrics.get(name, {})}))
                    _log_estimator(estimator, example)
            info = mlflow.onnx.log_model(
                model, name="model", registered_model_name=self.name, pip_requirements=_REQUIREMENTS,
                signature=infer_signature({"features": example}, shown),
            )  # fmt: skip
        # What was trained is sealed, not what MLflow holds: that may have been exchanged already.
        self.seal(str(info.registered_model_version), model.SerializeToString())
        return Version(str(info.registered_model_version), parent.info.run_id, metrics=_flat({"hybrid": trained.metrics["hybrid"]}))

    def _select(self) -> None:
        """Set this server for mlflow's module functions: they use the one that was set last."""
        import mlflow

        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)

    def _ensure_experiment(self) -> None:
        """Create the experiment when it does not exist; beside a SQLite file, with a local folder of artifacts."""
        if self._client.get_experiment_by_name(self.experiment) is None:
            location = None
            if self.uri.startswith("sqlite:///"):
                location = (Path(self.uri.removeprefix("sqlite:///")).parent / "artifacts").as_uri()
            self._client.create_experiment(self.experiment, artifact_location=location)

    def log_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Add metrics to a run; nan is left out."""
        for name, value in metrics.items():
            if value == value:
                self._client.log_metric(run_id, name, float(value))

    def log_report(self, run_name: str, metrics: Mapping[str, float], files: Mapping[str, Path]) -> str:
        """Log a run of metrics and files (drift, reports) and return its id."""
        import mlflow

        self._select()
        self._ensure_experiment()
        mlflow.set_experiment(self.experiment)
        with mlflow.start_run(run_name=run_name) as run:
            mlflow.log_metrics({k: float(v) for k, v in metrics.items() if v == v})
            for folder, path in files.items():
                mlflow.log_artifact(str(path), folder)
        return str(run.info.run_id)

    def version(self, alias: str) -> Version | None:
        """Return the version under an alias; None when no version has it.

        Raises StoreError when MLflow does not answer.
        """
        try:
            found = self._client.get_model_version_by_alias(self.name, alias)
        except self._error as error:
            if getattr(error, "error_code", "") in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                return None
            raise StoreError(f"MLflow at {self.uri} does not answer: {short(error, 200)}") from error
        return self._with_run(found)

    def find(self, version: str) -> Version:
        """Return a version by its number. Raises ModelError when there is none, StoreError when MLflow does not answer."""
        with self._answering(f"models:/{self.name}/{version}"):
            return self._with_run(self._client.get_model_version(self.name, version))

    def _with_run(self, found: Any) -> Version:
        if not found.run_id:  # registered by hand from a file
            return Version(str(found.version), "", tuple(found.aliases), {}, {})
        run = self._client.get_run(found.run_id)
        return Version(str(found.version), found.run_id, tuple(found.aliases), run.data.metrics, run.data.params)

    def versions(self) -> list[Version]:
        """Return all versions, newest first."""
        found = self._client.search_model_versions(f"name='{self.name}'")
        out = []
        for v in sorted(found, key=lambda v: -int(v.version)):
            full = self._client.get_model_version(self.name, v.version)
            out.append(Version(str(v.version), v.run_id, tuple(full.aliases), self._client.get_run(v.run_id).data.metrics))
        return out

    def old_versions(self, before: datetime, newest: int) -> list[Version]:
        """Return the versions made before a moment, oldest first, without those that have an alias and the `newest` ones. Raises StoreError."""
        with self._answers():
            found = [v for page in self._pages(self._client.search_model_versions, f"name='{self.name}'") for v in page]
            found.sort(key=lambda v: -int(v.version))
            old = [v for v in found[newest:] if v.creation_timestamp < before.timestamp() * 1_000]
            full = (self._client.get_model_version(self.name, v.version) for v in reversed(old))  # a search gives no aliases
            return [Version(str(v.version), v.run_id or "") for v in full if not v.aliases]

    def remove_version(self, version: str) -> bool:
        """Delete a version unless it has an alias; return whether it is gone. Its run is old from then on. Raises StoreError."""
        with self._answers():
            try:
                if self._client.get_model_version(self.name, version).aliases:
                    return False
                self._client.delete_model_version(self.name, version)
            except self._error as error:
                if getattr(error, "error_code", "") != "RESOURCE_DOES_NOT_EXIST":
                    raise
        return True

    def old_runs(self, before: datetime, gone: Collection[str] = ()) -> Iterator[OldRun]:
        """Yield the runs that began before a moment, without those of versions and their nested runs; `gone` versions do not count.

        Raises StoreError.
        """
        with self._answers():
            experiment = self._client.get_experiment_by_name(self.experiment)
            if experiment is None:
                return
            pages = self._pages(self._client.search_model_versions, f"name='{self.name}'")
            needed = {v.run_id for page in pages for v in page if str(v.version) not in gone}
            chosen = f"attributes.start_time < {int(before.timestamp() * 1_000)}"
            for page in list(self._pages(self._client.search_runs, [experiment.experiment_id], chosen)):
                for run in page:
                    if not {run.info.run_id, run.data.tags.get("mlflow.parentRunId")} & needed:
                        yield OldRun(run.info.run_id, run.info.run_name or "", sum(self._sizes(run.info.run_id)))

    def remove_run(self, run_id: str) -> None:
        """Delete a run's artifacts and models, then the run: a removal that is killed is made again. Raises StoreError.

        MLflow keeps the row of a deleted run; `mlflow gc` removes that as well.
        """
        with self._answers():
            run = self._client.get_run(run_id)
            for model in self._models_of(run):
                self._remove_artifacts(model.artifact_location, model.model_id)
                self._client.delete_logged_model(model.model_id)
            self._remove_artifacts(run.info.artifact_uri, run_id)
            if run.info.lifecycle_stage == "active":
                self._client.delete_run(run_id)

    def _models_of(self, run: Any) -> list[Any]:
        chosen = f"source_run_id = '{run.info.run_id}'"
        return list(self._client.search_logged_models([run.info.experiment_id], filter_string=chosen))

    def _sizes(self, run_id: str) -> Iterator[int]:
        """Yield the sizes of a run's artifacts, and of the models that it logged."""
        for model in self._models_of(self._client.get_run(run_id)):
            yield from _file_sizes(partial(self._client.list_logged_model_artifacts, model.model_id))
        yield from _file_sizes(partial(self._client.list_artifacts, run_id))

    def _remove_artifacts(self, uri: str, owner: str) -> None:
        """Remove the artifacts of a run or model. A place that is not named after it is left alone: MLflow holds what it is told."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        if not uri.rstrip("/").endswith(f"/{owner}/artifacts"):
            log.warning("artifacts in an unexpected place are left alone", extra={"uri": redact(uri), "owner": owner})
            return
        get_artifact_repository(uri, tracking_uri=self.uri).delete_artifacts()

    def _pages(self, search: Callable[..., Any], *args: Any) -> Iterator[Any]:
        token = None
        while True:
            page = search(*args, page_token=token)
            yield page
            token = page.token
            if not token:
                return

    @contextmanager
    def _answers(self) -> Iterator[None]:
        """Raise StoreError when MLflow does not answer, or its artifacts cannot be reached."""
        try:
            yield
        except (self._error, OSError) as error:
            raise StoreError(f"MLflow at {self.uri}: {short(error, 200)}") from error

    def set_alias(self, alias: str, version: str) -> None:
        """Move an alias. Raises StoreError when there is no such version."""
        try:
            self._client.set_registered_model_alias(self.name, alias, version)
        except self._error as error:
            raise StoreError(f"alias {alias} could not be moved to version {version}: {short(error, 200)}") from error

    def seal(self, version: str, graph: bytes) -> None:
        """Write the seal of a version's graph to its tags. Raises StoreError."""
        try:
            for tag, value in self._key.tags(self.name, version, graph).items():
                self._client.set_model_version_tag(self.name, version, tag, value)
        except self._error as error:
            raise StoreError(f"version {version} could not be sealed: {short(error, 200)}") from error

    def load(self, reference: str, sha256: str | None = None) -> Bundle:
        """Return the bundle of an alias, a version number or a `models:/…` URI; `sha256` as for `download`.

        Raises ModelError when it is missing, damaged, blind or not sealed, with its file; OtherFeaturesError when it was
        made for other features; StoreError when MLflow does not answer.
        """
        name, number = self._name_and_number(reference)
        file, graph = self._sealed(name, number, sha256)
        try:
            bundle = Bundle(graph, number)
            check_not_blind(bundle)
            return bundle
        except OtherFeaturesError:
            raise
        except ModelError as error:
            raise ModelError(f"{file} of version {number}: {error}") from error

    def download(self, reference: str, sha256: str | None = None) -> bytes:
        """Return the graph of a reference, its seal checked; `sha256`, when given, is the digest that the audit has of it.

        Raises ModelError when it is missing, or its seal does not fit; StoreError when MLflow does not answer.
        """
        return self._sealed(*self._name_and_number(reference), sha256)[1]

    def download_unsealed(self, version: str) -> bytes:
        """Return the graph of a version as MLflow holds it, for a person to accept. Raises ModelError, StoreError."""
        return self._file(self.name, version)[1]

    def _sealed(self, name: str, number: str, sha256: str | None) -> tuple[str, bytes]:
        file, graph = self._file(name, number)
        with self._answering(f"models:/{name}/{number}"):
            tags = self._client.get_model_version(name, number).tags
        try:
            self._key.check(name, number, graph, tags)
            if sha256 is not None and digest_of(graph) != sha256:
                raise ModelError(f"version {number} has the SHA-256 {digest_of(graph)}, and the audit's is {sha256}")
        except ModelError as error:
            raise ModelError(f"{file}: {error}") from error
        return file, graph

    def _file(self, name: str, number: str) -> tuple[str, bytes]:
        import mlflow

        reference = f"models:/{name}/{number}"
        self._select()
        with tempfile.TemporaryDirectory(prefix="mlids-model-") as folder, self._answering(reference):
            try:
                path = Path(mlflow.artifacts.download_artifacts(reference, dst_path=folder))
            except OSError as error:
                raise ModelError(f"the artifacts of {reference} are missing: {error}") from error
            found = sorted(path.rglob("*.onnx"))
            if not found:
                raise ModelError(f"{reference} has no .onnx file; it was not registered by mlids")
            return found[0].name, found[0].read_bytes()

    def _name_and_number(self, reference: str) -> tuple[str, str]:
        """Return model and version of a reference. An alias is resolved once: it may move while the graph is downloaded."""
        if reference.startswith("runs:/"):
            raise ModelError(f"{reference} is no registered version, so it has no seal; name it as models:/NAME/VERSION")
        rest = reference.removeprefix("models:/") if reference.startswith("models:/") else (
            f"{self.name}{'/' if reference.isdigit() else '@'}{reference}"
        )  # fmt: skip
        if "@" in rest:
            name, alias = rest.rsplit("@", 1)
            with self._answering(f"models:/{rest}"):
                return name, str(self._client.get_model_version_by_alias(name, alias).version)
        name, _, number = rest.rpartition("/")
        if not name or not number.isdigit():
            raise ModelError(f"{reference} names no version; write models:/NAME/VERSION or models:/NAME@ALIAS")
        return name, number

    @contextmanager
    def _answering(self, reference: str) -> Iterator[None]:
        """Raise ModelError when MLflow has no such version, StoreError when it does not answer."""
        try:
            yield
        except self._error as error:
            if getattr(error, "error_code", "") in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "BAD_REQUEST"}:
                raise ModelError(f"no model is registered as {reference}; run `mlids train` first") from error
            raise StoreError(f"MLflow at {self.uri} does not answer: {short(error, 200)}") from error


def _file_sizes(listed: Callable[..., Any], folder: str | None = None) -> Iterator[int]:
    for entry in listed(folder):
        if entry.is_dir:
            yield from _file_sizes(listed, entry.path)
        else:
            yield entry.file_size or 0


def _log_estimator(estimator: object, example: Any) -> None:
    """Log the scikit-learn model in the skops format, for comparison only: scoring never loads it."""
    import mlflow

    mlflow.sklearn.log_model(
        estimator, name="sklearn", serialization_format="skops", pip_requirements=["scikit-learn", "skops"],
        skops_trusted_types=["sklearn.tree._tree.Tree"],
    )  # fmt: skip


def _example(trained: Trained) -> Any:
    import numpy as np

    return np.array([trained.spec.example], np.float32)


def _flat(by_detector: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {f"{name}_{metric}": float(v) for name, values in by_detector.items() for metric, v in values.items() if v == v}
