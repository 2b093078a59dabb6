"""Lists of alerts with filters, one alert with its reasons, its rows from the lake, and what is usual for its host."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlids import pipeline
from mlids.alerts.grouping import GroupKey
from mlids.errors import InputError
from mlids.pipeline.alert_views import kibana_link, sentences
from mlids.settings import load_settings
from tests.conftest import CONN_HEADER, conn_line
from tests.support.alerts import NOON, alert

DNS = (
    "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tdns\n"
    "#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tquery\n#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\n"
)
UID = "Cx{:016d}".format


def store(*numbers: int, when: datetime = NOON, **changes: object) -> None:
    pipeline.open_stores(load_settings()).alerts.put([alert(n, when, **changes) for n in numbers], "live")


def listed(**wanted: Any) -> list[str]:
    return [a["src"] for a in pipeline.alert_list(**wanted)["alerts"]]


def test_alerts_are_filtered_sorted_and_paged(home: Path) -> None:
    store(*range(1, 120))
    store(200, score=99.0, when=NOON + timedelta(hours=2), dst="198.51.100.9")
    store(201, score=40.0, count=500)
    first, last = pipeline.alert_list(), pipeline.alert_list(page=99)
    assert (first["count"], first["pages"], len(first["alerts"]), len(last["alerts"])) == (121, 3, 50, 21)
    assert listed()[0] == "10.0.0.200" and listed(sort="count")[0] == "10.0.0.201" and listed(sort="time")[0] == "10.0.0.200"
    assert len({*listed(), *listed(page=2), *listed(page=3)}) == 121, "each on one page"
    assert first["alerts"][0]["severity"] == "critical" and listed(min_risk=90) == ["10.0.0.200"]
    assert listed(hour="2026-11-20T14") == ["10.0.0.200"] and listed(src="10.0.0.200/31") == ["10.0.0.200", "10.0.0.201"]
    assert listed(search="10.0.0.20") == ["10.0.0.200", "10.0.0.20", "10.0.0.201"] and listed(search="id" + "0" * 29 + "7") == ["10.0.0.7"]
    assert pipeline.alert_list(search="192.0.2.0/24")["count"] == 121, "the other side, where all conns share it"
    assert listed(search="HQ", min_risk=90) == ["10.0.0.200"] and listed(search="%") == [] and listed(since="24h") == []
    judged = pipeline.alert_list(page=1)["alerts"][0]["id"]
    pipeline.give_verdict(judged, "true positive", who="ana")
    assert judged not in {a["id"] for a in pipeline.alert_list(unjudged=True)["alerts"]}
    for wrong in ({"sort": "age"}, {"since": "1d"}, {"hour": "2026"}, {"kind": "gone"}, {"src": "x"}, {"min_risk": float("nan")}):
        with pytest.raises(InputError):
            pipeline.alert_list(**wrong)


def test_suppressed_alerts_are_in_no_list(home: Path) -> None:
    store(1, 2)
    pipeline.suppress(why="known", who="ana", src="10.0.0.1")
    assert listed() == ["10.0.0.2"] and pipeline.alert_list()["count"] == 1
    shown = pipeline.alert_facts(alert(1).id)
    assert shown is not None and shown["alert"]["suppressed_by"] == 1


def test_one_alert_says_why_in_sentences(home: Path) -> None:
    store(
        1,
        reasons="brute force: 44 connections in 1 h; reset: yes (usual no)",
        attack_probability=0.9,
        attack_class="brute_force",
        anomaly_score=0.7,
    )
    shown = pipeline.alert_facts(alert(1).id)
    assert shown is not None and len(shown["why"]) == 4 and shown["why"][1] == "reset: yes (usual no)"
    assert "probability of 90 %, most likely brute force" in shown["why"][2] and "0.70" in shown["why"][3]
    assert shown["conditions"] == {"kind": "brute_force", "sensor": "hq", "src": "10.0.0.1", "dst": "192.0.2.1", "port": 22}
    assert shown["command"] == "zcat 2026-11-20/*.gz | grep -F -e C1" and shown["kibana"] is None
    assert sentences({"mlids": {"reasons": None, "anomaly_score": 0.0}}) == []
    for wrong in (alert(1).id[:20], alert(9).id, "", "%", "../x"):
        assert pipeline.alert_facts(wrong) is None


def test_kibana_is_linked_when_its_address_is_set(home: Path) -> None:
    alert = {"id": "ab12", "ts": "2026-11-20T12:00:00Z"}
    found = kibana_link(load_settings(kibana_url="https://kibana.example/", kibana_space="soc"), alert)
    assert found is not None and found.startswith("https://kibana.example/s/soc/app/discover#/") and "event.id%20%3A%20%22ab12%22" in found
    assert str(kibana_link(load_settings(kibana_url="http://127.0.0.1:5601"), alert)).startswith("http://127.0.0.1:5601/app/discover#/")
    assert kibana_link(load_settings(kibana_url="javascript:alert(1)"), alert) is None is kibana_link(load_settings(), alert)


def write_days(folder: Path) -> None:
    """Ingest two days: on the first a host has one conn an hour, on the second fifty within one."""
    noon = datetime(2024, 4, 20, 12, tzinfo=UTC)
    quiet = [conn_line(UID(n), f"{(noon - timedelta(hours=30 - n)).timestamp():.6f}") for n in range(12)]
    busy = [conn_line(UID(100 + n), f"{noon.timestamp() + n:.6f}", conn_state="S0", id__resp_h=f"192.0.2.{n}") for n in range(50)]
    names = [f"{noon.timestamp():.6f}\t{UID(100 + n)}\t10.0.0.5\t5000\t192.0.2.{n}\t53\tudp\t<b>evil{n}.example\n" for n in range(50)]
    for day, files in (
        ("2024-04-19", {"conn.log": [CONN_HEADER, *quiet]}),
        ("2024-04-20", {"conn.log": [CONN_HEADER, *busy], "dns.log": [DNS, *names]}),
    ):
        (folder / day).mkdir(parents=True)
        for name, lines in files.items():
            (folder / day / name).write_text("".join(lines))
        pipeline.ingest_paths("hq", day, [folder / day])


def test_the_rows_of_an_alert_come_from_the_lake_in_order_of_time(home: Path, tmp_path: Path) -> None:
    write_days(tmp_path / "logs")
    noon, uids = datetime(2024, 4, 20, 12, tzinfo=UTC), [UID(103), UID(101), "Cgone"]
    store(5, when=noon, last_ts=noon + timedelta(minutes=5), src="10.0.0.5", uids=uids)
    found = pipeline.alert_rows(alert(5).id)
    assert found is not None and [r["uid"] for r in found["conns"]] == [UID(101), UID(103)] and found["named"] == 3
    assert found["conns"][0]["ts"] == "2024-04-20 12:00:01.000" and {"id.resp_h", "conn_state", "duration"} <= set(found["columns"])
    assert [(r["log"], r["uid"]) for r in found["others"]] == [("dns", UID(101)), ("dns", UID(103))]
    assert ("query", "<b>evil1.example") in found["others"][0]["cells"] and found["problem"] is None
    usual = {u["what"]: (u["usual"], u["now"]) for u in found["usual"]}
    assert usual["connections an hour"] == (1.0, 50.0) and usual["failed connections an hour"] == (0.0, 50.0)
    assert found["neighbours"]["most"] == [{"host": "10.0.0.5", "conns": 1}] and found["target"] == "192.0.2.1"
    to_one, to_many = (
        GroupKey(letter * 32, "hq", "beacon", "10.0.0.5", target, 0) for letter, target in (("a", "192.0.2.7:443/tcp"), ("b", ""))
    )
    store(7, when=noon, last_ts=noon, src="10.0.0.5", dst="192.0.2.7", uids=[UID(107)], key=to_one)
    store(8, when=noon, last_ts=noon, src="10.0.0.5", dst="192.0.2.7", uids=[UID(107)], key=to_many)
    shared, scan = pipeline.alert_rows(to_one.id), pipeline.alert_rows(to_many.id)
    assert scan is not None and scan["neighbours"] is None, "it has many destinations"
    assert shared is not None and shared["neighbours"] == {"of": 1, "hosts": 1, "most": [{"host": "10.0.0.5", "conns": 13}]}
    store(6, when=noon, last_ts=noon, src="10.9.9.9", uids=[])
    bare = pipeline.alert_rows(alert(6).id)
    assert bare is not None and bare["conns"] == bare["others"] == [] and bare["usual"] is None
    assert pipeline.alert_rows("0" * 32) is None
    (part,) = (home / "lake" / "conn" / "sensor=hq" / "date=2024-04-20").glob("part-*.parquet")
    part.write_bytes(b"damaged")
    damaged = pipeline.alert_rows(alert(5).id)
    assert damaged is not None and "damaged" in damaged["problem"]


def test_a_host_has_a_profile(home: Path, tmp_path: Path) -> None:
    write_days(tmp_path / "logs")
    store(5, src="10.0.0.5")
    (profile,) = pipeline.host_profile("10.0.0.5")["profiles"]
    assert (profile["sensor"], profile["day"]) == ("hq", "2024-04-20") and profile["usual"][0]["now"] == 50.0
    assert pipeline.host_profile("10.0.0.99")["profiles"] == []
    shown = pipeline.host_facts("10.0.0.5")
    assert shown is not None and shown["alert_count"] == 1 and shown["cases"] == [] and shown["moved"] is None
    assert pipeline.host_facts("<b>") is None
