"""Cases of a week, with those of the week before; one case by its whole id."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

from mlids import pipeline
from mlids.alerts.stores import Stores
from mlids.alerts.stores.ledger import LedgerDay
from mlids.cases.gathering import gather
from mlids.evidence.base import Evidence, SiteView
from mlids.pipeline.case_views import case_week
from mlids.settings import load_settings
from tests.support.evidence import BEACON, piece


def stores() -> Stores:
    return pipeline.open_stores(load_settings())


def put(day: int, *evidence: Evidence) -> list[dict[str, Any]]:
    assert BEACON.first is not None and BEACON.last is not None
    moved = timedelta(days=day - 4)
    shifted = [piece(e.kind, e.score, source=e.source, first=BEACON.first + moved, last=BEACON.last + moved) for e in evidence]
    return stores().cases.put("hq", f"day 2026-11-{day:02}", gather(shifted, SiteView(), "hq").cases)


def test_a_week_has_its_own_cases_and_those_that_go_on(home: Path) -> None:
    put(1, piece(source="10.0.0.1"), piece(source="10.0.0.2"))
    put(4, piece(source="10.0.0.1"), piece(source="10.0.0.3", score=0.6), piece(source="10.0.0.4", score=0.3))
    stores().ledger.put_day(LedgerDay("hq", "2026-11-04", 10, 0, 1))
    (closed,) = (c for c in stores().cases.latest() if c["host"] == "10.0.0.1")
    pipeline.judge_case(closed["id"], "closed", who="ana", verdict="true positive")
    week = case_week(stores(), date(2026, 11, 2), date(2026, 11, 9))
    assert (week.now.cases, week.now.hosts, week.now.low_cases, week.now.days_read) == (2, 2, 1, 1)
    assert (week.before.cases, week.before.days_read, week.still_open, week.begun_before) == (2, 0, 1, 1)
    assert [c["host"] for c in week.cases] == ["10.0.0.3", "10.0.0.1"], "cases that are not closed come first"


def test_the_report_answers_first(home: Path) -> None:
    put(4, piece(source="10.0.0.1"))
    made = pipeline.report("2026-11-02", "2026-11-09")
    page = Path(made["html"]).read_text(encoding="utf-8")
    assert "1 case of medium severity or more this week, still open; the worst is high:" in page


def test_a_case_is_found_by_its_whole_id_only(home: Path) -> None:
    (case,) = put(4, BEACON)
    facts = pipeline.case_facts(case["id"])
    assert facts is not None and facts["case"]["id"] == case["id"] and facts["command"] == "zcat 2026-11-04/*.gz | grep -F -e C1 -e C2"
    for other in (case["id"][:8], "", "%", case["id"] + "x", "\0"):
        assert pipeline.case_facts(other) is None, other
