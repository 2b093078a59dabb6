"""Metrics on held-out rows at a threshold, counted by hand."""

from __future__ import annotations

import pytest

from tests.support.judged import SPEC, held_out


def test_metrics_at_the_threshold_by_class_and_detector() -> None:
    found = held_out().metrics_at(SPEC)
    assert found["hybrid"] == {
        "fpr_at_threshold": 0.25,
        "recall_at_threshold": pytest.approx(2 / 3),
        "recall/beacon": 1.0,
        "recall/scan": 0.5,
    }
    assert found["forest"] == {"fpr_at_threshold": 0.25, "recall_at_threshold": 1.0, "recall/beacon": 1.0, "recall/scan": 1.0}
    assert found["isolation"] == {
        "fpr_at_threshold": 0.25,
        "recall_at_threshold": pytest.approx(2 / 3),
        "recall/beacon": 1.0,
        "recall/scan": 0.5,
    }
    assert held_out().metrics_at(SPEC, 95.0)["forest"]["fpr_at_threshold"] == 0.0, "no benign row, as the hybrid"


def test_attacks_and_rows_found() -> None:
    rows = held_out()
    assert rows.attacks_found(SPEC) == {"scan at hq", "beacon at hq"} and rows.attacks_found(SPEC, 80.0) == {"scan at hq"}
    assert rows.attack_rows_found(SPEC) == pytest.approx(2 / 3)


def test_rows_of_one_kind_and_none() -> None:
    benign = held_out(4).metrics_at(SPEC)["hybrid"]
    assert benign["fpr_at_threshold"] == 0.25 and benign["recall_at_threshold"] != benign["recall_at_threshold"]
    none = held_out(0)
    assert none.metrics_at(SPEC) == {} and none.attacks_found(SPEC) == frozenset() and none.attack_rows_found(SPEC) == 0.0
    assert all(v != v for metrics in none.metrics().values() for v in metrics.values())
