"""Figures against scikit-learn and by hand; the gate."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from mlids.training.gate import gate
from mlids.training.metrics import pr_auc, recall_at_fpr


def test_pr_auc_equals_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    attack = rng.random(3_000) < 0.2
    scores = np.round(rng.normal(attack, 1.0), 1)  # with ties
    assert pr_auc(scores, attack) == pytest.approx(average_precision_score(attack, scores))
    weights = np.where(attack, 1.0, attack.sum() * 99 / (~attack).sum())
    assert pr_auc(scores, attack, 0.01) == pytest.approx(average_precision_score(attack, scores, sample_weight=weights))


def test_recall_at_fpr_by_hand() -> None:
    scores = np.array([*range(100), 98.5, 200.0, 50.0])
    attack = np.array([False] * 100 + [True] * 3)
    assert recall_at_fpr(scores, attack, 0.01) == pytest.approx(1 / 3)
    assert recall_at_fpr(scores, attack, 0.05) == pytest.approx(2 / 3)
    assert np.isnan(recall_at_fpr(scores, np.zeros(103, bool), 0.01)) and np.isnan(pr_auc(scores, np.ones(103, bool)))


@pytest.mark.parametrize(
    ("mine", "theirs", "passed"),
    [(0.8, None, True), (0.3, None, False), (0.8, 0.75, True), (0.745, 0.75, True), (0.7, 0.75, False), (float("nan"), 0.7, False)],
)
def test_gate(mine: float, theirs: float | None, passed: bool) -> None:
    decision = gate({"pr_auc_at_1pct": mine}, None if theirs is None else {"pr_auc_at_1pct": theirs})
    assert decision.passed is passed and decision.why


def test_gate_asks_for_a_full_week() -> None:
    metrics = {"pr_auc_at_1pct": 0.9}
    assert not gate(metrics, metrics, conns_a_day=(99.0, 1_000.0)).passed
    assert gate(metrics, metrics, conns_a_day=(101.0, 1_000.0)).passed
    assert gate(metrics, None, conns_a_day=(1.0, 1_000.0)).passed and gate(metrics, metrics, conns_a_day=(5.0, 0.0)).passed
