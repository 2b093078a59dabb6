"""Metrics of a model on rows it was not trained on."""

from __future__ import annotations

import numpy as np

# The RandomForest and the IsolationForest alone, all that needs no label, and everything together.
DETECTORS = ("forest", "isolation", "unsupervised", "hybrid")


def pr_auc(scores: np.ndarray, attack: np.ndarray, prevalence: float | None = None) -> float:
    """Return the area under precision and recall (average precision), nan with one class only.

    With `prevalence` the benign rows are weighted so that attacks are that share: precision of a set with
    another mix of rows says nothing about a network.
    """
    n_attack, n_benign = int(attack.sum()), int((~attack).sum())
    if not n_attack or not n_benign:
        return float("nan")
    weight = 1.0 if prevalence is None else n_attack * (1 - prevalence) / prevalence / n_benign
    order = np.argsort(-scores, kind="stable")
    hit = attack[order]
    found = np.cumsum(hit)
    false = np.cumsum(~hit) * weight
    # Rows with equal scores come together: only the last of each run is a point of the curve.
    last = np.append(np.diff(scores[order]) != 0, True)
    precision = found[last] / np.maximum(found[last] + false[last], 1e-12)
    recall = found[last] / n_attack
    return float(np.sum(np.diff(np.concatenate([[0.0], recall])) * precision))


def recall_at_fpr(scores: np.ndarray, attack: np.ndarray, fpr: float) -> float:
    """Return the share of attacks above that quantile of the benign rows; nan without both."""
    if not attack.any() or attack.all():
        return float("nan")
    cut = np.quantile(scores[~attack], 1.0 - fpr, method="higher")
    return float((scores[attack] > cut).mean())


def detection_metrics(scores: np.ndarray, attack: np.ndarray) -> dict[str, float]:
    """Return the metrics that one detector is judged by."""
    return {
        "pr_auc": pr_auc(scores, attack),
        "pr_auc_at_1pct": pr_auc(scores, attack, 0.01),
        "recall_at_fpr_1pct": recall_at_fpr(scores, attack, 0.01),
        "recall_at_fpr_0_1pct": recall_at_fpr(scores, attack, 0.001),
    }
