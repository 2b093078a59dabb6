"""Forests fitted on random rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest, RandomForestClassifier

from mlids.detectors.forest import fit_forest
from mlids.detectors.isolation import fit_isolation
from mlids.detectors.model_spec import Spec
from mlids.features.spec import NAMES


@dataclass(frozen=True)
class Forests:
    """Two forests fitted on `x` with the classes benign, scan and flood, and their spec."""

    forest: RandomForestClassifier
    isolation: IsolationForest
    x: np.ndarray
    labels: np.ndarray
    spec: Spec


@pytest.fixture(scope="session")
def forests() -> Forests:
    rng = np.random.default_rng(0)
    x = rng.gamma(1.0, 2.0, (4_000, len(NAMES))).astype(np.float32)
    labels = np.where(x[:, 3] > 5, "scan", np.where(x[:, 7] > 6, "flood", "benign"))
    forest, isolation = fit_forest(x, labels, trees=20), fit_isolation(x, trees=50)
    spec = Spec(medians=np.median(x, axis=0).astype(float).tolist(), classes=[str(c) for c in forest.classes_])
    return Forests(forest, isolation, x, labels, spec)


def rows_on_thresholds(x: np.ndarray, forest: RandomForestClassifier | IsolationForest, most: int = 500) -> np.ndarray:
    """Return copies of the first row, each with one value on a threshold of the forest, where careless rounding takes the other branch."""
    edges = np.concatenate([t.tree_.threshold[t.tree_.feature >= 0] for t in forest.estimators_]).astype(np.float32)[:most]
    rows = np.repeat(x[:1], len(edges), axis=0)
    rows[np.arange(len(rows)), np.arange(len(rows)) % x.shape[1]] = edges
    return rows
