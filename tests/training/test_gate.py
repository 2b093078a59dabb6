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


def test_the_first_training_is_compared_with_the_reference_model() -> None:
    good, bad = {"pr_auc_at_1pct": 0.9}, {"pr_auc_at_1pct": 0.8}
    why = "reference-12345678; no model is in production"
    passed = gate(good, bad, reference=why)
    assert passed.passed and f"the reference model ({why}) has 0.800 on the same held-out rows" in passed.why
    refused = gate(bad, good, reference=why)
    assert (
        not refused.passed
        and "would fall from 0.900 to 0.800" in refused.why
        and f"compared with the reference model ({why})" in refused.why
    )
    lost = gate(good, good, rows=(0.5, 0.9), reference=why)
    assert not lost.passed and "the reference model's 90%" in lost.why and "production's" not in lost.why


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
