"""The linked trees give scikit-learn's class shares."""

from __future__ import annotations

import numpy as np
import pytest

from mlids.detectors.forest import fit_forest
from mlids.detectors.linked_trees import LinkedTrees, link
from tests.detectors.conftest import Forests, rows_on_thresholds


@pytest.fixture(scope="module")
def linked(forests: Forests) -> LinkedTrees:
    return link([e.tree_ for e in forests.forest.estimators_], np.arange(forests.x.shape[1]))


def test_linked_trees_equal_scikit_learn(forests: Forests, linked: LinkedTrees) -> None:
    some = np.concatenate([forests.x, rows_on_thresholds(forests.x, forests.forest), np.full((1, forests.x.shape[1]), 1e30, np.float32)])
    np.testing.assert_allclose(linked.probabilities(some), forests.forest.predict_proba(some), atol=2e-5)


def test_a_forest_of_some_columns_sees_these_only(forests: Forests) -> None:
    columns = np.array([3, 7, 11])
    forest = fit_forest(forests.x[:, columns], forests.labels, trees=5, depth=4)
    linked = link([e.tree_ for e in forest.estimators_], columns)
    np.testing.assert_allclose(linked.probabilities(forests.x), forest.predict_proba(forests.x[:, columns]), atol=2e-5)


def test_shares_do_not_depend_on_memory_order_or_threads(forests: Forests, linked: LinkedTrees) -> None:
    many = np.concatenate([forests.x] * 9)  # more than one piece
    wanted = np.tile(linked.probabilities(forests.x), (9, 1))
    np.testing.assert_array_equal(linked.probabilities(many), wanted)
    np.testing.assert_array_equal(linked.probabilities(np.asfortranarray(many), threads=1), wanted)


def test_no_rows_have_no_shares(forests: Forests, linked: LinkedTrees) -> None:
    assert linked.probabilities(forests.x[:0]).shape == (0, len(forests.forest.classes_))
