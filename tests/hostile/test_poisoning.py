"""Training weeks that an attacker has shaped, through real training and the real gate: what is refused, and what harm the rest does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

import pytest

from mlids import pipeline
from mlids.detectors.bundle import Bundle
from mlids.training.held_out import judge_rows
from tests.hostile.conftest import Field
from tests.hostile.poison import POISONS, Poison, attacks_that_alert, befriending, drifting, ingest

FIRST = date(2026, 11, 11)  # a week after the days that production learned from


@dataclass(frozen=True)
class Week:
    """What became of a week: whether the gate promoted its model, why, and what that model does on the untouched rows of before."""

    promoted: bool
    why: str
    model: Bundle
    found: int
    recall: float

    def __str__(self) -> str:
        did = "promoted" if self.promoted else f"refused: {self.why.split(':')[0]}"
        return f"{did} (threshold {self.model.spec.threshold:.0f}, finds {self.recall:.0%} of untouched attack rows)"


def train_on(field: Field, poison: Poison, number: int = 0) -> Week:
    """Ingest two poisoned days, train on them and ask the gate, as the weekly DAG does."""
    days = [FIRST + timedelta(days=7 * number + n) for n in range(2)]
    ingest(field.home / "logs", days, poison)
    snapshot = pipeline.snapshot(days[0].isoformat(), (days[-1] + timedelta(days=1)).isoformat())["id"]
    version = pipeline.train(snapshot)["version"]
    decision = pipeline.evaluate_and_promote(version, snapshot)
    model = field.registry.load(version)
    untouched = judge_rows(model, field.frozen)
    found, recall = untouched.attacks_found(model.spec), untouched.attack_rows_found(model.spec)
    return Week(decision["promoted"], decision["why"], model, len(found), recall)


# What the gate must refuse and why. Others may pass or, as honest weeks of so small a site do now and then, fall below the
# tolerance; what is promoted does no harm either way.
MUST_REFUSE = {
    "20 minutes a day": "is a sensor down",
    "half days": "is a sensor down",
    "noisy inside": "held-out attacks that production's threshold finds",
    "quiet attacks all day": "held-out attacks that production's threshold finds",
    "the same, labelled benign": "below the minimum",
}


def hold(field: Field, name: str, week: Week) -> None:
    """Assert that a poisoned week is refused for its reason, or that the promoted model finds the untouched attacks as before."""
    before = field.registry.load("1")
    if name in MUST_REFUSE:
        assert not week.promoted and MUST_REFUSE[name] in week.why, (name, week.why)
    if week.promoted:
        untouched = judge_rows(before, field.frozen)
        assert week.found >= len(untouched.attacks_found(before.spec)) - 1, (name, week.found)
        assert week.recall >= untouched.attack_rows_found(before.spec) - 0.15, (name, week.recall)


HELD = "a promoted model finds the attacks of an untouched week as before (rules `MLIDS_GATE_…`)"


@pytest.mark.slow
@pytest.mark.attack(row=19, attack="a poisoned training week", held=HELD)
def test_week_of_twenty_minutes_a_day_is_refused(field: Field, happened: Callable[[str], None]) -> None:
    week = train_on(field, POISONS["20 minutes a day"])
    hold(field, "20 minutes a day", week)
    happened(f"20 minutes a day: {week}")


@pytest.mark.long
@pytest.mark.attack(row=19, attack="a poisoned training week", held=HELD)
@pytest.mark.parametrize("name", POISONS)
def test_poisoned_week(field: Field, name: str, happened: Callable[[str], None]) -> None:
    week = train_on(field, POISONS[name])
    hold(field, name, week)
    happened(f"{name}: {week}")


@pytest.mark.long
@pytest.mark.attack(
    row=19,
    attack="weeks that drift slowly",
    held="bounded: each week is compared with the best of the three versions before production as well (`MLIDS_GATE_LEAST_ROWS_PERCENT`)",
)
def test_slow_drift(field: Field, happened: Callable[[str], None]) -> None:
    """One quiet attack of each kind a day in the first week, one more each week: what the gate lets pass, and what is left after it."""
    weeks = [train_on(field, drifting(n), n) for n in range(1, 7)]
    first, last = field.registry.load("1"), field.registry.load("production")
    before, after = judge_rows(first, field.frozen), judge_rows(last, field.frozen)
    left = after.attack_rows_found(last.spec)
    assert left >= 0.5 and len(after.attacks_found(last.spec)) >= 7, (left, [str(w) for w in weeks])
    happened(
        f"{sum(w.promoted for w in weeks)} of 6 weeks promoted; untouched attack rows found: "
        f"{before.attack_rows_found(first.spec):.0%} before, {left:.0%} after"
    )


@pytest.mark.long
@pytest.mark.attack(
    row=19,
    attack="an attacker who behaves for a month, then attacks",
    held="behaviours do not depend on training; contacts that are usual weaken the anomaly only",
)
def test_attacker_who_behaves_for_a_month(field: Field, happened: Callable[[str], None]) -> None:
    names = ["exfiltration", "beacon", "horizontal_scan", "brute_force"]
    before = attacks_that_alert(field.registry.load("production"), FIRST, names)
    weeks = [train_on(field, befriending, n) for n in range(4)]
    trained = weeks[-1].model  # also when the gate refused it: the month is in it
    after = attacks_that_alert(trained, FIRST + timedelta(days=35), names)
    assert set(after) >= set(before) - {"exfiltration", "beacon"}, (before, after)
    happened(
        f"{sum(w.promoted for w in weeks)} of 4 weeks promoted; of his {len(names)} attacks {len(before)} alert without the month, {len(after)} after it ({', '.join(after)})"
    )
