"""Thresholds by the alert budget, and training without attacks or benign rows."""

from __future__ import annotations

import numpy as np
import pytest

from mlids.detectors.forest import BENIGN
from mlids.errors import NoRowsError
from mlids.features.spec import NAMES, SHAPE_COLUMNS
from mlids.training.train import THRESHOLD_HIGH, THRESHOLD_LOW, fit_pair, threshold_for_budget


def test_the_threshold_lets_as_many_groups_alert_as_the_budget_allows() -> None:
    keys = ["a", "a", "b", "c", "d"]
    risk = np.array([95.0, 90.0, 93.0, 91.0, 84.0])
    threshold, per_day = threshold_for_budget(keys, risk, days=2.0, budget_per_day=1.0)
    assert threshold == pytest.approx(91.1) and per_day == 1.0, "groups a and b in two days; a counts once"


def test_the_threshold_has_bounds() -> None:
    assert threshold_for_budget(["a"], np.array([83.0]), days=1.0, budget_per_day=20.0) == (THRESHOLD_LOW, 1.0)
    assert threshold_for_budget([], np.array([]), days=1.0, budget_per_day=20.0) == (THRESHOLD_LOW, 0.0)
    keys = [str(n) for n in range(50)]
    assert threshold_for_budget(keys, np.full(50, 99.9), days=1.0, budget_per_day=1.0) == (THRESHOLD_HIGH, 50.0)


def rows(labels: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).gamma(1.0, 1.0, (len(labels), len(NAMES))).astype(np.float32)
    return x, np.array(labels), np.full(len(labels), "hq"), np.ones(len(labels))


def test_without_true_attacks_the_random_forest_gets_shape_columns_only() -> None:
    pair = fit_pair(*rows([BENIGN, "beacon"] * 40), true_attacks=False)
    assert pair.spec.forest_columns == list(SHAPE_COLUMNS) and pair.forest.n_features_in_ == len(SHAPE_COLUMNS)
    whole = fit_pair(*rows([BENIGN, "beacon"] * 40), true_attacks=True)
    assert whole.spec.forest_columns == list(range(len(NAMES))) and whole.spec.classes == ["beacon", BENIGN]


def test_surprise_rises_with_the_rank_among_benign_rows() -> None:
    at, to = fit_pair(*rows([BENIGN, "beacon"] * 400), true_attacks=True).spec.surprise
    assert all(np.diff(at) > 0) and to == pytest.approx([0.1, 1 / 3, 2 / 3, 1.0])


@pytest.mark.parametrize("labels", [[BENIGN] * 20, ["beacon"] * 20])
def test_one_class_is_refused(labels: list[str]) -> None:
    with pytest.raises(NoRowsError, match="benign rows and at least one attack"):
        fit_pair(*rows(labels), true_attacks=True)
