"""Models that score feature rows: forests fitted in this process, or the registered bundle (one ONNX graph with its spec)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mlids.detectors.forest import BENIGN
from mlids.detectors.isolation import anomaly_scores
from mlids.detectors.trees import CompleteTrees, complete
from mlids.errors import ModelError, OtherFeaturesError
from mlids.features.spec import FEATURES_VERSION, NAMES

if TYPE_CHECKING:
    from sklearn.ensemble import IsolationForest, RandomForestClassifier

SPEC_FORMAT = 2
BULK_ROWS = 10_000


@dataclass(frozen=True)
class Spec:
    """Everything besides the trees that scoring needs. Stored as JSON in the metadata of the graph."""

    medians: list[float]  # of each feature over the training rows
    # Knots that map anomaly_score to a surprise level from 0 to 1, linear in between. Without training on other days
    # the scale is absolute (0.5 is an average row, 0.8 is very rare), so that a log may contain no anomaly at all.
    surprise: list[list[float]] = field(default_factory=lambda: [[0.60, 0.80], [0.0, 1.0]])
    threshold: float = 70.0  # risk_score from which a row is an alert
    classes: list[str] = field(default_factory=list)  # of class_probabilities; empty without a RandomForest
    forest_columns: list[int] = field(default_factory=lambda: list(range(len(NAMES))))  # features the RandomForest sees
    features: list[str] = field(default_factory=lambda: list(NAMES))
    features_version: int = FEATURES_VERSION
    format: int = SPEC_FORMAT
    trained_from: str | None = None  # ISO 8601, half-open window
    trained_to: str | None = None
    rows: int = 0
    conns_a_day: float = 0.0  # of the site, in the days that it learned from; 0 when not known
    budget_per_day: float | None = None
    example: list[float] = field(default_factory=list)  # one feature row, for the self-test
    example_scores: list[float] = field(default_factory=list)  # the scores that the model must give to it

    @property
    def attack_classes(self) -> list[str]:
        """The classes that are attacks, in their order."""
        return [c for c in self.classes if c != BENIGN]

    def as_dict(self) -> dict[str, Any]:
        """Return the spec as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Scores:
    """Scores of n rows. `attack_probability` and `attack_class` are None without a RandomForest."""

    anomaly_score: np.ndarray
    attack_probability: np.ndarray | None
    attack_class: np.ndarray | None  # index into the attack classes


def _with_shares(anomaly: np.ndarray, shares: np.ndarray, spec: Spec) -> Scores:
    """Return scores from class probabilities float32[n, classes]; the attack probability is 1 − P(benign)."""
    attacks = shares[:, [i for i, c in enumerate(spec.classes) if c != BENIGN]]
    return Scores(anomaly, np.clip(attacks.sum(axis=1), 0.0, 1.0), attacks.argmax(axis=1))


def _difference(spec: Spec) -> str:
    """Return in words how a model's features differ from those of this installation."""
    if spec.features_version != FEATURES_VERSION:
        return f"the model was made for features version {spec.features_version}, this is version {FEATURES_VERSION}"
    lacks, more = [n for n in NAMES if n not in spec.features], [n for n in spec.features if n not in NAMES]
    found = [f"it lacks {', '.join(lacks)}"] * bool(lacks) + [f"it has {', '.join(more)} besides"] * bool(more)
    return f"the model was made for other features than this installation has: {'; '.join(found) or 'their order differs'}"


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
        return _with_shares(anomaly, self._forest.predict_proba(x[:, self.spec.forest_columns]).astype(np.float32), self.spec)


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
            meta = self._session.get_modelmeta().custom_metadata_map
            self.spec = Spec(**json.loads(meta["mlids"]))
        except KeyError as error:
            raise ModelError("the model carries no mlids spec; was it registered by `mlids train`?") from error
        except (TypeError, ValueError) as error:
            raise ModelError(f"the model's spec cannot be read: {error}") from error
        except Exception as error:
            if "onnxruntime" not in type(error).__module__:
                raise
            raise ModelError(f"the model is damaged: {str(error)[:200]}") from error
        self.version = version
        self.graph = graph
        self.digest = hashlib.sha256(graph).hexdigest()
        if self.spec.features_version != FEATURES_VERSION or self.spec.features != list(NAMES):
            raise OtherFeaturesError(f"{_difference(self.spec)}; train a new one with `mlids train`")
        self.attack_classes = self.spec.attack_classes
        self._self_test()

    def score(self, x: np.ndarray) -> Scores:
        """Return the scores of float32[n, features]; in batches of 4,096, where onnxruntime is fastest."""
        pieces = [self._piece(x[i : i + 4096]) for i in range(0, len(x), 4096)] or [self._piece(x)]
        anomaly = np.concatenate([p[0] for p in pieces])
        if not self.attack_classes:
            return Scores(anomaly, None, None)
        return _with_shares(anomaly, np.concatenate([p[1] for p in pieces]), self.spec)

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
