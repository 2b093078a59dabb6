"""Metrics of a model on rows it was not trained on."""

from __future__ import annotations

import numpy as np

from mlids.detectors.forest import BENIGN

# Each voice alone, everything that needs no labels (IsolationForest and behaviours), and all combined.
VOICES = ("forest", "isolation", "behaviours")
# `day` is the hybrid with the day's view of each service, as a day is scored at once; live scoring ranks as `hybrid`.
DETECTORS = (*VOICES, "unsupervised", "hybrid", "day")


def pr_auc(scores: np.ndarray, attack: np.ndarray, prevalence: float | None = None) -> float:
    """Return the average precision of ranking by `scores`, 0 to 1; nan with one class only, or a score that is no number.

    With `prevalence` benign rows are weighted so that this share of all weight is attacks: precision depends on the mix
    of rows, and a test set has another mix than a network.
    """
    n_attack, n_benign = int(attack.sum()), int((~attack).sum())
    if not n_attack or not n_benign or not np.isfinite(scores).all():
        return float("nan")
    from sklearn.metrics import average_precision_score

    benign_weight = 1.0 if prevalence is None else n_attack * (1 - prevalence) / prevalence / n_benign
    return float(average_precision_score(attack, scores, sample_weight=np.where(attack, 1.0, benign_weight)))


def recall_at_fpr(scores: np.ndarray, attack: np.ndarray, fpr: float) -> float:
    """Return the share of attacks with a higher score than all but the share `fpr` of benign rows; nan with one class only."""
    if not attack.any() or attack.all():
        return float("nan")
    threshold = np.quantile(scores[~attack], 1.0 - fpr, method="higher")
    return float((scores[attack] > threshold).mean())


def score_below(benign: np.ndarray, rows: int) -> float:
    """Return the score that `rows` benign scores exceed, or fewer where some are equal; −∞ when there are not more than these."""
    return float(np.sort(benign)[::-1][rows]) if rows < len(benign) else -np.inf


def metrics_at_threshold(alert: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Return `fpr_at_threshold`, `recall_at_threshold` and `recall/CLASS` of rows that alert; nan where there is no such row."""
    attack = label != BENIGN
    classes = sorted({str(c) for c in label[attack]})
    return {
        "fpr_at_threshold": float(alert[~attack].mean()) if (~attack).any() else float("nan"),
        "recall_at_threshold": float(alert[attack].mean()) if attack.any() else float("nan"),
    } | {f"recall/{name}": float(alert[label == name].mean()) for name in classes}


def detection_metrics(scores: np.ndarray, attack: np.ndarray) -> dict[str, float]:
    """Return the metrics of one detector: PR-AUC at the rows' mix and at 1 % attacks, recall at 1 % and 0.1 % false positives."""
    return {
        "pr_auc": pr_auc(scores, attack),
        "pr_auc_at_1pct": pr_auc(scores, attack, 0.01),
        "recall_at_fpr_1pct": recall_at_fpr(scores, attack, 0.01),
        "recall_at_fpr_0_1pct": recall_at_fpr(scores, attack, 0.001),
    }
