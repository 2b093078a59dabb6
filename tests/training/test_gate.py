"""The gate: when a challenger replaces the model in production."""

from __future__ import annotations

import pytest

from mlids.training.gate import gate


@pytest.mark.parametrize(
    ("mine", "theirs", "passed"),
    [(0.8, None, True), (0.3, None, False), (0.8, 0.75, True), (0.745, 0.75, True), (0.7, 0.75, False), (float("nan"), 0.7, False)],
)
def test_gate(mine: float, theirs: float | None, passed: bool) -> None:
    decision = gate({"pr_auc_at_1pct": mine}, None if theirs is None else {"pr_auc_at_1pct": theirs})
    assert decision.passed is passed and decision.why


def test_gate_refuses_a_threshold_that_loses_attack_rows() -> None:
    metrics = {"pr_auc_at_1pct": 0.9}
    refused = gate(metrics, metrics, rows=(0.52, 0.75))
    assert not refused.passed and "finds 52% of the held-out attack rows, production's 75%" in refused.why
    assert gate(metrics, metrics, rows=(0.75, 0.84)).passed and gate(metrics, metrics, rows=(0.0, 0.0)).passed


def test_gate_asks_for_a_full_week() -> None:
    metrics = {"pr_auc_at_1pct": 0.9}
    refused = gate(metrics, metrics, conns_a_day=(99.0, 1_000.0))
    assert not refused.passed and "is a sensor down?" in refused.why
    assert gate(metrics, metrics, conns_a_day=(101.0, 1_000.0)).passed
    assert gate(metrics, None, conns_a_day=(1.0, 1_000.0)).passed and gate(metrics, metrics, conns_a_day=(5.0, 0.0)).passed
