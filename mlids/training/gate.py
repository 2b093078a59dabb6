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


_METRIC = "pr_auc_at_1pct"
# PR-AUC varies by about this much between trainings on one week: a challenger may be worse by this.
TOLERANCE = 0.01
# Implanted profiles resemble ordinary clients: honest weeks of synthetic sites have 0.55 and more.
MINIMUM_PR_AUC = 0.4
# A challenger trained on less than this share of production's conns a day is refused: a sensor was probably down.
LEAST_SHARE = 0.1
# Of the held-out attacks that production's threshold finds, a challenger's may lose this share, or one: trainings on one
# week differ by one attack, and a threshold raised by a noisy week (82 to 97) lost 3 of 17.
LOST_SHARE = 0.1
# Of the held-out attack rows that production's threshold finds, a challenger's must find this share. Honest weeks stay above 0.89;
# weeks into which an attacker mixes more and more quiet attacks kept 0.69, and lost one attack a week.
LEAST_ROWS = 0.75


def refusal(challenger: dict[str, float], why: str) -> Gate:
    """Return the decision for a challenger that cannot be compared with production."""
    return Gate(False, why, challenger, None)


def gate(
    challenger: dict[str, float], production: dict[str, float] | None, *, conns_a_day: tuple[float, float] | None = None,
    found: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset()), rows: tuple[float, float] = (1.0, 1.0), reference: str = "",
) -> Gate:  # fmt: skip
    """Decide whether a challenger replaces production, by metrics of both on the same held-out rows.

    `production` is None when the challenger is in production itself. `reference`, when not empty: `production` are the metrics of the reference model, and this
    says which one it is and why it is compared with. `conns_a_day`: what challenger and production were trained on. `found`: the held-out
    attacks that each finds at its threshold; `rows`: the share of their rows.
    """
    mine = challenger[_METRIC]
    why = _too_bad(mine)
    if production is not None:
        why = _few_conns(conns_a_day) or why or _worse(mine, production[_METRIC]) or _loses(*found) or _loses_rows(*rows)
    if why and reference:
        why = f"{why.replace('production', 'the reference model')}; compared with the reference model ({reference})"
    if why:
        return Gate(False, why, challenger, production)
    if production is None:
        return Gate(True, f"PR-AUC at 1 % is {mine:.3f}; it is in production already", challenger, production)
    other = f"the reference model ({reference})" if reference else "production"
    beside = f"{other} has {production[_METRIC]:.3f} on the same held-out rows"
    return Gate(True, f"PR-AUC at 1 % is {mine:.3f}; {beside}", challenger, production)


def _few_conns(conns_a_day: tuple[float, float] | None) -> str:
    if conns_a_day is None or conns_a_day[0] >= LEAST_SHARE * conns_a_day[1]:
        return ""
    return f"the challenger was trained on {conns_a_day[0]:,.0f} conns a day, production on {conns_a_day[1]:,.0f}: is a sensor down?"


def _too_bad(mine: float) -> str:
    if not np.isfinite(mine):
        return "the challenger could not be judged: the held-out rows have no attacks or no benign rows, or its scores are no numbers"
    return f"PR-AUC at 1 % is {mine:.3f}, below the minimum of {MINIMUM_PR_AUC}" if mine < MINIMUM_PR_AUC else ""


def _worse(mine: float, theirs: float) -> str:
    if not np.isfinite(theirs):  # the challenger could be judged on these rows, so the fault is production's
        return "production gives no usable scores on the held-out rows: it is damaged; repair it, or use --force"
    return f"PR-AUC at 1 % would fall from {theirs:.3f} to {mine:.3f} on the same held-out rows" if mine < theirs - TOLERANCE else ""


def _loses(mine: frozenset[str], theirs: frozenset[str]) -> str:
    lost = sorted(theirs - mine)
    if len(lost) <= max(1.0, LOST_SHARE * len(theirs)):
        return ""
    return f"its threshold loses {len(lost)} of {len(theirs)} held-out attacks that production's threshold finds: {', '.join(lost[:5])}"


def _loses_rows(mine: float, theirs: float) -> str:
    if mine >= LEAST_ROWS * theirs:
        return ""
    return f"its threshold finds {mine:.0%} of the held-out attack rows, production's {theirs:.0%}"
