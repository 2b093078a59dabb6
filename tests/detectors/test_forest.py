"""The RandomForest needs both sides and weighs them alike."""

from __future__ import annotations

import numpy as np
import pytest

from mlids.detectors.forest import balanced, fit_forest
from mlids.errors import NoRowsError
from mlids.features.spec import NAMES
from tests.detectors.conftest import Forests


def test_one_class_is_no_training_set() -> None:
    x = np.zeros((10, len(NAMES)), np.float32)
    with pytest.raises(NoRowsError, match="benign"):
        fit_forest(x, np.array(["benign"] * 10))
    with pytest.raises(NoRowsError, match="at least one attack"):
        fit_forest(x, np.array(["scan"] * 10))
    with pytest.raises(NoRowsError, match="nothing"):
        fit_forest(x[:0], np.array([]))


def test_benign_and_attack_rows_have_the_same_total_weight() -> None:
    labels = np.array(["benign"] * 90 + ["scan"] * 9 + ["beacon"])
    weights = balanced(labels)
    assert weights[:90].sum() == pytest.approx(50.0) and weights[90:].sum() == pytest.approx(50.0)
    assert weights[90:99].sum() == pytest.approx(3 * weights[99]), "a class weighs by the root of its rows"


def test_given_weights_keep_their_ratios_within_a_side() -> None:
    given = np.array([1.0, 3.0, 2.0, 2.0])
    weights = balanced(np.array(["benign", "benign", "scan", "scan"]), given)
    np.testing.assert_allclose(weights, [0.5, 1.5, 1.0, 1.0])
    assert given.tolist() == [1.0, 3.0, 2.0, 2.0]


def test_the_same_seed_gives_the_same_forest(forests: Forests) -> None:
    again = fit_forest(forests.x, forests.labels, trees=20)
    # Two threads add up the trees in either order.
    np.testing.assert_allclose(again.predict_proba(forests.x[:100]), forests.forest.predict_proba(forests.x[:100]), rtol=1e-12)
