"""Compiled trees give scikit-learn's scores."""

from __future__ import annotations

import numpy as np
import pytest

from mlids.detectors.isolation import anomaly_scores, fit_isolation
from mlids.detectors.trees import TOP_LEVELS, complete
from tests.detectors.conftest import Forests, rows_on_thresholds


@pytest.mark.parametrize("rows", [2, 5, 100, 4_000])
def test_compiled_trees_equal_scikit_learn(forests: Forests, rows: int) -> None:
    x = forests.x
    forest = fit_isolation(x[:rows], trees=30)
    some = np.concatenate([x, rows_on_thresholds(x, forest), np.full((1, x.shape[1]), 1e30, np.float32)])
    np.testing.assert_allclose(complete(forest).scores(some), anomaly_scores(forest, some), atol=1e-6)


def test_scores_do_not_depend_on_memory_order_or_threads(forests: Forests) -> None:
    trees = complete(forests.isolation)
    many = np.concatenate([forests.x] * 9)  # more than one piece
    wanted = np.tile(trees.scores(forests.x), 9)
    np.testing.assert_array_equal(trees.scores(many), wanted)
    np.testing.assert_array_equal(trees.scores(np.asfortranarray(many), threads=1), wanted)


def test_every_tree_is_padded_to_the_deepest(forests: Forests) -> None:
    trees = complete(forests.isolation)
    depth = max(TOP_LEVELS, *(e.tree_.max_depth for e in forests.isolation.estimators_))
    assert trees.feature.shape == trees.threshold.shape == (50, 2**depth - 1) and trees.path.shape == (50, 2**depth)


def test_no_rows_have_no_scores(forests: Forests) -> None:
    assert complete(forests.isolation).scores(forests.x[:0]).shape == (0,)
