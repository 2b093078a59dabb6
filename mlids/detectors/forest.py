"""RandomForest: the probability of each known attack class for a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlids.errors import NoRowsError

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

TREES = 100
BENIGN = "benign"


def fit_forest(
    x: np.ndarray, labels: np.ndarray, *, weights: np.ndarray | None = None, seed: int = 0, trees: int = TREES,
    depth: int = 20, leaf: int = 3,
) -> RandomForestClassifier:  # fmt: skip
    """Return a forest fitted on float32[n, features] and n labels: `benign` or an attack class.

    Benign rows have the same total weight as all attack rows. Raises NoRowsError when either side has no rows.
    """
    from sklearn.ensemble import RandomForestClassifier

    kinds = set(labels.tolist())
    if BENIGN not in kinds or len(kinds) < 2:
        raise NoRowsError(f"the training rows hold only {sorted(kinds) or 'nothing'}; benign rows and at least one attack are needed")
    return RandomForestClassifier(
        n_estimators=trees, max_depth=depth, min_samples_leaf=leaf, max_features="sqrt",
        n_jobs=2, random_state=seed,
    ).fit(x, labels, sample_weight=balanced(labels, weights))  # fmt: skip


def balanced(labels: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return float64[n] weights, scaled so that benign rows and attack rows have the same total.

    By default the total of a class is proportional to the square root of its number of rows.
    """
    if weights is None:
        _, place, count = np.unique(labels, return_inverse=True, return_counts=True)
        weights = (count.astype(np.float64) ** -0.5)[place]
    weights = weights.astype(np.float64)
    benign = labels == BENIGN
    for side in (benign, ~benign):
        weights[side] *= len(labels) / 2 / max(weights[side].sum(), 1e-12)
    return weights
