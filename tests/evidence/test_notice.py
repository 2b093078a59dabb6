"""Notices of Zeek and of packages, the few weird names that matter, and hits of threat lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mlids.evidence.intel import IntelEvidence
from mlids.evidence.notice import NoticeEvidence
from mlids.evidence.weird import WeirdEvidence
from mlids.zeek.reader import LogReader
from tests.evidence.support import collect, kinds, rows


@pytest.mark.parametrize(
    ("note", "kind", "inside", "outside"),
    [
        ("Scan::Address_Scan", "horizontal_scan", 0.6, 0.15), ("Scan::Port_Scan", "vertical_scan", 0.6, 0.15),
        ("SSH::Password_Guessing", "brute_force", 0.7, 0.25), ("SSH::Login_By_Password_Guesser", "notice_login", 0.9, 0.9),
        ("HTTP::SQL_Injection_Attacker", "notice_exploit", 0.7, 0.25), ("Heartbleed::SSL_Heartbeat_Attack_Success", "notice_exploit", 0.9, 0.9),
        ("TeamCymruMalwareHashRegistry::Match", "notice_malware", 0.85, 0.6), ("AsyncRAT::C2_Traffic_Observed", "notice_c2", 0.8, 0.6),
        ("CVE_2021_44228::LOG4J_ATTEMPT_HEADER", "notice_exploit", 0.6, 0.25), ("ATTACK::Execution", "notice_lateral", 0.5, 0.5),
        ("Acme::Something_New", "notice_other", 0.2, 0.1),
    ],
)  # fmt: skip
def test_notes_have_kinds(note: str, kind: str, inside: float, outside: float) -> None:
    log = rows(3, note=note, msg="what was seen", sub=None, src="10.0.0.7", dst="10.0.1.9", p=22)
    [found] = collect(NoticeEvidence, ("notice", log))
    assert (found.kind, found.score, found.source, found.target, found.count) == (kind, inside, "10.0.0.7", "10.0.1.9", 3)
    assert note in found.text and "what was seen" in found.text and found.uids == ("C0", "C1", "C2")
    assert [e.score for e in collect(NoticeEvidence, ("notice", log.with_columns(src=pl.lit("192.0.2.1"))))] == [outside]


def test_notes_about_the_sensor_and_certificates_are_nothing() -> None:
    for note in (
        "CaptureLoss::Too_Much_Loss", "SSL::Invalid_Server_Cert", "SSL::Certificate_Expired", "Weird::Activity", "PacketFilter::Dropped_Packets",
        "Software::Vulnerable_Version", "Intel::Notice", "DNS::External_Name", "Conn::Content_Gap", "Traceroute::Detected",
    ):  # fmt: skip
        assert collect(NoticeEvidence, ("notice", rows(3, note=note, msg="m"))) == [], note


def test_a_scan_says_itself_where_its_source_is() -> None:
    log = rows(1, note="Scan::Address_Scan", msg="scanned", sub="local", src="192.0.2.1", orig=None, resp=None)
    assert [e.score for e in collect(NoticeEvidence, ("notice", log))] == [0.6]
    assert [e.score for e in collect(NoticeEvidence, ("notice", log.with_columns(sub=pl.lit("remote"))))] == [0.15]


def test_weird_names_of_scanners_inside_are_hints_and_all_others_nothing() -> None:
    [found] = collect(WeirdEvidence, ("weird", rows(30, name=["TCP_christmas", "baroque_SYN"] * 15)))
    assert found.kind == "odd_tcp_flags" and 0.2 <= found.score < 0.5
    assert collect(WeirdEvidence, ("weird", rows(30, name="TCP_christmas", orig="192.0.2.1"))) == []
    assert collect(WeirdEvidence, ("weird", rows(9_000, name="bad_HTTP_request"))) == []


def dotted(indicator: Any) -> dict[str, Any]:
    """Return the column `seen.indicator`."""
    return {"seen.indicator": indicator}


def hits(n: int, **more: object) -> pl.DataFrame:
    """Return rows of intel.log."""
    given = {
        "seen.indicator": "evil.example", "seen.indicator_type": "Intel::DOMAIN", "seen.where": "DNS::IN_REQUEST", "sources": [["abuse.ch"]] * n, **more
    }  # fmt: skip
    return rows(n, every_s=10.0, **given)


def test_a_hit_names_indicator_list_and_where() -> None:
    [found] = collect(IntelEvidence, ("intel", hits(3)))
    assert found.kind == "intel" and found.score == 0.7 and found.subject == "evil.example" and found.log == "intel" and found.count == 3
    assert all(word in found.text for word in ("3 hits", "evil.example", "domain", "DNS::IN_REQUEST", "abuse.ch"))
    [asked] = collect(IntelEvidence, ("intel", hits(2, **{"seen.where": "HTTP::IN_HOST_HEADER", "sources": ["a,b"] * 2})))
    assert asked.score == 0.9


def test_a_scanner_on_a_list_that_comes_from_outside_is_background() -> None:
    log = hits(5, orig="192.0.2.1", **{"seen.indicator": "192.0.2.1", "seen.where": "Conn::IN_ORIG", "seen.indicator_type": "Intel::ADDR"})
    assert [e.score for e in collect(IntelEvidence, ("intel", log))] == [0.25]
    inside = log.with_columns(pl.lit("10.0.0.5").alias("id.orig_h"), pl.lit("Conn::IN_RESP").alias("seen.where"))
    assert [e.score for e in collect(IntelEvidence, ("intel", inside))] == [0.7]


def test_hits_in_both_logs_count_once_and_those_in_notices_alone_as_well() -> None:
    notices = rows(3, note="Intel::Notice", msg="Intel hit on evil.example at DNS::IN_REQUEST", sub="evil.example")
    [both] = collect(IntelEvidence, ("intel", hits(3)), ("notice", notices))
    [alone] = collect(IntelEvidence, ("notice", notices))
    assert both.count == 3 and both.log == "intel" and alone.log == "notice" and alone.score == 0.7 and "DNS::IN_REQUEST" in alone.text


def test_odd_rows_are_ignored_and_the_state_is_bounded() -> None:
    odd = rows(
        5,
        note=7,
        msg=float("nan"),
        sub="x" * 70_000,
        src="no address",
        name=[[1]] * 5,
        sources=[1] * 5,
        **dotted("\x00" * 70_000),
    )
    for make, log in ((NoticeEvidence, "notice"), (WeirdEvidence, "weird"), (IntelEvidence, "intel")):
        collect(make, (log, odd))
        assert collect(make, (log, pl.DataFrame({"note": ["Scan::Port_Scan"], "name": ["TCP_christmas"]}))) == []
    many = [f"x{i}" for i in range(60_000)]
    for make, log in ((NoticeEvidence, "notice"), (WeirdEvidence, "weird"), (IntelEvidence, "intel")):
        collector = make()
        collector.add(log, rows(60_000, note="Acme::New", name="TCP_christmas", orig=many, src=many, **dotted(many)))
        assert max(t.height for t in collector.tables.values()) <= 20_000


def test_a_benign_day_has_no_notice_that_matters(real_data: Path) -> None:
    notices = [b.frame for p in sorted((real_data / "more" / "benign-day").glob("notice*")) for b in LogReader(p, log="notice")]
    assert notices and collect(NoticeEvidence, ("notice", pl.concat(notices, how="diagonal_relaxed"))) == []
    weird = pl.concat([b.frame for b in LogReader(real_data / "zed" / "weird.log.gz", log="weird")])
    assert weird.height > 10_000 and kinds(collect(WeirdEvidence, ("weird", weird))) == []
