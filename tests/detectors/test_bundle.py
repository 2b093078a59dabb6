"""The bundle is data and says what scikit-learn says; damaged or foreign ones are refused."""

from __future__ import annotations

import numpy as np
import pytest

from mlids.detectors.bundle import Bundle, Fitted, Spec
from mlids.detectors.forest import fit_forest
from mlids.detectors.isolation import COLUMNS, anomaly_scores, fit_isolation
from mlids.detectors.onnx_graph import build_graph, with_spec
from mlids.detectors.trees import complete
from mlids.detectors.verdict import contributions, explain, judge
from mlids.errors import ModelError, NoRowsError
from mlids.features.spec import BEHAVIOUR_COLUMNS, NAMES


@pytest.fixture(scope="module")
def fitted() -> tuple[object, object, np.ndarray, Spec]:
    rng = np.random.default_rng(0)
    x = rng.gamma(1.0, 2.0, (4_000, len(NAMES))).astype(np.float32)
    labels = np.where(x[:, 3] > 5, "scan", np.where(x[:, 7] > 6, "flood", "benign"))
    forest, isolation = fit_forest(x, labels, trees=20), fit_isolation(x, trees=50)
    spec = Spec(medians=np.median(x, axis=0).astype(float).tolist(), classes=[str(c) for c in forest.classes_])
    return forest, isolation, x, spec


def test_graph_equals_scikit_learn(fitted: tuple) -> None:  # type: ignore[type-arg]
    forest, isolation, x, spec = fitted
    bundle = Bundle(build_graph(forest, isolation, spec.as_dict()))
    # Values on the very thresholds are where a careless float32 rounding takes the other branch.
    edges = np.concatenate([t.tree_.threshold[t.tree_.feature >= 0] for t in forest.estimators_]).astype(np.float32)
    tricky = np.repeat(x[:1], len(edges[:500]), axis=0)
    tricky[np.arange(len(tricky)), np.arange(len(tricky)) % x.shape[1]] = edges[: len(tricky)]
    rows = np.concatenate([x, tricky])
    scores = bundle.score(rows)
    assert scores.attack_probability is not None
    benign = list(forest.classes_).index("benign")
    np.testing.assert_allclose(scores.attack_probability, 1 - forest.predict_proba(rows)[:, benign], atol=1e-5)
    np.testing.assert_allclose(scores.anomaly_score, anomaly_scores(isolation, rows), atol=1e-5)


@pytest.mark.parametrize("rows", [2, 5, 100, 4_000])
def test_compiled_trees_equal_scikit_learn(fitted: tuple, rows: int) -> None:  # type: ignore[type-arg]
    _, _, x, _ = fitted
    forest = fit_isolation(x[:rows], trees=30)
    edges = np.concatenate([t.tree_.threshold[t.tree_.feature >= 0] for t in forest.estimators_]).astype(np.float32)[:500]
    tricky = np.repeat(x[:1], len(edges), axis=0)
    tricky[np.arange(len(tricky)), np.arange(len(tricky)) % x.shape[1]] = edges
    some = np.concatenate([x, tricky, np.full((1, x.shape[1]), 1e30, np.float32)])
    np.testing.assert_allclose(complete(forest).scores(some), anomaly_scores(forest, some), atol=1e-6)


def test_without_a_random_forest(fitted: tuple) -> None:  # type: ignore[type-arg]
    _, isolation, x, spec = fitted
    bundle = Bundle(build_graph(None, isolation, Spec(medians=spec.medians).as_dict()))
    scores = bundle.score(x[:10])
    assert scores.attack_probability is None and bundle.attack_classes == []
    np.testing.assert_allclose(scores.anomaly_score, anomaly_scores(isolation, x[:10]), atol=1e-5)


def test_damaged_foreign_and_old_models_are_refused(fitted: tuple) -> None:  # type: ignore[type-arg]
    forest, isolation, x, spec = fitted
    graph = build_graph(forest, isolation, spec.as_dict())
    with pytest.raises(ModelError, match="damaged"):
        Bundle(graph[: len(graph) // 2])
    with pytest.raises(ModelError, match="features version 99"):
        Bundle(with_spec(graph, spec.as_dict() | {"features_version": 99}))
    with pytest.raises(ModelError, match="cannot be read"):
        Bundle(with_spec(graph, {"unknown": 1}))
    with pytest.raises(ModelError, match="self-test"):
        Bundle(with_spec(graph, spec.as_dict() | {"example": x[0].tolist(), "example_scores": [0.0, 0.0]}))
    with pytest.raises(ModelError):
        Bundle(b"not a model")


def test_one_class_is_no_training_set() -> None:
    x = np.zeros((10, len(NAMES)), np.float32)
    with pytest.raises(NoRowsError, match="benign"):
        fit_forest(x, np.array(["benign"] * 10))
    with pytest.raises(NoRowsError, match="at least one attack"):
        fit_forest(x, np.array(["scan"] * 10))
    with pytest.raises(NoRowsError, match="too few"):
        fit_isolation(x[:1])


def test_reasons_name_what_raises_the_score(fitted: tuple) -> None:  # type: ignore[type-arg]
    _, isolation, _, spec = fitted
    rows = np.repeat(np.array([spec.medians], np.float32), 3, axis=0)
    rows[:, BEHAVIOUR_COLUMNS] = 0.0
    rows[1, NAMES.index("src_hosts_1h")] = 60.0
    model = Fitted(isolation, spec)
    verdicts = judge(model, rows)
    reasons = explain(model, rows, verdicts, np.arange(3))
    assert "its source contacted" in reasons[1] and "its source contacted" not in reasons[0]


def test_reasons_agree_with_shap() -> None:
    """Median replacement is an approximation that is cheap enough for the live path: it must name what SHAP names."""
    from shap import TreeExplainer

    rng = np.random.default_rng(1)
    normal = rng.normal(3.0, 0.3, (4_000, len(NAMES))).astype(np.float32)
    forest = fit_isolation(normal)
    model = Fitted(forest, Spec(medians=np.median(normal, axis=0).astype(float).tolist()))
    rows = rng.normal(3.0, 0.3, (200, len(NAMES))).astype(np.float32)
    rows[:, BEHAVIOUR_COLUMNS] = 0.0
    shown = np.setdiff1d(COLUMNS, np.arange(len(NAMES))[BEHAVIOUR_COLUMNS])
    far = np.array([rng.choice(shown, 3, replace=False) for _ in rows])
    rows[np.arange(len(rows))[:, None], far] += 6.0  # three features of each row are twenty deviations out
    ours = contributions(model, rows, judge(model, rows), np.arange(len(rows)))[:, shown]
    theirs = -np.asarray(TreeExplainer(forest).shap_values(rows[:, COLUMNS]))[:, np.isin(COLUMNS, shown)]  # SHAP explains the depth
    first, their_first = np.argsort(-ours, axis=1)[:, :3], np.argsort(-theirs, axis=1)[:, :3]
    assert np.mean([a[0] in b for a, b in zip(first, their_first, strict=True)]) >= 0.95
    assert np.mean([len(set(a) & set(b)) / 3 for a, b in zip(first, their_first, strict=True)]) >= 0.8
