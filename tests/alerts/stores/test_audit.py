"""The audit: intents, done and failed moves."""

from __future__ import annotations

from mlids.alerts.stores import Stores
from mlids.alerts.stores.audit import DONE, FAILED, Move

PROMOTE = Move("ana", "promote", "1", "2", "better", '{"passed": true}')


def test_rows_are_newest_first_and_have_the_columns_of_the_report(stores: Stores) -> None:
    stores.audit.record(Move("airflow", "refuse", None, "1", "worse"))
    stores.audit.settle(stores.audit.begin(PROMOTE), DONE)
    first, second = stores.audit.rows()
    assert set(first) == {"id", "at", "who", "action", "from_version", "to_version", "why", "gate", "sha256"}
    assert (first["action"], first["from_version"], first["to_version"], first["why"]) == ("promote", "1", "2", "better")
    assert (second["action"], second["from_version"], second["gate"]) == ("refuse", None, None)
    assert len(stores.audit.rows(1)) == 1


def test_move_is_unsettled_until_it_is_done_or_failed(stores: Stores) -> None:
    stores.audit.record(Move("airflow", "refuse", None, "1", "worse"))
    row = stores.audit.begin(PROMOTE)
    other = stores.audit.begin(Move("ana", "rollback", "2", "1", "wrong"))
    assert stores.audit.unsettled() == [(row, PROMOTE), (other, Move("ana", "rollback", "2", "1", "wrong"))]
    assert stores.audit.rows()[0]["why"] == "wrong (not finished)"
    stores.audit.settle(row, DONE)
    stores.audit.settle(other, FAILED, "version 2 stays in production")
    assert stores.audit.unsettled() == []
    assert [r["why"] for r in stores.audit.rows()] == ["wrong (version 2 stays in production)", "better", "worse"]
