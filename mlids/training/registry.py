"""Versions of the model in MLflow: registered, sealed, found by alias, loaded. `runs` has the runs that they come from."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlids.detectors.bundle import Bundle
from mlids.detectors.self_test import check_not_blind
from mlids.errors import ModelError, OtherFeaturesError, StoreError
from mlids.features.spec import FEATURES_VERSION
from mlids.text import short
from mlids.training.experiments import DETECTOR_NAMES, TRAINING_TAGS, evaluation_tags, training_tags
from mlids.training.gate_report import described, shortened
from mlids.training.mlflow_server import MlflowServer
from mlids.training.runs import Runs, TrainingFacts
from mlids.training.seal import SealKey, digest_of

if TYPE_CHECKING:
    from mlids.training.gate_report import GateReport
    from mlids.training.train import Trained

PRODUCTION, CHALLENGER, PREVIOUS = "production", "challenger", "previous"
# Of a version's description, as MLflow's database holds it, and of the reasons in its tags.
_LONGEST_DESCRIPTION, _LONGEST_WHY = 5_000, 500


@dataclass(frozen=True)
class Version:
    """A registered model version and the run it came from."""

    version: str
    run_id: str
    aliases: tuple[str, ...] = ()
    metrics: Mapping[str, float] | None = None
    params: Mapping[str, str] | None = None
    tags: Mapping[str, str] | None = None  # of the version, as `snapshot_id`


class Registry:
    """Versions of one registered model on one tracking server. MLflow keeps no history of aliases: callers write the audit.

    Every version that is trained is sealed with `key`, and no graph is given out whose seal does not fit.
    """

    def __init__(self, tracking_uri: str, name: str, key: SealKey) -> None:
        self.name, self.uri, self._key = name, tracking_uri, key
        self._server = MlflowServer(tracking_uri)
        self.runs = Runs(self._server, name)

    def log_training(self, trained: Trained, facts: TrainingFacts | None = None) -> Version:
        """Log a training's runs, register and seal its graph, and return the version. Its description is the model card."""
        facts = facts or TrainingFacts()
        logged = self.runs.log_training(trained, facts)
        # What was trained is sealed, not what MLflow holds: that may have been exchanged already.
        self.seal(logged.version, logged.graph)
        for tag, value in (training_tags(trained.snapshot) | {"detector": DETECTOR_NAMES["hybrid"]}).items():
            self._server.client.set_model_version_tag(self.name, logged.version, tag, value)
        self._describe(logged.version, shortened(facts.card, _LONGEST_DESCRIPTION))
        return self.find(logged.version)

    def log_gate(self, version: str, report: GateReport) -> None:
        """Log what the gate compared as runs below the training's, and the decision to the version's tags and description.

        Raises ModelError when there is no such version, StoreError.
        """
        with self._answering(f"models:/{self.name}/{version}"):
            held = self._server.client.get_model_version(self.name, version)
        with self._server.answers():
            of_training = {tag: held.tags[tag] for tag in TRAINING_TAGS if tag in held.tags}
            self.runs.log_gate(held.run_id or "", report, of_training | {"snapshot_id": report.snapshot_id})
            for tag, value in (("gate.decision", report.decision), ("gate.why", short(report.why, _LONGEST_WHY))):
                self._server.client.set_model_version_tag(self.name, version, tag, value)
            self._describe(version, described(held.description or "", report, _LONGEST_DESCRIPTION))

    def _describe(self, version: str, text: str) -> None:
        self._server.client.update_model_version(self.name, version, text)

    def version(self, alias: str) -> Version | None:
        """Return the version under an alias; None when no version has it.

        Raises StoreError when MLflow does not answer.
        """
        if self._server.is_empty():
            return None
        try:
            found = self._server.client.get_model_version_by_alias(self.name, alias)
        except self._server.error as error:
            if getattr(error, "error_code", "") in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                return None
            raise StoreError(f"MLflow at {self.uri} does not answer: {short(error, 200)}") from error
        return self._with_run(found)

    def find(self, version: str) -> Version:
        """Return a version by its number. Raises ModelError when there is none, StoreError when MLflow does not answer."""
        with self._answering(f"models:/{self.name}/{version}"):
            return self._with_run(self._server.client.get_model_version(self.name, version))

    def _with_run(self, found: Any) -> Version:
        if not found.run_id:  # registered by hand from a file
            return Version(str(found.version), "", tuple(found.aliases), {}, {}, dict(found.tags))
        run = self._server.client.get_run(found.run_id)
        return Version(str(found.version), found.run_id, tuple(found.aliases), run.data.metrics, run.data.params, dict(found.tags))

    def versions(self, newest: int | None = None) -> list[Version]:
        """Return all versions, or the `newest` ones, the newest first. Raises StoreError when MLflow does not answer."""
        with self._server.answers():
            found = [] if self._server.is_empty() else self._server.client.search_model_versions(f"name='{self.name}'")
            chosen = sorted(found, key=lambda v: -int(v.version))[:newest]
            return [
                self._with_run(self._server.client.get_model_version(self.name, v.version)) for v in chosen
            ]  # a search gives no aliases

    def trained_on(self, snapshot_id: str, seed: int) -> Version | None:
        """Return the newest version that this code trained on a snapshot with a seed; None when there is none. Raises StoreError."""
        if self._server.is_empty():
            return None
        wanted = evaluation_tags(FEATURES_VERSION) | {"snapshot_id": snapshot_id}
        with self._server.answers():
            query = f"name='{self.name}' and tags.snapshot_id='{snapshot_id}'"
            found = [v for page in self._server.pages(self._server.client.search_model_versions, query) for v in page]
            for held in sorted(found, key=lambda v: -int(v.version)):
                full = self._with_run(held)
                if {k: held.tags.get(k) for k in wanted} == wanted and (full.params or {}).get("seed") == str(seed):
                    return full
        return None

    def old_versions(self, before: datetime, newest: int) -> list[Version]:
        """Return the versions made before a moment, oldest first, without those that have an alias and the `newest` ones. Raises StoreError."""
        with self._server.answers():
            found = [v for page in self._server.pages(self._server.client.search_model_versions, f"name='{self.name}'") for v in page]
            found.sort(key=lambda v: -int(v.version))
            old = [v for v in found[newest:] if v.creation_timestamp < before.timestamp() * 1_000]
            full = (self._server.client.get_model_version(self.name, v.version) for v in reversed(old))  # a search gives no aliases
            return [Version(str(v.version), v.run_id or "") for v in full if not v.aliases]

    def remove_version(self, version: str) -> bool:
        """Delete a version unless it has an alias; return whether it is gone. Its run is old from then on. Raises StoreError."""
        with self._server.answers():
            try:
                if self._server.client.get_model_version(self.name, version).aliases:
                    return False
                self._server.client.delete_model_version(self.name, version)
            except self._server.error as error:
                if getattr(error, "error_code", "") != "RESOURCE_DOES_NOT_EXIST":
                    raise
        return True

    def set_alias(self, alias: str, version: str) -> None:
        """Move an alias. Raises StoreError when there is no such version."""
        try:
            self._server.client.set_registered_model_alias(self.name, alias, version)
        except self._server.error as error:
            raise StoreError(f"alias {alias} could not be moved to version {version}: {short(error, 200)}") from error

    def seal(self, version: str, graph: bytes) -> None:
        """Write the seal of a version's graph to its tags. Raises StoreError."""
        try:
            for tag, value in self._key.tags(self.name, version, graph).items():
                self._server.client.set_model_version_tag(self.name, version, tag, value)
        except self._server.error as error:
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
            tags = self._server.client.get_model_version(name, number).tags
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
        self._server.select()
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
                return name, str(self._server.client.get_model_version_by_alias(name, alias).version)
        name, _, number = rest.rpartition("/")
        if not name or not number.isdigit():
            raise ModelError(f"{reference} names no version; write models:/NAME/VERSION or models:/NAME@ALIAS")
        return name, number

    @contextmanager
    def _answering(self, reference: str) -> Iterator[None]:
        """Raise ModelError when MLflow has no such version, StoreError when it does not answer."""
        try:
            yield
        except self._server.error as error:
            if getattr(error, "error_code", "") in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "BAD_REQUEST"}:
                raise ModelError(f"no model is registered as {reference}; run `mlids train` first") from error
            raise StoreError(f"MLflow at {self.uri} does not answer: {short(error, 200)}") from error
