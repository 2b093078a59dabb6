"""IsolationForest: how strange a row is among the rows it learned from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlids.errors import NoRowsError
from mlids.features.spec import ISOLATION_COLUMNS

if TYPE_CHECKING:
    from sklearn.ensemble import IsolationForest

TREES = 100
# More rows change the ranking hardly (rank correlation 0.99 between 262k and all rows) and cost minutes.
SAMPLE_ROWS = 262_144
MIN_ROWS = 2
TREE_ROWS = 512
COLUMNS = np.array(ISOLATION_COLUMNS)


def fit_isolation(x: np.ndarray, *, seed: int = 0, trees: int = TREES) -> IsolationForest:
    """Return a fitted forest. Raises NoRowsError with fewer than two rows."""
    from sklearn.ensemble import IsolationForest

    if len(x) < MIN_ROWS:
        raise NoRowsError(f"{len(x)} rows are too few to learn what is normal; at least {MIN_ROWS} are needed")
    forest = IsolationForest(n_estimators=trees, max_samples=min(TREE_ROWS, len(x)), contamination="auto", random_state=seed)
    return forest.fit(x[:, COLUMNS])


def anomaly_scores(forest: IsolationForest, x: np.ndarray) -> np.ndarray:
    """Return float32[n], 0 to 1, higher is stranger: minus scikit-learn's `score_samples`. For many rows see `trees`.

    `x` has all features; the forest sees those of ISOLATION_COLUMNS.
    """
    return (-forest.score_samples(x[:, COLUMNS])).astype(np.float32)
