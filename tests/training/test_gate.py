"""The gate: when a challenger replaces the model in production, and every rule that can refuse it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from mlids.settings.gate import GateRules
from mlids.training.gate import Measured, gate
from mlids.training.gate_inputs import CaptureResult, Cost, JudgedConns, Shadow, Week

GOOD = {"pr_auc_at_1pct": 0.9}
USUAL = Week(1_000.0, 1_000.0, "the 4 weeks before it", (), 0.01, 0.01, 0.002, 0.001)


@pytest.mark.parametrize(
    ("mine", "theirs", "passed"),
    [(0.8, None, True), (0.3, None, False), (0.8, 0.75, True), (0.745, 0.75, True), (0.7, 0.75, False), (float("nan"), 0.7, False)],
)
def test_gate(mine: float, theirs: float | None, passed: bool) -> None:
    decision = gate({"pr_auc_at_1pct": mine}, None if theirs is None else {"pr_auc_at_1pct": theirs})
    assert decision.passed is passed and decision.why
    assert [c.held for c in decision.checks if c.rule == "PR-AUC"] == [passed]


def test_the_first_training_is_compared_with_the_reference_model() -> None:
    good, bad = GOOD, {"pr_auc_at_1pct": 0.8}
    why = "reference-12345678; no model is in production"
    passed = gate(good, bad, reference=why)
    assert passed.passed and f"the reference model ({why}) has 0.800 on the same held-out rows" in passed.why
    refused = gate(bad, good, reference=why)
    assert (
        not refused.passed
        and "would fall from 0.900 to 0.800" in refused.why
        and f"compared with the reference model ({why})" in refused.why
    )
    lost = gate(good, good, Measured(rows=(0.5, 0.9)), reference=why)
    assert not lost.passed and "the reference model's 90%" in lost.why and "production's" not in lost.why


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "attacks lost": ({"found": (frozenset("ab"), frozenset("abcd"))}, "loses 2 of 4 held-out attacks that production's threshold finds: c, d"),
    "rows lost": ({"rows": (0.52, 0.75)}, "finds 52% of the held-out attack rows, production's 75%"),
    "a slow drift": ({"rows": (0.7, 0.75), "earlier": {"3": 0.95, "4": 0.8}}, "version 3, in production before, 95%"),
    "a verdict lost": (
        {"judged": JudgedConns(100, 95, frozenset({"beacon at hq"}))},
        "of 100 conns of alerts marked true that production finds, it finds 95, and none of beacon at hq",
    ),
    "conns of verdicts lost": ({"judged": JudgedConns(100, 89, frozenset())}, "it finds 89"),
    "half a week": ({"week": replace(USUAL, conns_a_day=500.0)}, "500 conns a day, the 4 weeks before it on 1,000: is a sensor down?"),
    "a flooded week": ({"week": replace(USUAL, conns_a_day=5_000.0)}, "is it flooded?"),
    "a sensor down": ({"week": replace(USUAL, missing_sensors=("dmz",))}, "no conns of dmz, which the week before had"),
    "labels": ({"week": replace(USUAL, attack_share=0.6)}, "labels call 60.0% of its own rows attacks, 1.0% the week before"),
    "swapped labels": ({"week": replace(USUAL, benign_alerts=0.15)}, "production alerts on 15.0% of the rows that it calls benign, 0.1%"),
    "noise": (
        {"shadow": Shadow(9_000, {str(n): "" for n in range(70)}, {str(n): "" for n in range(60, 80)})},
        "on the latest 9,000 conns it gives 70 alerts, production 20; 60 only it, 10 only production",
    ),
    "slow": ({"cost": Cost((40.0, 10.0), (1e6, 1e6))}, "a row takes 40.0 µs, production's 10.0"),
    "large": ({"cost": Cost((10.0, 10.0), (4e6, 1e6))}, "it has 4.0 MB, production's 1.0"),
    "captures": (
        {"captures": (CaptureResult("a", (0.9, 0.9), (0.0, 0.0)), CaptureResult("b", (0.5, 0.8), (0.01, 0.0)))},
        "on 2 labelled captures its threshold finds 0.70 of the attack rows as a mean, production's 0.85 (largest loss on b: 0.80 to 0.50)",
    ),
    "alerts on captures": ({"captures": (CaptureResult("quiet", (math.nan, math.nan), (0.08, 0.01)),)}, "benign rows with an alert 0.080, 0.010"),
}  # fmt: skip
HELD: dict[str, dict[str, Any]] = {
    "one attack": {"found": (frozenset("abc"), frozenset("abcd"))},
    "rows": {"rows": (0.75, 0.84)},
    "no rows": {"rows": (0.0, 0.0)},
    "earlier versions": {"rows": (0.8, 0.8), "earlier": {"3": 0.85}},
    "verdicts": {"judged": JudgedConns(100, 91, frozenset())},
    "no conn with a verdict that production finds": {"judged": JudgedConns(0, 0, frozenset())},
    "a quiet week": {"week": replace(USUAL, conns_a_day=610.0)},
    "no week before": {"week": Week(5.0, None, "production", (), 0.0, None, None, None)},
    "a site with many labelled attacks": {"week": replace(USUAL, attack_share=0.6, attack_share_before=0.5)},
    "a site where production is noisy": {"week": replace(USUAL, benign_alerts=0.05, benign_alerts_before=0.04)},
    "alerts within the budget": {"shadow": Shadow(9_000, {str(n): "" for n in range(20)}, {"1": ""})},
    "cost": {"cost": Cost((25.0, 10.0), (2e6, 1e6))},
    "captures": {"captures": (CaptureResult("a", (0.88, 0.9), (0.0, 0.0)),)},
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_challenger_is_refused_with_its_numbers(name: str) -> None:
    measured, why = REFUSED[name]
    decision = gate(GOOD, GOOD, Measured(**measured), budget_per_day=20.0)
    assert not decision.passed and why in decision.why, decision.why
    assert [c.text for c in decision.checks if not c.held] == [decision.why], "nothing else is a reason"


@pytest.mark.parametrize("name", HELD)
def test_what_is_within_the_rules_passes(name: str) -> None:
    decision = gate(GOOD, GOOD, Measured(**HELD[name]), budget_per_day=20.0)
    assert decision.passed, decision.why


def test_all_reasons_are_given_and_rules_are_settings() -> None:
    week = replace(USUAL, conns_a_day=500.0, missing_sensors=("dmz",))
    both = gate(GOOD, {"pr_auc_at_1pct": 0.95}, Measured(week=week))
    assert len([c for c in both.checks if not c.held]) == 3 and both.why.count("; ") == 2
    rules = GateRules(gate_tolerance=0.1, gate_least_conns_percent=40.0, gate_every_sensor=False)
    assert gate(GOOD, {"pr_auc_at_1pct": 0.95}, Measured(week=week), rules=rules).passed
