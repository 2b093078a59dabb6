"""Metrics against a plain reference, and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mlids.training.metrics import detection_metrics, pr_auc, recall_at_fpr


def plain_average_precision(scores: np.ndarray, attack: np.ndarray, benign_weight: float) -> float:
    """Return Σ (recall gained at a threshold) × (precision at it), over all distinct scores from the highest down."""
    total, before = 0.0, 0.0
    for threshold in sorted(set(scores.tolist()), reverse=True):
        over = scores >= threshold
        hits, false = float((over & attack).sum()), float((over & ~attack).sum()) * benign_weight
        recall = hits / float(attack.sum())
        total += (recall - before) * hits / (hits + false)
        before = recall
    return total


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_pr_auc_equals_a_plain_reference(seed: int, decimals: int) -> None:
    rng = np.random.default_rng(seed)
    attack = rng.random(800) < rng.uniform(0.01, 0.6)
    scores = np.round(rng.normal(attack, 1.0), decimals).astype(np.float32)  # with ties
    for prevalence in (None, 0.01, 0.3):
        weight = 1.0 if prevalence is None else attack.sum() * (1 - prevalence) / prevalence / (~attack).sum()
        assert pr_auc(scores, attack, prevalence) == pytest.approx(plain_average_precision(scores, attack, float(weight)), abs=1e-9)


def test_recall_at_fpr_by_hand() -> None:
    scores = np.array([*range(100), 98.5, 200.0, 50.0])
    attack = np.array([False] * 100 + [True] * 3)
    assert recall_at_fpr(scores, attack, 0.01) == pytest.approx(1 / 3)
    assert recall_at_fpr(scores, attack, 0.05) == pytest.approx(2 / 3)


@pytest.mark.parametrize("attack", [np.ones(7, bool), np.zeros(7, bool), np.zeros(0, bool)])
def test_metrics_of_one_class_are_nan(attack: np.ndarray) -> None:
    assert all(np.isnan(v) for v in detection_metrics(np.arange(len(attack), dtype=float), attack).values())
