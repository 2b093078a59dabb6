"""The gate: whether a challenger may replace the model in production."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
