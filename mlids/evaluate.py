"""Honest figures of a model on rows it has not seen, and the gate that a challenger must pass."""

from __future__ import annotations

from dataclasses import dataclass

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


def figures(scores: np.ndarray, attack: np.ndarray) -> dict[str, float]:
    """Return the figures that one detector is judged by."""
    return {
        "pr_auc": pr_auc(scores, attack),
        "pr_auc_at_1pct": pr_auc(scores, attack, 0.01),
        "recall_at_fpr_1pct": recall_at_fpr(scores, attack, 0.01),
        "recall_at_fpr_0_1pct": recall_at_fpr(scores, attack, 0.001),
    }


@dataclass(frozen=True)
class Gate:
    """The decision on a challenger, with the numbers it rests on."""

    passed: bool
    why: str
    challenger: dict[str, float]
    production: dict[str, float] | None


# A challenger may be this much worse in the noise of one week's held-out rows, no more.
TOLERANCE = 0.01
MINIMUM_PR_AUC = 0.5
# Days with less than this share of the conns that production learned from tell of a sensor that is down.
LEAST_SHARE = 0.1


def gate(challenger: dict[str, float], production: dict[str, float] | None, *, conns_a_day: tuple[float, float] | None = None) -> Gate:
    """Say whether a challenger may replace production; both were judged on the same held-out rows.

    `conns_a_day` are those that the challenger and production learned from.
    """
    name = "pr_auc_at_1pct"
    mine = challenger[name]
    if production is not None and conns_a_day is not None and conns_a_day[0] < LEAST_SHARE * conns_a_day[1]:
        why = f"the challenger learned from {conns_a_day[0]:,.0f} conns a day, production from {conns_a_day[1]:,.0f}: is a sensor down?"
        return Gate(False, why, challenger, production)
    if not np.isfinite(mine):
        return Gate(False, "the challenger could not be judged: the held-out rows lack attacks or benign rows", challenger, production)
    if mine < MINIMUM_PR_AUC:
        return Gate(False, f"PR-AUC at 1 % is {mine:.3f}, below the least that is useful ({MINIMUM_PR_AUC})", challenger, production)
    if production is None:
        return Gate(True, f"no model is in production; PR-AUC at 1 % is {mine:.3f}", challenger, production)
    theirs = production[name]
    if np.isfinite(theirs) and mine < theirs - TOLERANCE:
        return Gate(False, f"PR-AUC at 1 % would fall from {theirs:.3f} to {mine:.3f} on the same held-out rows", challenger, production)
    return Gate(True, f"PR-AUC at 1 % is {mine:.3f}, production has {theirs:.3f} on the same held-out rows", challenger, production)
