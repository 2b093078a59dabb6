"""The gate: decides whether a challenger replaces the model in production."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mlids.settings.gate import GateRules
from mlids.training.gate_inputs import CaptureResult, Cost, JudgedConns, Shadow, Week

METRIC = "pr_auc_at_1pct"
_RULES = GateRules()


@dataclass(frozen=True)
class Check:
    """One rule of the gate on a challenger: whether it holds, and with which numbers."""

    rule: str
    held: bool
    text: str


@dataclass(frozen=True)
class Gate:
    """The decision on a challenger, with the metrics it is based on and every rule that was checked."""

    passed: bool
    why: str
    challenger: dict[str, float]
    production: dict[str, float] | None
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True)
class Measured:
    """What is known of a challenger and its opponent beside their PR-AUC; None or empty where it could not be measured.

    Pairs are (challenger, opponent). `found` are the held-out attacks that each finds at its threshold, `rows` the share of their
    rows. `earlier` is that share for versions that were in production before, by version.
    """

    found: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())
    rows: tuple[float, float] = (1.0, 1.0)
    earlier: Mapping[str, float] = field(default_factory=dict)
    judged: JudgedConns | None = None
    week: Week | None = None
    shadow: Shadow | None = None
    cost: Cost | None = None
    captures: tuple[CaptureResult, ...] = ()


def refusal(challenger: dict[str, float], why: str) -> Gate:
    """Return the decision for a challenger that cannot be compared with production."""
    return Gate(False, why, challenger, None)


def gate(
    challenger: dict[str, float], production: dict[str, float] | None, measured: Measured = Measured(), *,
    rules: GateRules = _RULES, reference: str = "", budget_per_day: float = 0.0,
) -> Gate:  # fmt: skip
    """Decide whether a challenger replaces production, by metrics of both on the same held-out rows and by `measured`.

    `production` is None when the challenger is in production itself: then only its own PR-AUC is checked. `reference`, when not empty:
    `production` are the metrics of the reference model, and this says which one it is and why it is compared with. Every rule is
    checked, so that the reasons of a refusal are complete.
    """
    mine = challenger[METRIC]
    checks = [_least(mine, rules)]
    if production is not None:
        compared = _worse(mine, production[METRIC], rules)
        # A challenger without usable scores is refused for that alone.
        checks = [checks[0] if not checks[0].held else compared]
        checks += [c for c in (
            _attacks(*measured.found, rules), _rows(*measured.rows, rules), _earlier(measured.rows[0], measured.earlier, rules),
            _judged(measured.judged, rules), *_week(measured.week, rules), _shadow(measured.shadow, rules, budget_per_day),
            _cost(measured.cost, rules), _captures(measured.captures, rules),
        ) if c is not None]  # fmt: skip
    why = "; ".join(c.text for c in checks if not c.held)
    if why and reference:
        why = f"{why.replace('production', 'the reference model')}; compared with the reference model ({reference})"
    if not why:
        why = _passed(mine, production, reference)
    return Gate(all(c.held for c in checks), why, challenger, production, tuple(checks))


def _passed(mine: float, production: dict[str, float] | None, reference: str) -> str:
    if production is None:
        return f"PR-AUC at 1 % is {mine:.3f}; it is in production already"
    other = f"the reference model ({reference})" if reference else "production"
    return f"PR-AUC at 1 % is {mine:.3f}; {other} has {production[METRIC]:.3f} on the same held-out rows"


def _least(mine: float, rules: GateRules) -> Check:
    name = "PR-AUC"
    if not np.isfinite(mine):
        why = "the challenger could not be judged: the held-out rows have no attacks or no benign rows, or its scores are no numbers"
        return Check(name, False, why)
    if mine < rules.gate_least_pr_auc:
        return Check(name, False, f"PR-AUC at 1 % is {mine:.3f}, below the minimum of {rules.gate_least_pr_auc:g}")
    return Check(name, True, f"PR-AUC at 1 % is {mine:.3f}")


def _worse(mine: float, theirs: float, rules: GateRules) -> Check:
    name = "PR-AUC"
    if not np.isfinite(theirs):  # the challenger could be judged on these rows, so the fault is production's
        return Check(
            name, False, "production gives no usable scores on the held-out rows: it is damaged; repair it, or promote with --force"
        )
    if mine < theirs - rules.gate_tolerance:
        return Check(name, False, f"PR-AUC at 1 % would fall from {theirs:.3f} to {mine:.3f} on the same held-out rows")
    return Check(name, True, f"PR-AUC at 1 % is {mine:.3f}, production's {theirs:.3f}, on the same held-out rows")


def _attacks(mine: frozenset[str], theirs: frozenset[str], rules: GateRules) -> Check:
    lost = sorted(theirs - mine)
    held = len(lost) <= max(1.0, rules.gate_lost_attacks_percent / 100.0 * len(theirs))
    named = f": {', '.join(lost[:5])}" if lost else ""
    return Check(
        "held-out attacks",
        held,
        f"its threshold loses {len(lost)} of {len(theirs)} held-out attacks that production's threshold finds{named}",
    )


def _rows(mine: float, theirs: float, rules: GateRules) -> Check:
    held = mine >= rules.gate_least_rows_percent / 100.0 * theirs
    return Check("held-out attack rows", held, f"its threshold finds {mine:.0%} of the held-out attack rows, production's {theirs:.0%}")


def _earlier(mine: float, earlier: Mapping[str, float], rules: GateRules) -> Check | None:
    """Return the comparison with the best of the versions before production: many small losses, each within the rules, are one loss."""
    if not earlier:
        return None
    version, best = max(earlier.items(), key=lambda item: item[1])
    held = mine >= rules.gate_least_rows_percent / 100.0 * best
    return Check(
        "earlier versions", held, f"it finds {mine:.0%} of the held-out attack rows, version {version}, in production before, {best:.0%}"
    )


def _judged(judged: JudgedConns | None, rules: GateRules) -> Check | None:
    if judged is None or not judged.theirs:
        return None
    lost = sorted(judged.lost)
    share = judged.both / judged.theirs
    text = f"of {judged.theirs:,} conns of alerts marked true that production finds, it finds {judged.both:,}"
    if lost:
        text += f", and none of {', '.join(lost[:5])}"
    return Check("verdicts", not lost and share >= rules.gate_least_verdicts_percent / 100.0, text)


def _week(week: Week | None, rules: GateRules) -> list[Check]:
    """Return whether the week itself is like the weeks before: half of it missing, labels swapped, or flooded."""
    if week is None:
        return []
    checks = [_conns_a_day(week, rules)]
    if rules.gate_every_sensor:
        text = (
            f"no conns of {', '.join(week.missing_sensors)}, which the week before had" if week.missing_sensors else "no sensor is missing"
        )
        checks.append(Check("sensors", not week.missing_sensors, text))
    for rule, share, before, most, text in (
        ("labels", week.attack_share, week.attack_share_before, rules.gate_most_attack_percent, "labels call {} of its own rows attacks"),
        (
            "benign rows", week.benign_alerts, week.benign_alerts_before, rules.gate_most_benign_alerts_percent,
            "production alerts on {} of the rows that it calls benign",
        ),
    ):  # fmt: skip
        if share is not None:
            limit = max(most / 100.0, 3.0 * (before or 0.0))
            said = "" if before is None else f", {before:.1%} the week before"
            hint = "" if share <= limit else ": are labels wrong, or is an attack under way?"
            checks.append(Check(rule, share <= limit, text.format(f"{share:.1%}") + said + hint))
    return [c for c in checks if c is not None]


def _conns_a_day(week: Week, rules: GateRules) -> Check | None:
    if not week.usual_conns_a_day:
        return None
    share = 100.0 * week.conns_a_day / week.usual_conns_a_day
    text = f"the challenger was trained on {week.conns_a_day:,.0f} conns a day, {week.usual_of} on {week.usual_conns_a_day:,.0f}"
    if share < rules.gate_least_conns_percent:
        return Check("conns a day", False, f"{text}: is a sensor down?")
    if share > rules.gate_most_conns_percent:
        return Check("conns a day", False, f"{text}: is it flooded?")
    return Check("conns a day", True, text)


def _shadow(shadow: Shadow | None, rules: GateRules, budget_per_day: float) -> Check | None:
    if shadow is None:
        return None
    mine, theirs = len(shadow.mine), len(shadow.theirs)
    held = mine <= max(rules.gate_most_alerts_factor * theirs, budget_per_day)
    only = sorted(shadow.mine[i] for i in shadow.mine.keys() - shadow.theirs.keys())
    lost = sorted(shadow.theirs[i] for i in shadow.theirs.keys() - shadow.mine.keys())
    text = (
        f"on the latest {shadow.conns:,} conns it gives {mine} alerts, production {theirs}; "
        f"{len(only)} only it{_some(only)}, {len(lost)} only production{_some(lost)}"
    )
    return Check("latest day", held, text)


def _cost(cost: Cost | None, rules: GateRules) -> Check | None:
    if cost is None:
        return None
    held = all(mine <= rules.gate_most_cost_factor * theirs for mine, theirs in (cost.row_us, cost.size_bytes))
    return Check(
        "cost", held,
        f"a row takes {cost.row_us[0]:.1f} µs, production's {cost.row_us[1]:.1f}; it has {cost.size_bytes[0] / 1e6:.1f} MB, production's {cost.size_bytes[1] / 1e6:.1f}",
    )  # fmt: skip


def _captures(captures: tuple[CaptureResult, ...], rules: GateRules) -> Check | None:
    if not captures:
        return None
    recall, recall_before = _means([c.recall for c in captures])
    alerts, alerts_before = _means([c.benign_alerts for c in captures])
    # What no capture has is not worse.
    held = not recall < recall_before - rules.gate_capture_loss and not alerts > alerts_before + rules.gate_capture_loss
    worst = min(captures, key=lambda c: np.nan_to_num(c.recall[0] - c.recall[1], nan=0.0))
    return Check(
        "captures", held,
        f"on {len(captures)} labelled captures its threshold finds {recall:.2f} of the attack rows as a mean, production's {recall_before:.2f} "
        f"(largest loss on {worst.name}: {worst.recall[1]:.2f} to {worst.recall[0]:.2f}); benign rows with an alert {alerts:.3f}, {alerts_before:.3f}",
    )  # fmt: skip


def _means(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the means over captures that have a value; nan without one."""
    known = [p for p in pairs if np.isfinite(p).all()]
    return (float(np.mean([p[0] for p in known])), float(np.mean([p[1] for p in known]))) if known else (np.nan, np.nan)


def _some(names: Sequence[str], most: int = 3) -> str:
    return f" ({', '.join(names[:most])}{', …' if len(names) > most else ''})" if any(names) else ""
