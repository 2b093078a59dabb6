"""Days and hours of the ledger."""

from __future__ import annotations

from datetime import date

from mlids.alerts.stores import Stores
from mlids.alerts.stores.ledger import LedgerDay

HOUR = {"archived": 10, "live": 6, "late": 3, "rejected": 2}


def test_day_is_replaced_and_listed_newest_first(stores: Stores) -> None:
    for day in ("2026-11-20", "2026-11-21", "2026-11-22"):
        stores.ledger.put_day(LedgerDay("hq", day, archived=1, rejected=0, files=1))
    stores.ledger.put_day(LedgerDay("hq", "2026-11-21", archived=10, rejected=2, files=3, problems=["x"] * 60, scored=9, alerts=4))
    found = stores.ledger.days(date(2026, 11, 20), date(2026, 11, 22))
    assert [r["day"] for r in found] == ["2026-11-21", "2026-11-20"]
    assert {n: found[0][n] for n in ("archived", "rejected", "files", "scored", "alerts")} == {
        "archived": 10, "rejected": 2, "files": 3, "scored": 9, "alerts": 4,
    }  # fmt: skip
    assert found[0]["problems"] == ["x"] * 50 and found[1]["scored"] is None
    assert len(stores.ledger.days()) == 3


def test_sums_of_the_hours_are_null_until_a_day_is_reconciled(stores: Stores) -> None:
    stores.ledger.put_day(LedgerDay("hq", "2026-11-20", archived=20, rejected=0, files=1))
    (row,) = stores.ledger.days()
    assert (row["live"], row["late"], row["missing"]) == (None, None, None)
    stores.ledger.put_hours("hq", "2026-11-20", [{"hour": f"2026-11-20T{h:02}:00Z", **HOUR} for h in range(2)])
    (row,) = stores.ledger.days()
    assert (row["live"], row["late"], row["missing"]) == (12, 6, 2) and isinstance(row["missing"], int)


def test_hours_of_a_day_are_replaced(stores: Stores) -> None:
    some = [{"hour": f"2026-11-20T{h:02}:00Z", **HOUR} for h in range(3)]
    stores.ledger.put_hours("hq", "2026-11-20", some)
    stores.ledger.put_hours("branch", "2026-11-20", some)
    stores.ledger.put_hours("hq", "2026-11-20", some[:1])
    found = stores.ledger.hours(date(2026, 11, 20), date(2026, 11, 21))
    assert [(h["sensor"], h["hour"][11:13], h["missing"]) for h in found] == [
        ("branch", "00", 1), ("branch", "01", 1), ("branch", "02", 1), ("hq", "00", 1),
    ]  # fmt: skip
    assert len(stores.ledger.hours(date(2026, 11, 20), date(2026, 11, 21), "hq")) == 1
    stores.ledger.put_hours("hq", "2026-11-20", [])
    assert stores.ledger.hours(date(2026, 11, 20), date(2026, 11, 21), "hq") == []


def test_other_logs_of_a_day_are_replaced_and_counted(stores: Stores) -> None:
    stores.ledger.put_logs("hq", "2026-11-20", {"dns": (10, 7), "ssl": (5, None), "http": (3, 4)})
    stores.ledger.put_logs("branch", "2026-11-20", {"dns": (1, 1)})
    found = stores.ledger.logs(date(2026, 11, 20), date(2026, 11, 21), "hq")
    assert {r["log"]: r["missing"] for r in found} == {"dns": 3, "ssl": None, "http": 0}
    stores.ledger.put_logs("hq", "2026-11-20", {})
    assert [r["sensor"] for r in stores.ledger.logs(date(2026, 11, 1), date(2026, 12, 1))] == ["branch"]
