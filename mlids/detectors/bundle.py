"""Models that score feature rows: forests fitted in this process, or the registered bundle (one ONNX graph with its spec)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mlids.detectors.forest import BENIGN
from mlids.detectors.isolation import anomaly_scores
from mlids.detectors.model_spec import Spec, read_spec
from mlids.detectors.onnx_graph import with_property
from mlids.detectors.record_forests import RecordForest, pack_record_forests, unpack_record_forests
from mlids.detectors.trees import CompleteTrees, complete
from mlids.errors import ModelError
from mlids.features.spec import NAMES

if TYPE_CHECKING:
    from sklearn.ensemble import IsolationForest, RandomForestClassifier

BULK_ROWS = 10_000
# Where the metadata of a graph holds the forests of http, dns, ssh and ssl; a model may lack them.
RECORD_FORESTS = "mlids_record_forests"


@dataclass(frozen=True)
class Scores:
    """Scores of n rows. `attack_probability` and `attack_class` are None without a RandomForest."""

    anomaly_score: np.ndarray
    attack_probability: np.ndarray | None
    attack_class: np.ndarray | None  # index into the attack classes


def with_shares(anomaly: np.ndarray, shares: np.ndarray, spec: Spec) -> Scores:
    """Return scores from class probabilities float32[n, classes]; the attack probability is 1 − P(benign)."""
    attacks = shares[:, [i for i, c in enumerate(spec.classes) if c != BENIGN]]
    return Scores(anomaly, np.clip(attacks.sum(axis=1), 0.0, 1.0), attacks.argmax(axis=1))


class Model(Protocol):
    """Anything that scores feature rows."""

    spec: Spec
    version: str | None

    attack_classes: list[str]  # names that `Scores.attack_class` points into

    def score(self, x: np.ndarray) -> Scores:
        """Return the scores of float32[n, features]."""


class Fitted:
    """Forests fitted in this process: the IsolationForest alone, or both."""

    def __init__(self, isolation: IsolationForest, spec: Spec, forest: RandomForestClassifier | None = None) -> None:
        self.spec = spec
        self.version: str | None = None
        self.attack_classes = spec.attack_classes
        self._isolation, self._forest = isolation, forest
        self._complete: CompleteTrees | None = None

    def score(self, x: np.ndarray) -> Scores:
        """Return the scores. More than BULK_ROWS rows use compiled trees; for fewer, loading the compiler takes longer than scoring."""
        if self._complete is None and len(x) > BULK_ROWS:
            self._complete = complete(self._isolation)
        anomaly = self._complete.scores(x) if self._complete is not None else anomaly_scores(self._isolation, x)
        if self._forest is None:
            return Scores(anomaly, None, None)
        return with_shares(anomaly, self._forest.predict_proba(x[:, self.spec.forest_columns]).astype(np.float32), self.spec)


class Bundle:
    """The production model: an ONNX graph read by onnxruntime. Loading it runs no code from the model file."""

    def __init__(self, graph: bytes, version: str | None = None) -> None:
        import onnxruntime as rt

        options = rt.SessionOptions()
        options.intra_op_num_threads = 2
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a live scorer is idle most of the time
        try:
            self._session = rt.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
            text = self._session.get_modelmeta().custom_metadata_map["mlids"]
        except KeyError as error:
            raise ModelError("the model carries no mlids spec; was it registered by `mlids train`?") from error
        except Exception as error:
            if "onnxruntime" not in type(error).__module__:
                raise
            raise ModelError(f"the model is damaged: {str(error)[:200]}") from error
        self.spec = read_spec(text)
        self.version = version
        self.graph = graph
        self.digest = hashlib.sha256(graph).hexdigest()
        self.attack_classes = self.spec.attack_classes
        self._check_shapes()
        self._self_test()

    def record_forests(self) -> dict[str, RecordForest]:
        """Return the forests of http, dns, ssh and ssl that the model has. Raises ModelError when they are damaged."""
        text = self._session.get_modelmeta().custom_metadata_map.get(RECORD_FORESTS)
        if text is None:
            return {}
        try:
            content = base64.b64decode(text, validate=True)
        except ValueError as error:
            raise ModelError(f"the forests of http, dns, ssh and ssl in the model are damaged: {error}") from error
        return unpack_record_forests(content)

    def _check_shapes(self) -> None:
        """Return when inputs and outputs of the graph are those of its spec. Raises ModelError."""
        found = {n.name: (n.type, list(n.shape)[1:]) for n in (*self._session.get_inputs(), *self._session.get_outputs())}
        must = {"features": ("tensor(float)", [len(NAMES)]), "anomaly_score": ("tensor(float)", [1])}
        if self.attack_classes:
            must["class_probabilities"] = ("tensor(float)", [len(self.spec.classes)])
        if found != must:
            raise ModelError(f"the model's inputs and outputs are {str(found)[:200]}; its spec needs {must}")

    def score(self, x: np.ndarray) -> Scores:
        """Return the scores of float32[n, features]; in batches of 4,096, where onnxruntime is fastest."""
        pieces = [self._piece(x[i : i + 4096]) for i in range(0, len(x), 4096)] or [self._piece(x)]
        anomaly = np.concatenate([p[0] for p in pieces])
        if not self.attack_classes:
            return Scores(anomaly, None, None)
        return with_shares(anomaly, np.concatenate([p[1] for p in pieces]), self.spec)

    def _piece(self, x: np.ndarray) -> list[np.ndarray]:
        names = ["anomaly_score", *(["class_probabilities"] if self.attack_classes else [])]
        out = self._session.run(names, {"features": np.ascontiguousarray(x, np.float32)})
        return [out[0][:, 0], *out[1:]]

    def _self_test(self) -> None:
        if not self.spec.example:
            return
        try:
            scores = self.score(np.array([self.spec.example], np.float32))
        except Exception as error:  # onnxruntime has no base class for what a graph with other inputs or outputs raises
            raise ModelError(f"the model does not score its own example: {str(error)[:200]}; it is damaged") from error
        found = [float(scores.anomaly_score[0])]
        if scores.attack_probability is not None:
            found.append(float(scores.attack_probability[0]))
        if not np.allclose(found, self.spec.example_scores, atol=1e-4):
            raise ModelError(f"the model's self-test gave {found}, expected {self.spec.example_scores}; it is damaged")


def with_record_forests(graph: bytes, forests: Mapping[str, RecordForest]) -> bytes:
    """Return the same graph with forests of http, dns, ssh and ssl; without any it stays as it is."""
    if not forests:
        return graph
    return with_property(graph, RECORD_FORESTS, base64.b64encode(pack_record_forests(forests)).decode())
