"""The IsolationForest scores rows far from the training rows higher, and uses its own columns only."""

from __future__ import annotations

import numpy as np
import pytest

from mlids.detectors.isolation import COLUMNS, anomaly_scores, fit_isolation
from mlids.errors import NoRowsError
from mlids.features.spec import NAMES
from tests.detectors.conftest import Forests


def test_one_row_is_too_few() -> None:
    with pytest.raises(NoRowsError, match="too few"):
        fit_isolation(np.zeros((1, len(NAMES)), np.float32))


def test_a_row_far_from_the_others_scores_higher(forests: Forests) -> None:
    rows = np.repeat(np.median(forests.x, axis=0, keepdims=True), 2, axis=0).astype(np.float32)
    rows[1, COLUMNS] = 1_000.0
    usual, far = anomaly_scores(forests.isolation, rows)
    assert 0.0 < usual < 0.5 < far < 1.0


def test_other_columns_do_not_change_the_score(forests: Forests) -> None:
    others = np.setdiff1d(np.arange(len(NAMES)), COLUMNS)
    assert len(others) > 0
    changed = forests.x[:50].copy()
    changed[:, others] += 100.0
    np.testing.assert_array_equal(anomaly_scores(forests.isolation, changed), anomaly_scores(forests.isolation, forests.x[:50]))
