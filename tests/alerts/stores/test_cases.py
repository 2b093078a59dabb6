"""Stored cases: gatherings of several days join, repeat without effect, and keep what analysts made of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mlids.alerts.stores import Stores
from mlids.alerts.stores.cases import CaseFilter, CaseState
from mlids.cases.case import Case
from mlids.cases.gathering import gather
from mlids.cases.severity import Severity
from mlids.errors import InputError
from mlids.evidence.base import Evidence, SiteView
from tests.support.evidence import BEACON, piece


def cases(*evidence: Evidence) -> list[Case]:
    return gather(evidence, SiteView(), "hq").cases


def later(days: int, **changes: Any) -> Evidence:
    assert BEACON.first is not None and BEACON.last is not None
    return piece(first=BEACON.first + timedelta(days=days), last=BEACON.last + timedelta(days=days), **changes)


def test_the_next_day_joins_the_case_and_a_week_without_ends_it(stores: Stores) -> None:
    (first,) = stores.cases.put("hq", "day 2026-11-04", cases(BEACON))
    (second,) = stores.cases.put("hq", "day 2026-11-05", cases(later(1, score=0.96)))
    assert second["id"] == first["id"] and second["severity"] == "critical" and second["evidence"][0]["count"] == 800
    assert second["first"] == first["first"] and second["last"] > first["last"]
    (other,) = stores.cases.put("hq", "day 2026-11-20", cases(later(16)))
    assert other["id"] != first["id"] and len(stores.cases.latest()) == 2
    (elsewhere,) = stores.cases.put("lab", "day 2026-11-05", cases(later(1)))
    assert elsewhere["id"] not in {first["id"], other["id"]}


def test_a_gathering_again_replaces_what_it_stored(stores: Stores) -> None:
    for _ in range(3):
        stores.cases.put("hq", "day 2026-11-04", cases(BEACON))
    (found,) = stores.cases.latest()
    assert found["evidence"][0]["count"] == BEACON.count
    stores.cases.put("hq", "day 2026-11-05", cases(later(1, score=0.95)))
    stores.cases.put("hq", "day 2026-11-05", [])
    (found,) = stores.cases.latest()
    assert found["severity"] == "high" and found["evidence"][0]["count"] == BEACON.count
    stores.cases.put("hq", "day 2026-11-04", [])
    assert stores.cases.latest() == []


def test_a_closed_case_stays_closed_until_it_is_worse(stores: Stores) -> None:
    (case,) = stores.cases.put("hq", "day 2026-11-04", cases(BEACON))
    with pytest.raises(InputError, match="verdict"):
        stores.cases.set_state(case["id"], CaseState.CLOSED, "ana")
    stores.cases.set_state(case["id"], CaseState.CLOSED, "ana", verdict="false positive", note="backup agent")
    stores.cases.put("hq", "day 2026-11-05", cases(later(1)))
    assert stores.cases.latest() == [] and stores.cases.get(case["id"][:6])["verdict"] == "false positive"
    assert [c["id"] for c in stores.cases.judged()] == [case["id"]]
    stores.cases.put("hq", "day 2026-11-06", cases(later(2), piece("self_signed", 0.9, log="ssl")))
    (found,) = stores.cases.latest()
    assert found["state"] == "open" and "open again" in found["note"]
    stores.cases.put("hq", "day 2026-11-04", []), stores.cases.put("hq", "day 2026-11-05", []), stores.cases.put("hq", "day 2026-11-06", [])
    assert stores.cases.get(case["id"])["who"] == "ana", "what an analyst touched is not deleted"


def test_listing_counts_and_ids(stores: Stores) -> None:
    hosts = [piece(source=f"10.0.0.{n}", score=s) for n, s in ((1, 0.95), (2, 0.6), (3, 0.3))]
    stores.cases.put("hq", "day 2026-11-04", cases(*hosts))
    assert [c["host"] for c in stores.cases.latest()] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert [c["host"] for c in stores.cases.latest(least=Severity.MEDIUM, limit=1)] == ["10.0.0.1"]
    assert stores.cases.counts() == {"low": 1, "medium": 1, "high": 0, "critical": 1}
    for wrong in ("", "%", "zz", "_"):
        with pytest.raises(InputError, match="no case"):
            stores.cases.get(wrong)
    with pytest.raises(InputError, match="no case"):
        stores.cases.set_state("nothing", CaseState.OPEN, "ana")


ALL = tuple(CaseState)


def test_a_filter_finds_pages_and_counts(stores: Stores) -> None:
    hosts = [piece(source=f"10.0.{n % 2}.{n}", score=0.3 + 0.005 * n) for n in range(130)]
    stored = stores.cases.put("hq", "day 2026-11-04", cases(*hosts))
    for case in stored[:10]:
        stores.cases.set_state(case["id"], CaseState.ACKNOWLEDGED, "ana")
    for case in stored[10:15]:
        stores.cases.set_state(case["id"], CaseState.CLOSED, "ana", verdict="false positive")
    assert stores.cases.count(CaseFilter()) == 125 and stores.cases.count(CaseFilter(ALL)) == 130
    everyone = CaseFilter(ALL)
    paged = [c["id"] for offset in (0, 50, 100) for c in stores.cases.page(everyone, 50, offset)]
    assert len(paged) == 130 and paged == [c["id"] for c in stores.cases.page(everyone, 200)], "pages neither repeat nor leave out"
    scores = [c["score"] for c in stores.cases.page(everyone, 200)]
    assert scores == sorted(scores, reverse=True)
    assert stores.cases.page(everyone, 50, 5_000) == [] and stores.cases.page(CaseFilter(()), 50) == []
    assert stores.cases.count(CaseFilter(ALL, host="10.0.1.")) == 65 == stores.cases.hosts(CaseFilter(ALL, host="10.0.1."))
    assert {c["host"] for c in stores.cases.page(CaseFilter(ALL, host="0.1.129"), 50)} == {"10.0.1.129"}
    assert stores.cases.count(CaseFilter(ALL, Severity.MEDIUM)) == sum(s >= 50.0 for s in scores)
    for nothing in ("%", "_", "10.0.1.\0", "\ud800", "' or 1=1 --"):
        assert stores.cases.page(CaseFilter(ALL, host=nothing), 50) == [], repr(nothing)


def test_a_case_is_in_every_week_that_its_span_touches(stores: Stores) -> None:
    stores.cases.put("hq", "day 2026-11-04", cases(BEACON))
    spans = {"2026-11-02": "2026-11-09", "2026-11-04T12": "2026-11-04T13", "2026-10-26": "2026-11-02", "2026-11-09": "2026-11-16"}
    found = [stores.cases.count(CaseFilter(since=since, until=until)) for since, until in spans.items()]
    assert found == [1, 1, 0, 0]


@pytest.mark.parametrize("odd", ["10.0.0.5\0", "h" * 300])
def test_hosts_and_notes_that_a_database_does_not_take_are_stored(stores: Stores, odd: str) -> None:
    for _ in range(2):
        (case,) = stores.cases.put("hq", "day 2026-11-04", cases(piece(source=odd)))
    stores.cases.set_state(case["id"], CaseState.ACKNOWLEDGED, odd, note=odd * 50 + "\ud800" * 2_000)
    (found,) = stores.cases.latest()
    assert found["id"] == case["id"] and found["note"].startswith(odd[:8]) and len(found["note"]) <= 2_000
