"""Metrics merged over trainings."""

from __future__ import annotations

from mlids.training.cross_capture.merging import merge_runs


def test_numbers_are_means_and_detectors_get_their_spread() -> None:
    runs = [
        {"pooled": {"n": 3, "hybrid": {"recall_at_fpr_1pct": r, "pr_auc": float("nan")}}, "random_split": {"flattering": True}}
        for r in (0.5, 0.7)
    ]
    merged = merge_runs(runs)
    assert merged["pooled"]["n"] == 3 and merged["random_split"] == {"flattering": True}
    hybrid = merged["pooled"]["hybrid"]
    assert (
        hybrid["recall_at_fpr_1pct"] == 0.6 and hybrid["pr_auc"] is None and hybrid["spread"] == {"recall_at_fpr_1pct": 0.2, "pr_auc": None}
    )
