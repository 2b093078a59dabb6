"""Counts of a week, on SQLite and PostgreSQL: half-open, without what rules cover, by severity, host, behaviour and verdict."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from mlids.alerts.grouping import GroupKey
from mlids.alerts.stores import Stores
from mlids.alerts.stores.audit import Move
from mlids.alerts.stores.cases import CaseState
from mlids.alerts.stores.ledger import LedgerDay
from mlids.alerts.stores.weeks import Judged
from mlids.alerts.suppression import Rule
from mlids.cases.gathering import gather
from mlids.cases.severity import Severity
from mlids.evidence.base import SiteView
from tests.support.alerts import alert
from tests.support.evidence import piece

SINCE, UNTIL = datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 11, 9, tzinfo=UTC)


def put(stores: Stores, n: int, when: datetime, score: float, kind: str = "beacon", source: str = "10.0.0.1") -> str:
    key = GroupKey(f"id{n:030d}", "hq", kind, source, "192.0.2.1:443/tcp", 0)
    found = replace(alert(n, when), key=key, src=source, score=score)
    stores.alerts.put([found], "live")
    return found.id


def test_alerts_are_counted_by_day_severity_and_behaviour(stores: Stores) -> None:
    put(stores, 1, SINCE, 92.0)
    put(stores, 2, SINCE + timedelta(hours=23, minutes=59), 49.9, source="10.0.0.2")
    put(stores, 3, UNTIL - timedelta(microseconds=1), 75.0, "flood", "203.0.113.7")
    put(stores, 4, UNTIL, 99.0)
    put(stores, 5, SINCE - timedelta(microseconds=1), 99.0)
    put(stores, 6, SINCE, 99.0, source="10.0.0.9")
    stores.rules.add(Rule(0, src="10.0.0.9"), "known", "ana")
    put(stores, 7, SINCE + timedelta(days=1), 50.0)
    assert stores.weeks.alerts_by_day(SINCE, UNTIL) == {
        "2026-11-02": {Severity.LOW: 1, Severity.MEDIUM: 0, Severity.HIGH: 0, Severity.CRITICAL: 1},
        "2026-11-03": {Severity.LOW: 0, Severity.MEDIUM: 1, Severity.HIGH: 0, Severity.CRITICAL: 0},
        "2026-11-08": {Severity.LOW: 0, Severity.MEDIUM: 0, Severity.HIGH: 1, Severity.CRITICAL: 0},
    }
    assert stores.weeks.kinds(SINCE, UNTIL) == [
        {"kind": "beacon", "alerts": 3, "hosts": 2, "sources": ["10.0.0.1", "10.0.0.2"]},
        {"kind": "flood", "alerts": 1, "hosts": 1, "sources": ["203.0.113.7"]},
    ]
    assert [k["sources"] for k in stores.weeks.kinds(SINCE, UNTIL, sources=1)] == [["10.0.0.1"], ["203.0.113.7"]]
    total, rules = stores.weeks.hidden(SINCE, UNTIL)
    assert total == 1 and [(r["why"], r["hidden"]) for r in rules] == [("known", 1)]
    stores.rules.end(rules[0]["id"])
    assert stores.weeks.hidden(SINCE, UNTIL) == (0, [])


def test_verdicts_and_cases_of_a_week_are_counted(stores: Stores) -> None:
    for n, verdict in enumerate(("true positive", "false positive", "false positive"), 1):
        stores.rules.put_verdict(put(stores, n, SINCE, 60.0), verdict, "ana")
    stores.rules.put_verdict(put(stores, 4, UNTIL, 60.0), "true positive", "ana")
    assert stores.weeks.judged_alerts(SINCE, UNTIL) == Judged(1, 2) and stores.weeks.judged_alerts(SINCE, UNTIL).all == 3
    pieces = [piece(source="10.0.0.1", score=0.95), piece(source="10.0.0.2", score=0.6), piece(source="10.0.0.3", score=0.3)]
    cases = stores.cases.put("hq", "day 2026-11-04", gather(pieces, SiteView(), "hq").cases)
    stores.cases.set_state(next(c["id"] for c in cases if c["host"] == "10.0.0.2"), CaseState.CLOSED, "ana", verdict="true positive")
    assert stores.weeks.judged_cases(SINCE, UNTIL) == Judged(1, 0)
    assert list(stores.weeks.cases_by_severity(SINCE, UNTIL).values()) == [1, 1, 0, 1]
    assert [(h["host"], h["severity"], h["cases"]) for h in stores.weeks.riskiest_hosts(SINCE, UNTIL)] == [
        ("10.0.0.1", "critical", 1), ("10.0.0.2", "medium", 1), ("10.0.0.3", "low", 1),
    ]  # fmt: skip
    assert len(stores.weeks.riskiest_hosts(SINCE, UNTIL, limit=1)) == 1
    assert stores.weeks.riskiest_hosts(UNTIL, UNTIL + timedelta(days=7)) == []


def test_days_and_decisions(stores: Stores) -> None:
    assert stores.weeks.days_read() is None and stores.weeks.decisions() == [] and stores.weeks.last_days() == {}
    for sensor, day in (("hq", "2026-11-02"), ("hq", "2026-11-05"), ("branch", "2026-11-03")):
        stores.ledger.put_day(LedgerDay(sensor, day, 10, 0, 1))
    assert stores.weeks.days_read() == ("2026-11-02", "2026-11-05")
    assert stores.weeks.last_days() == {"hq": "2026-11-05", "branch": "2026-11-03"}
    assert stores.weeks.days_of_sensors(date(2026, 11, 5)) == {"hq": 1, "branch": 1}
    stores.audit.record(Move("airflow", "refuse", None, "1", "poor", '{"passed": false}'))
    stores.audit.record(Move("ana", "accept", None, "1", "checked"))
    begun = stores.audit.begin(Move("airflow", "promote", None, "2", "good"))
    failed = stores.audit.begin(Move("airflow", "promote", None, "3", "good"))
    stores.audit.settle(failed, "failed")
    assert [(d["action"], d["to_version"], d["gate"]) for d in stores.weeks.decisions()] == [("refuse", "1", {"passed": False})]
    stores.audit.settle(begun, "done")
    assert [d["to_version"] for d in stores.weeks.decisions()] == ["1", "2"], "neither what failed, nor an acceptance"
