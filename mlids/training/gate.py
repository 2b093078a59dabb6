"""The gate: decides whether a challenger replaces the model in production."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Gate:
    """The decision on a challenger, with the metrics it is based on."""

    passed: bool
    why: str
    challenger: dict[str, float]
    production: dict[str, float] | None


# PR-AUC varies by about this much between trainings on one week: a challenger may be worse by this.
TOLERANCE = 0.01
MINIMUM_PR_AUC = 0.5
# A challenger trained on less than this share of production's conns a day is refused: a sensor was probably down.
LEAST_SHARE = 0.1


def gate(challenger: dict[str, float], production: dict[str, float] | None, *, conns_a_day: tuple[float, float] | None = None) -> Gate:
    """Decide whether a challenger replaces production, by metrics of both on the same held-out rows.

    `production` is None without a model to compare with. `conns_a_day`: what challenger and production were trained on.
    """
    name = "pr_auc_at_1pct"
    mine = challenger[name]
    if production is not None and conns_a_day is not None and conns_a_day[0] < LEAST_SHARE * conns_a_day[1]:
        why = f"the challenger was trained on {conns_a_day[0]:,.0f} conns a day, production on {conns_a_day[1]:,.0f}: is a sensor down?"
        return Gate(False, why, challenger, production)
    if not np.isfinite(mine):
        return Gate(
            False, "the challenger could not be judged: the held-out rows have no attacks or no benign rows", challenger, production
        )
    if mine < MINIMUM_PR_AUC:
        return Gate(False, f"PR-AUC at 1 % is {mine:.3f}, below the minimum of {MINIMUM_PR_AUC}", challenger, production)
    if production is None:
        return Gate(True, f"no model is in production; PR-AUC at 1 % is {mine:.3f}", challenger, production)
    theirs = production[name]
    if np.isfinite(theirs) and mine < theirs - TOLERANCE:
        return Gate(False, f"PR-AUC at 1 % would fall from {theirs:.3f} to {mine:.3f} on the same held-out rows", challenger, production)
    return Gate(True, f"PR-AUC at 1 % is {mine:.3f}, production has {theirs:.3f} on the same held-out rows", challenger, production)
