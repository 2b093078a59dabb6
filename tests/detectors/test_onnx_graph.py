"""The graph gives scikit-learn's scores and carries the spec."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest

from mlids.detectors.bundle import Bundle
from mlids.detectors.isolation import anomaly_scores
from mlids.detectors.model_spec import Spec
from mlids.detectors.onnx_graph import average_path, build_graph, floor32, node_depths, with_spec
from tests.detectors.conftest import Forests, rows_on_thresholds


def test_graph_equals_scikit_learn(forests: Forests) -> None:
    bundle = Bundle(build_graph(forests.forest, forests.isolation, forests.spec.as_dict()))
    rows = np.concatenate([forests.x, rows_on_thresholds(forests.x, forests.forest)])
    scores = bundle.score(rows)
    assert scores.attack_probability is not None
    benign = list(forests.forest.classes_).index("benign")
    np.testing.assert_allclose(scores.attack_probability, 1 - forests.forest.predict_proba(rows)[:, benign], atol=1e-5)
    np.testing.assert_allclose(scores.anomaly_score, anomaly_scores(forests.isolation, rows), atol=1e-5)


def test_without_a_random_forest(forests: Forests) -> None:
    bundle = Bundle(build_graph(None, forests.isolation, Spec(medians=forests.spec.medians).as_dict()))
    scores = bundle.score(forests.x[:10])
    assert scores.attack_probability is None and bundle.attack_classes == []
    np.testing.assert_allclose(scores.anomaly_score, anomaly_scores(forests.isolation, forests.x[:10]), atol=1e-5)


def test_another_spec_leaves_the_trees_as_they_were(forests: Forests) -> None:
    before = build_graph(forests.forest, forests.isolation, forests.spec.as_dict())
    after = with_spec(before, {"threshold": 50.0})
    models = [onnx.load_from_string(graph) for graph in (before, after)]
    assert models[0].graph == models[1].graph
    assert [json.loads(p.value) for p in models[1].metadata_props] == [{"threshold": 50.0}]


@pytest.mark.parametrize("value", [0.1, -0.1, 1 / 3, 1.0, 0.0, 1e-40, 16_777_217.0])
def test_floor32_gives_every_float32_the_same_branch(value: float) -> None:
    floor = floor32(np.array([value]))
    assert floor.dtype == np.float32 and float(floor[0]) <= value < float(np.nextafter(floor[0], np.float32(np.inf)))


def test_average_path_of_liu_et_al() -> None:
    """c(n) = 2 H(n-1) - 2 (n-1) / n, with H(i) taken as ln(i) + Euler's constant."""
    np.testing.assert_allclose(average_path(np.array([1, 2, 256])), [0.0, 1.0, 10.244770], atol=1e-5)


def test_node_depths_of_a_small_tree() -> None:
    left, right = np.array([1, -1, 3, -1, -1]), np.array([2, -1, 4, -1, -1])
    assert node_depths(left, right).tolist() == [0, 1, 1, 2, 2]
