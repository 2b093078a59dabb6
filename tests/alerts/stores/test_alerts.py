"""Stored alerts: upserts, parts of several scorings, queries."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from mlids.alerts.grouping import GroupKey
from mlids.alerts.stores import Stores, open_stores
from mlids.alerts.stores.alerts import AlertFilter
from mlids.alerts.suppression import Rule
from tests.support.alerts import NOON, alert

NIGHT = "late 2026-11-20"


def test_alert_is_stored_once_and_updated(stores: Stores) -> None:
    stores.alerts.put([alert(1), alert(2)], "live")
    stores.alerts.put([alert(1, count=9, score=95.0)], "live")
    assert stores.alerts.put([], "live") == []
    found = {a["src"]: a for a in stores.alerts.latest()}
    assert len(found) == 2 and found["10.0.0.1"]["mlids"]["count"] == 9 and found["10.0.0.1"]["score"] == 95.0
    assert sorted(stores.alerts.kinds()) == ["brute_force"]


def test_latest_is_a_half_open_window_newest_first(stores: Stores) -> None:
    stores.alerts.put([alert(n, NOON + timedelta(hours=n)) for n in range(4)], "live")
    latest = stores.alerts.latest(since=NOON + timedelta(hours=1), until=NOON + timedelta(hours=3))
    assert [a["src"] for a in latest] == ["10.0.0.2", "10.0.0.1"]
    assert [a["src"] for a in stores.alerts.latest(limit=1)] == ["10.0.0.3"]
    assert [a["src"] for a in stores.alerts.latest(starting_with=alert(2).id)] == ["10.0.0.2"]
    assert stores.alerts.latest(starting_with="%") == [] and stores.alerts.latest(starting_with="id_") == []


def test_counts_of_parts_add_up_and_a_part_replaces_itself(stores: Stores) -> None:
    stores.alerts.put([alert(1, count=5, uids=["C1", "C2"])], "live")
    (merged,) = stores.alerts.put([alert(1, count=3, score=95.0, uids=["C9"], reasons="stronger")], NIGHT)
    assert merged["mlids"]["count"] == 8 and merged["score"] == 95.0 and merged["mlids"]["uids"] == ["C1", "C2", "C9"]
    assert "stronger" in merged["message"]
    stores.alerts.put([alert(1, count=2)], NIGHT)
    stores.alerts.put([alert(1, count=4)], "live")  # a live count never falls
    (found,) = stores.alerts.latest()
    assert found["mlids"]["count"] == 7 and found["score"] == 80.0 and found["origin"] == "live"


def test_dropped_part_leaves_the_others_and_deletes_alerts_without_parts(stores: Stores) -> None:
    stores.alerts.put([alert(1, count=5)], "live")
    stores.alerts.put([alert(1, count=2), alert(2), alert(3)], NIGHT)
    stores.alerts.put([alert(4)], "late 2026-11-21")
    stores.alerts.drop_part("hq", NIGHT, keep={alert(3).id})
    found = {a["src"]: a["mlids"]["count"] for a in stores.alerts.latest()}
    assert found == {"10.0.0.1": 5, "10.0.0.3": 1, "10.0.0.4": 1}
    stores.alerts.drop_part("branch", "live", keep=set())
    assert len(stores.alerts.latest()) == 3


def test_text_of_a_log_that_no_column_takes_is_stored(stores: Stores) -> None:
    stores.alerts.put([alert(1, src="a\0b", dst="x" * 100)], "live")
    (found,) = stores.alerts.latest()
    assert (found["src"], found["dst"]) == ("a\0b", "x" * 100)


def test_concurrent_writers_lose_nothing(url: str) -> None:
    open_stores(url).close()

    def write(worker: int) -> None:
        opened = open_stores(url)
        for n in range(20):
            opened.alerts.put([alert(worker * 100 + n), alert(999, count=n + 1)], f"late {worker}")
        opened.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    stores = open_stores(url)
    found = {a["id"]: a["mlids"]["count"] for a in stores.alerts.latest()}
    assert len(found) == 81 and found[alert(999).id] == 4 * 20, "no part of the shared alert was overwritten by another writer"
    stores.close()


def test_summary_counts_all_alerts_of_a_window_and_ranks_hosts_and_alerts(stores: Stores) -> None:
    beacon = [GroupKey(f"b{n:031d}", "hq", "beacon", f"10.0.0.{n}", "192.0.2.1:443/tcp", 0) for n in range(60)]
    stores.alerts.put([alert(n, key=k, score=40.0 + n, count=2, src=k.source) for n, k in enumerate(beacon)], "live")
    stores.alerts.put([alert(1, score=99.0, count=7), alert(200, NOON + timedelta(days=1))], "live")
    found = stores.alerts.summary(NOON, NOON + timedelta(days=1))
    assert found.count == stores.alerts.count(NOON, NOON + timedelta(days=1)) == 61
    assert found.kinds == [{"kind": "beacon", "alerts": 60, "conns": 120}, {"kind": "brute_force", "alerts": 1, "conns": 7}]
    assert found.hosts[0] == {"host": "10.0.0.1", "alerts": 2, "conns": 9, "score": 99.0, "kinds": ["beacon", "brute_force"]}
    assert [h["host"] for h in found.hosts[1:]] == [f"10.0.0.{n}" for n in range(59, 45, -1)], "the highest risk first, 15 hosts"
    assert [a["score"] for a in found.top] == [99.0, *(40.0 + n for n in range(59, 35, -1))] and found.top[0]["verdict"] is None
    stores.rules.add(Rule(0, kind="beacon"), "noise", "ana")
    assert stores.alerts.summary(NOON, NOON + timedelta(days=1)).count == 1


def test_documents_are_found_by_id(stores: Stores) -> None:
    stores.alerts.put([alert(1, count=3), alert(2)], "live")
    found = stores.alerts.documents([alert(1).id, "gone"])
    assert {i: d["mlids"]["count"] for i, d in found.items()} == {alert(1).id: 3}


def test_a_week_is_counted_by_hour_severity_and_host(stores: Stores) -> None:
    stores.alerts.put([alert(n, NOON + timedelta(minutes=20 * n), score=40.0 + 10 * n) for n in range(6)], "live")
    stores.rules.add(Rule(0, src="10.0.0.5/32"), "known", "ana")
    found = stores.alerts.by_hour(NOON, NOON + timedelta(days=1), (50.0, 75.0, 92.0), hosts=3)
    assert sorted(found.severities) == [("2026-11-20T12", 0, 1), ("2026-11-20T12", 1, 2), ("2026-11-20T13", 1, 1), ("2026-11-20T13", 2, 1)]
    assert [(h["host"], h["risk"], h["alerts"]) for h in found.hosts] == [
        ("10.0.0.4", 80.0, 1),
        ("10.0.0.3", 70.0, 1),
        ("10.0.0.2", 60.0, 1),
    ]
    assert sorted(found.cells)[0] == ("10.0.0.2", "2026-11-20T12", 1, 60.0) and len(found.cells) == 3
    assert stores.alerts.by_hour(NOON - timedelta(days=1), NOON, (50.0,), hosts=3).cells == []
    assert (stores.alerts.newest() or "").startswith("2026-11-20T13:40")


def test_alerts_are_searched_on_both_sides(stores: Stores) -> None:
    assert stores.alerts.newest() is None
    other = GroupKey("x" * 32, "branch", "beacon", "2001:db8::7", "198.51.100.9:443/tcp", 0)
    stores.alerts.put([alert(1), alert(2), alert(9, key=other, src="2001:db8::7", dst="198.51.100.9")], "live")

    def found(text: str) -> list[str]:
        return [a["src"] for a in stores.alerts.latest(chosen_by=AlertFilter(search=text), sort="risk")]

    assert found("10.0.0.2") == ["10.0.0.2"] and sorted(found("192.0.2.0/24")) == ["10.0.0.1", "10.0.0.2"]
    assert found("198.51.100.9") == found("BRANCH") == found("2001:DB8") == found("xxxx") == ["2001:db8::7"]
    assert found("_") == found("%") == found("a\0") == [] and len(found("")) == 3
    assert stores.alerts.count(chosen_by=AlertFilter(search="10.0.0.")) == 2
    everything = [a["id"] for n in range(3) for a in stores.alerts.latest(limit=1, offset=n, sort="count")]
    assert len(set(everything)) == 3, "pages hold each alert once"
