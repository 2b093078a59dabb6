"""Sentences of the weekly report: the model, the gate and its reasons in words, what changed, what was not seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mlids.alerts.stores.alerts import Summary
from mlids.alerts.stores.weeks import Judged
from mlids.evidence.attack import TECHNIQUES
from mlids.reporting import model_words, page_one, sections
from mlids.reporting.facts import ModelFacts, listed
from mlids.reporting.week import CaseWeek, WeekCounts
from mlids.training.gate import Measured, gate, refusal
from mlids.training.gate_inputs import CaptureResult, Cost, JudgedConns, Shadow, Week
from tests.support.reports import case, ledger, week

GOOD = {"pr_auc": 0.99, "pr_auc_at_1pct": 0.871, "recall_at_fpr_1pct": 0.94, "recall_at_fpr_0_1pct": 0.706}
WEEK = Week(30_000.0, 30_000.0, "the 4 weeks before it", (), 0.01, 0.01, 0.002, 0.001)
POOR = GOOD | {"pr_auc_at_1pct": 0.3}


def decision(found: Any, **changes: Any) -> dict[str, Any]:
    return {
        "action": "promote" if found.passed else "refuse", "from_version": "4", "to_version": "5", "at": "2026-11-09T03:00:00+00:00", "who": "airflow", "why": found.why,
        "gate": {"passed": found.passed, "why": found.why, "challenger": found.challenger, "production": found.production},
    } | changes  # fmt: skip


@pytest.mark.parametrize(
    ("share", "words"),
    [(0.94, "94 of 100"), (1.0, "100 of 100"), (0.999, "more than 99 of 100"), (0.0, "0 of 100"), (0.001, "fewer than 1 of 100"), (float("nan"), "not known"), (None, "not known")],
)  # fmt: skip
def test_shares_are_said_of_a_hundred(share: float | None, words: str) -> None:
    assert model_words.of_hundred(share) == words


def test_the_gate_is_told_without_metrics() -> None:
    text = model_words.decided(decision(gate(GOOD, GOOD | {"recall_at_fpr_1pct": 0.91})))
    assert (
        "version 5 was trained as the challenger: it finds 94 of 100 connections of implanted attacks at 1 false alarm in 100 ordinary connections"
        in text
    )
    assert (
        "version 4 finds 91 of 100" in text and "The gate let it into service in place of version 4." in text and "auc" not in text.lower()
    )


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (gate(POOR, GOOD), "it tells attacks from ordinary connections too poorly"),
        (gate(GOOD | {"pr_auc_at_1pct": 0.6}, GOOD), "it would tell attacks from ordinary connections worse than version 4 does"),
        (gate(GOOD, GOOD, Measured(found=(frozenset("a"), frozenset("abcdefgh")))), "it would miss 7 of the 8 implanted attacks that version 4 finds"),
        (gate(GOOD, GOOD, Measured(rows=(0.3, 0.9))), "it finds 30 of 100 connections of implanted attacks, version 4 90"),
        (gate(GOOD, GOOD, Measured(week=replace(WEEK, conns_a_day=10.0))), "its week had 10 connections a day, 30,000 are usual: a sensor was probably down"),
        (gate(GOOD, GOOD, Measured(week=replace(WEEK, conns_a_day=1e6))), "its week had 1,000,000 connections a day, 30,000 are usual: it was probably flooded"),
        (
            gate(GOOD, GOOD, Measured(week=replace(WEEK, missing_sensors=("dmz",), attack_share=0.7))),
            "its week lacks the sensor dmz; and labels call 70.0% of its week attacks, which is too much to be right",
        ),
        (
            gate(GOOD, GOOD, Measured(week=replace(WEEK, benign_alerts=0.2))),
            "version 4 alerts on 20.0% of what its week calls harmless: labels may be wrong, or an attack is under way",
        ),
        (
            gate(GOOD, GOOD, Measured(rows=(0.6, 0.7), earlier={"2": 0.9})),
            "it finds 60 of 100 connections of implanted attacks, version 2, which was in service before, 90",
        ),
        (
            gate(GOOD, GOOD, Measured(judged=JudgedConns(40, 10, frozenset()))),
            "of 40 connections that people marked as attacks and version 4 finds, it finds 10",
        ),
        (
            gate(GOOD, GOOD, Measured(shadow=Shadow(9, dict.fromkeys("abcdef", ""), {"a": ""}))),
            "on the latest day it would give 6 alerts, version 4 gives 1",
        ),
        (gate(GOOD, GOOD, Measured(cost=Cost((40.0, 1.0), (1.0, 1.0)))), "it is too slow or too large"),
        (
            gate(GOOD, GOOD, Measured(captures=(CaptureResult("a", (0.1, 0.9), (0.0, 0.0)),))),
            "on recorded attacks of other networks it finds less, or takes more for attacks, than version 4",
        ),
        (gate({"pr_auc_at_1pct": float("nan")}, GOOD), "there was nothing to judge it by"),
        (gate(GOOD, {"pr_auc_at_1pct": float("nan")}), "version 4 is damaged, and cannot be compared with"),
        (refusal(GOOD, "production, version 4, cannot be compared with: gone; repair it, or use --force"), "version 4 is damaged, and cannot be compared with"),
    ],
)  # fmt: skip
def test_each_reason_of_the_gate_has_words(found: Any, words: str) -> None:
    """The reasons are made by the gate itself: a new or changed one must not reach a manager as jargon."""
    assert not found.passed
    text = model_words.decided(decision(found))
    assert f"The gate refused it: {words}." in text and "auc" not in text.lower()


def test_reasons_against_the_reference_model_have_words() -> None:
    found = gate(GOOD, GOOD, Measured(rows=(0.3, 0.9)), reference="reference-08e568db; no model is in production")
    assert "it finds 30 of 100 connections of implanted attacks, the reference model 90" in model_words.decided(
        decision(found, from_version=None)
    )


def test_forced_and_rolled_back_models_say_so() -> None:
    forced = model_words.decided(decision(gate(POOR, GOOD), action="promote"))
    assert (
        "The gate refused it (it tells attacks from ordinary connections too poorly); a person put it into service all the same." in forced
    )
    back = model_words.decided(decision(gate(GOOD, None), action="rollback", from_version="5", to_version="4", gate=None))
    assert back == "On 2026-11-09 version 4 was put back into service in place of version 5."


def test_flattering_numbers_stand_beside_honest_ones() -> None:
    model = ModelFacts(
        "5",
        "2026-11-09T03:00:00+00:00",
        "promote",
        GOOD,
        {"recall_at_threshold": 0.82, "fpr_at_threshold": 1 / 450, "recall/slow_scan": 0.12},
    )
    evaluation = {
        "pooled": {"hybrid": {"recall_at_fpr_1pct": 0.89}}, "macro": {"hybrid": {"recall_at_fpr_1pct": 0.54}}, "about": {"test": ["a"] * 12},
        "summary": {"true_labels": {"detectors": {"hybrid": {"recall_at_fpr_1pct": {"worst": {"network": "lab-3", "value": 0.02}}}}}},
    }  # fmt: skip
    facts = week([], model=model, evaluation=evaluation, judged_alerts=Judged(3, 9), alerts=Summary(40, [], [], []))
    found = {m.question: (m.flattering, m.honest) for m in model_words.measures(facts)}
    assert list(found.values()) == [
        ("94 of 100 at 1 false alarm in 100 ordinary connections", "71 of 100 at 1 in 1,000"),
        ("0.99 with as many attacks as the test has", "0.87 with 1 attack in 100 connections"),
        ("82 of 100 connections of implanted attacks alert", "false alarms: 1 in 450 ordinary connections"),
        ("89 of 100 of all attack connections together", "54 of 100 as the mean of 12 networks; 2 of 100 on the worst, lab-3"),
        ("40 alerts in all", "3 of 12 judged alerts were true"),
    ]
    assert "it found 12 of 100 connections of slow scan." in " ".join(sections.blind_spots(facts))


def test_every_tactic_of_the_catalogue_has_words() -> None:
    every = {t.strip() for _, names in TECHNIQUES.values() for t in names.split(",")}
    assert not [t for t in every if page_one.meaning([t]) == page_one.UNNAMED]
    assert page_one.meaning_of_case({"attack": [], "evidence": []}) == page_one.UNNAMED


def test_weak_evidence_adds_no_meaning() -> None:
    attack = [{"id": "T1046", "tactics": ["Discovery"]}, {"id": "T1071", "tactics": ["Command and Control"]}]
    weak = {"attack": attack, "evidence": [{"technique": "T1046", "score": 0.4}, {"technique": "T1071", "score": 0.3}]}
    assert page_one.meaning_of_case(weak) == "somebody is looking for machines and services to attack"
    strong = weak | {"evidence": [{"technique": "T1046", "score": 0.9}, {"technique": "T1071", "score": 0.6}]}
    assert page_one.meaning_of_case(strong).endswith("; a program may be taking orders from outside")


def test_what_is_missing_is_named() -> None:
    facts = week([])
    some = replace(facts, ledger=facts.ledger[2:], logs=frozenset(["dns"]), learning=[{"sensor": "hq", "days": 5, "of": 7}])
    blind = " ".join(sections.blind_spots(some))
    assert "Anything on 2026-11-02 and 2026-11-03: these days were not read." in blind and "no ssl.log was read" in blind
    assert "dns.log" not in blind and "only 5 days of 7 are there to learn from" in blind
    assert not some.is_quiet and facts.is_quiet, "a week with unread days is not called quiet"
    assert "2 days of 7 are missing: 2026-11-02 and 2026-11-03." in sections.completeness(some)
    assert "Find out why 2026-11-02 and 2026-11-03 could not be read (`mlids doctor`)." in [s["what"] for s in page_one.to_do(some)]


def test_days_that_are_not_reconciled_are_not_called_complete() -> None:
    facts = week([])
    some = replace(facts, ledger=[*facts.ledger[1:], ledger("2026-11-02") | {"live": None, "late": None, "missing": None}])
    assert "1 day is not compared yet with what was scored: 2026-11-02." in sections.completeness(some)
    assert "Whether every connection of 2026-11-02 was scored." in sections.blind_spots(some)


def test_changes_name_what_is_new_and_what_is_gone() -> None:
    now, before = (
        Summary(3, [{"kind": "dns_tunnel"}, {"kind": "flood"}], [], []),
        Summary(2, [{"kind": "beacon"}, {"kind": "flood"}], [], []),
    )
    counts = CaseWeek(WeekCounts(1, 1, 0, 3, 7), WeekCounts(4, 3, 0, 3, 7), 1, 1, [case("a")])
    text = " ".join(page_one.changed(replace(week([]), alerts=now, alerts_before=before, cases=counts)))
    assert "Cases of medium severity or more: 1, down from 4; alerts: 3, as in the week before." in text
    assert (
        "New among the alerts: DNS tunnel. No longer among them: beacon." in text
        and "0 of the 1 case began this week, 1 before it." in text
    )
    first = page_one.changed(replace(week([]), cases=CaseWeek(WeekCounts(days_read=7))))
    assert first[0] == "The week before was not read, so that nothing can be compared with it."


def test_changes_of_hosts_are_amounts() -> None:
    moved = [
        {"host": "10.0.0.5", "measure": "bytes_out", "words": "bytes sent an hour", "change": 3.2, "before": 1_200.0, "now": 34_000_000.0},
        {"host": "10.0.0.6", "measure": "failed_share", "words": "share of failed connections", "change": -0.8, "before": 0.5, "now": 0.02},
        {"host": "10.0.0.7", "measure": "conns", "words": "connections an hour", "change": 1.0},
    ]  # fmt: skip
    assert [h["how"] for h in sections.changes_of_hosts(week([], drift={"moved": moved}))] == [
        "bytes sent an hour rose from 1.2 kB to 34.0 MB (3.2 standard deviations)",
        "share of failed connections fell from 50 of 100 to 2 of 100 (0.8 standard deviations)",
        "connections an hour rose (1.0 standard deviations)",
    ]


def test_names_are_listed_as_people_do() -> None:
    assert [listed(list("abcde"[:n])) for n in (0, 1, 2, 3, 5)] == ["", "a", "a and b", "a, b and c", "a, b, c and 2 more"]
