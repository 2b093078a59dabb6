"""IsolationForest: how anomalous a row is compared with the training rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlids.errors import NoRowsError
from mlids.features.spec import ISOLATION_COLUMNS

if TYPE_CHECKING:
    from sklearn.ensemble import IsolationForest

TREES = 100
# More rows hardly change the ranking (rank correlation 0.99 between 262k and all rows) and take minutes.
SAMPLE_ROWS = 262_144
MIN_ROWS = 2
TREE_ROWS = 512
COLUMNS = np.array(ISOLATION_COLUMNS)


def fit_isolation(x: np.ndarray, *, seed: int = 0, trees: int = TREES) -> IsolationForest:
    """Return a forest fitted on ISOLATION_COLUMNS of float32[n, features]. Raises NoRowsError with fewer than two rows."""
    from sklearn.ensemble import IsolationForest

    if len(x) < MIN_ROWS:
        raise NoRowsError(f"{len(x)} rows are too few to fit an IsolationForest; at least {MIN_ROWS} are needed")
    forest = IsolationForest(n_estimators=trees, max_samples=min(TREE_ROWS, len(x)), contamination="auto", random_state=seed)
    return forest.fit(x[:, COLUMNS])


def anomaly_scores(forest: IsolationForest, x: np.ndarray) -> np.ndarray:
    """Return float32[n], 0 to 1, higher is more anomalous: minus scikit-learn's `score_samples`.

    `x` has all features; the forest uses those of ISOLATION_COLUMNS. `trees` is faster for many rows.
    """
    return (-forest.score_samples(x[:, COLUMNS])).astype(np.float32)
