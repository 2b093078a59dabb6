"""Stored suppression rules and verdicts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mlids.alerts.stores import Stores
from mlids.alerts.suppression import Rule, like
from mlids.errors import StoreError
from tests.support.alerts import alert


def test_rule_hides_stored_alerts_and_shows_them_when_it_ends(stores: Stores) -> None:
    stores.alerts.put([alert(1), alert(2)], "live")
    first = stores.rules.add(Rule(0, **like(alert(1).document())), "the backup server", "ann")
    assert [a["src"] for a in stores.alerts.latest()] == ["10.0.0.2"]
    assert {a["src"]: a["suppressed_by"] for a in stores.alerts.latest(suppressed=True)} == {"10.0.0.1": first, "10.0.0.2": None}
    stores.alerts.put([alert(1, count=9)], "live")  # an upsert keeps the alert hidden
    assert [a["src"] for a in stores.alerts.latest()] == ["10.0.0.2"]
    (one,) = stores.alerts.latest(starting_with=alert(1).id)
    assert one["mlids"]["count"] == 9
    stores.rules.end(first)
    assert len(stores.alerts.latest()) == 2 and stores.rules.in_force() == []
    with pytest.raises(StoreError, match=f"no rule {first} is in force"):
        stores.rules.end(first)


def test_expired_rule_is_not_in_force_and_its_number_is_not_used_again(stores: Stores) -> None:
    first = stores.rules.add(Rule(0, kind="beacon"), "noise", "ann")
    second = stores.rules.add(Rule(0, kind="brute_force", expires_at=datetime.now(UTC) - timedelta(seconds=1)), "over", "ann")
    assert second > first and [r.id for r in stores.rules.in_force()] == [first]
    assert [r["id"] for r in stores.rules.rows()] == [second, first] and [r["id"] for r in stores.rules.rows_in_force()] == [first]


def test_suppressed_conns_are_counted_by_rule(stores: Stores) -> None:
    first = stores.rules.add(Rule(0, src="10.0.0.0/24", port=22), "the backup server", "ann")
    stores.rules.count_suppressed({first: 5})
    stores.rules.count_suppressed({first: 2})
    (row,) = stores.rules.rows()
    assert (row["conns"], row["why"], row["who"], row["port"]) == (7, "the backup server", "ann", 22) and row["last_at"]


def test_verdict_replaces_an_earlier_one(stores: Stores) -> None:
    stores.alerts.put([alert(1), alert(2)], "live")
    stores.rules.put_verdict(alert(1).id, "true positive", "ben")
    stores.rules.put_verdict(alert(1).id, "false positive", "ana", "backup job")
    assert {a["src"]: a["verdict"] for a in stores.alerts.latest()} == {"10.0.0.1": "false positive", "10.0.0.2": None}
    assert [(a["src"], a["verdict"]) for a in stores.alerts.judged()] == [("10.0.0.1", "false positive")]
    held = stores.rules.verdict(alert(1).id)
    assert held is not None and (held["who"], held["note"]) == ("ana", "backup job") and held["at"]
    assert stores.rules.verdict(alert(2).id) is None
    with pytest.raises(StoreError, match="no alert nothing"):
        stores.rules.put_verdict("nothing", "true positive", "ana")
