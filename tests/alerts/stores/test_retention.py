"""Old alerts and ledger days go in pages, on SQLite and PostgreSQL; verdicts, open cases and what was written lately stay."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from mlids.alerts.stores import Stores
from mlids.alerts.stores.ledger import LedgerDay
from mlids.alerts.stores.retention import AlertBounds
from tests.support.alerts import NOON, alert

LATER = datetime.now(UTC) + timedelta(days=1)
FUTURE = LATER + timedelta(days=2)


def old(stores: Stores, before: datetime | None, open_cases_before: datetime | None) -> set[str]:
    pages = list(stores.retention.old_alerts(AlertBounds(before, open_cases_before, FUTURE)))
    assert all(p.bytes > 0 and p.first <= p.last for p in pages)
    return {i for p in pages for i in p.ids}


def test_old_alerts_are_those_without_verdict_below_the_risk_of_an_open_case(stores: Stores) -> None:
    stores.alerts.put([alert(1), alert(2, score=90.0), alert(3, score=99.0), alert(4, FUTURE + timedelta(days=9_000))], "live")
    stores.rules.put_verdict(alert(3).id, "true positive", "test")
    assert old(stores, LATER, None) == {alert(1).id, alert(4).id}, "a time in the future is what a sensor said"
    assert old(stores, LATER, LATER) == {alert(1).id, alert(2).id, alert(4).id}
    assert old(stores, None, None) == old(stores, NOON, NOON) == set(), "began before, or was written before"
    assert old(stores, datetime.now(UTC) - timedelta(hours=1), None) == set(), (
        "an alert that was written lately is not old, whenever it began"
    )


def test_pages_hold_all_and_a_removal_what_it_is_given(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlids.alerts.stores.retention._ROWS_AT_ONCE", 3)
    stores.alerts.put([alert(n, NOON + timedelta(minutes=n % 3)) for n in range(10)], "live")
    bounds, sizes = AlertBounds(LATER, None, FUTURE), []
    for page in stores.retention.old_alerts(bounds):
        sizes.append(stores.retention.remove_alerts(page.ids, bounds))
    assert sizes == [3, 3, 3, 1] and stores.alerts.latest() == []


def test_open_cases_are_sensor_days_by_risk(stores: Stores) -> None:
    cases = [
        alert(1, score=91.0),
        alert(2, NOON + timedelta(hours=3), score=92.0),
        alert(3, NOON - timedelta(days=2), score=99.0),
        alert(4),
    ]
    stores.alerts.put(cases, "live")
    found = stores.retention.open_cases(None, LATER, 5)
    assert [(sensor, first[:13], last[:13]) for sensor, first, last in found] == [
        ("hq", "2026-11-18T12", "2026-11-18T12"), ("hq", "2026-11-20T12", "2026-11-20T15"),
    ]  # fmt: skip
    assert len(stores.retention.open_cases(None, LATER, 1)) == 1 and stores.retention.open_cases(NOON + timedelta(days=1), LATER, 5) == []


def test_ledger_days_go_with_their_hours_unless_their_data_is_held(stores: Stores) -> None:
    for day, archived in (("2026-11-01", 5), ("2026-11-02", 5), ("2026-11-03", 0)):
        stores.ledger.put_day(LedgerDay("hq", day, archived, 0, 1))
    stores.ledger.put_hours("hq", "2026-11-01", [{"hour": "2026-11-01T00:00Z", "archived": 5, "live": 5, "late": 0, "rejected": 0}])
    assert stores.retention.reconciled(date(2026, 12, 1)) == {("hq", "2026-11-01"), ("hq", "2026-11-03")}
    assert stores.retention.old_days(date(2026, 11, 3), {("hq", "2026-11-02")}) == [("hq", "2026-11-01")]
    stores.retention.remove_day("hq", "2026-11-01")
    assert [r["day"] for r in stores.ledger.days()] == ["2026-11-03", "2026-11-02"]
    assert stores.ledger.hours(date(2026, 11, 1), date(2026, 11, 2)) == []


def test_interrupted_housekeeping_is_no_move_and_is_marked_by_the_next(stores: Stores) -> None:
    stores.audit.begin_housekeeping("airflow")
    assert stores.audit.unsettled() == [] and stores.audit.rows() == []
    stores.audit.settle(stores.audit.begin_housekeeping("airflow"), "done", "alerts 3")
    newest, before = stores.audit.housekeeping()
    assert newest["why"].endswith("(alerts 3)") and "interrupted" in before["why"]
