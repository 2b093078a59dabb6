"""How evidence becomes cases: what adds up, what does not, whose case it is, and what is background."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from mlids.cases.gathering import combined, gather
from mlids.cases.severity import Severity
from mlids.evidence.base import Evidence, SiteView
from mlids.evidence.names import Names
from tests.support.evidence import BEACON, piece


def only(evidence: list[Evidence], site: SiteView | None = None) -> tuple[str, Severity, float]:
    (case,) = gather(evidence, site or SiteView(), "hq").cases
    return case.subject.host, case.severity, case.score


def test_independent_evidence_adds_up_and_repetition_does_not() -> None:
    alone = only([BEACON])[2]
    assert alone == pytest.approx(80.0)
    again = [piece(first=BEACON.last, uids=("C9",)) for _ in range(9)]
    assert only([BEACON, *again])[2] == pytest.approx(alone)
    assert only([BEACON, piece("odd_port", 0.7)])[2] == pytest.approx(alone), "conn.log has one voice about one other side"
    unsigned = piece("self_signed", 0.5, log="ssl")
    assert only([BEACON, unsigned])[2] == pytest.approx(90.0)
    assert only([BEACON, unsigned])[1] is Severity.HIGH
    bare = piece("no_server_name", 0.4, log="ssl")
    assert only([unsigned, bare])[2] == pytest.approx(60.0), "kinds of one log overlap: the second counts half"


def test_hints_against_many_servers_make_no_case_of_medium_severity() -> None:
    hints = [piece("beacon", 0.29, target=f"203.0.113.{n}") for n in range(40)]
    hints += [piece("bare_host", 0.25, target=f"198.51.100.{n}", log="http") for n in range(40)]
    assert combined(hints) < 0.5
    assert only(hints)[1] is Severity.LOW


def test_a_case_is_about_the_inside_host_and_one_attacked_service() -> None:
    outside = [piece("brute_force", 0.7, source=f"198.51.100.{n}", target="10.0.0.9", port=22) for n in (1, 2)]
    found = gather([BEACON, *outside], SiteView(), "hq").cases
    assert [(c.subject.host, c.subject.service) for c in found] == [("10.0.0.5", ""), ("10.0.0.9", "22/tcp")]
    assert found[1].title.startswith("198.51.100.") and "10.0.0.9 on port 22/tcp" in found[1].title


def test_guessing_by_the_whole_internet_is_low_and_success_is_not() -> None:
    noise = [piece("brute_force", 0.9, source=f"198.51.100.{n}", target="10.0.0.9", port=22) for n in range(5)]
    assert only(noise)[1] is Severity.LOW
    login = piece("ssh_success_after_guessing", 0.95, source="198.51.100.3", target="10.0.0.9", port=22, log="ssh")
    host, severity, _ = only([*noise, login])
    assert host == "10.0.0.9" and severity is Severity.CRITICAL


def test_probes_from_outside_are_background() -> None:
    probes = [piece("vertical_scan", 0.97, source=f"198.51.100.{n}", target="10.0.0.9", count=30) for n in range(7)]
    gathered = gather([*probes, BEACON], SiteView(), "hq")
    assert [c.subject.host for c in gathered.cases] == ["10.0.0.5"]
    assert (gathered.background.sources, gathered.background.conns) == (7, 210)
    inside = piece("vertical_scan", 0.97, source="10.0.0.7", target="10.0.0.9")
    assert only([inside])[0] == "10.0.0.7"


def test_probes_of_one_service_by_very_many_sources_at_once_are_a_flood() -> None:
    assert BEACON.first is not None

    def probes(sources: int, apart_s: float) -> list[Evidence]:
        at = [BEACON.first + timedelta(seconds=n * apart_s) for n in range(sources)]  # type: ignore[operator]
        return [
            piece("inbound_probes", 0.7, source=f"198.51.{n // 250}.{n % 250}", target="10.0.0.9", port=443, first=t, last=t)
            for n, t in enumerate(at)
        ]

    (case,) = gather(probes(400, 0.5), SiteView(), "hq").cases
    assert case.subject.host == "10.0.0.9" and case.severity is Severity.MEDIUM
    assert case.title == "198.51.0.0 and 399 other hosts flood 10.0.0.9 on port 443/tcp"
    assert gather(probes(400, 200.0), SiteView(), "hq").cases == [], "a day of probes is background"


def test_a_beacon_from_outside_is_a_case_of_its_own() -> None:
    inward = piece("beacon", 0.6, source="198.51.100.7", target="10.0.0.80", port=80)
    attacks = [piece("web_attack", 0.9, source="198.51.100.8", target="10.0.0.80", port=80, log="http")]
    found = gather([inward, *attacks], SiteView(), "hq").cases
    assert sorted(c.subject.source for c in found) == ["", "198.51.100.7"]


def named(address: str, name: str) -> SiteView:
    names = Names()
    names.add("dns", pl.DataFrame({"query": [name], "answers": [[address]]}))
    conns = pl.DataFrame({"id.orig_h": ["10.0.0.5", "10.0.0.6", None], "id.resp_h": [address, address, address]})
    return SiteView(names=names, conns=lambda: [conns])


def test_names_leave_less_of_sizes_and_times_and_a_vendors_name_little() -> None:
    assert only([BEACON], named(BEACON.target, "c2.example.org"))[1] is Severity.MEDIUM
    gathered = gather([BEACON], named(BEACON.target, "v10.events.data.microsoft.com"), "hq")
    assert gathered.cases == [], "a vendor's telemetry"
    download = piece("disguised_program", 0.8, log="http")
    (case,) = gather([download], named(BEACON.target, "dl.microsoft.com"), "hq").cases
    assert case.score == pytest.approx(80.0), "a name explains sizes and times only"
    assert case.others[BEACON.target].hosts == 2 and "(dl.microsoft.com)" in case.title


def test_dns_log_refutes_what_sizes_suggest() -> None:
    suggested = piece("dns_tunnel", 0.6, port=53, proto="udp")
    assert only([suggested])[2] == pytest.approx(60.0)
    assert only([suggested], named("192.0.2.99", "a.example.org"))[2] == pytest.approx(30.0), "dns.log was read and shows no tunnel"
    proven = piece("dns_tunnel", 0.9, port=53, proto="udp", log="dns", subject="t.example.org")
    assert only([suggested, proven], named("192.0.2.99", "a.example.org"))[2] > 90.0


def test_hostile_texts_stay_texts() -> None:
    odd = piece("{target}", 0.9, source="not an address", target="", subject="{service}" * 9_000, port=None, log="weird")
    (case,) = gather([odd], SiteView(), "hq").cases
    assert case.subject.host == "not an address" and len(case.title) < 400
    assert gather([piece(source="", target="")], SiteView(), "hq").cases == []
    assert gather([], SiteView(), "hq").cases == []


def test_a_case_tells_its_story_as_plain_values() -> None:
    (case,) = gather([BEACON, piece("long_connection", 0.6, target="203.0.113.7", first=None, last=None)], SiteView(), "hq").cases
    document = case.as_dict()
    assert document["title"] == "10.0.0.5 calls 203.0.113.9 on port 443/tcp every 27 s"
    assert document["first"] == "2026-11-04T12:00:00.000000Z" and document["uids"] == ["C1", "C2"]
    assert document["techniques"][0] == "T1071" and "203.0.113.9" in document["next_steps"][0]
    assert [text for _, text in case.timeline] == [document["title"]]
    again = gather([BEACON, piece("long_connection", 0.6, target="203.0.113.7")], SiteView(), "hq").cases[0]
    assert again.id == case.id


@pytest.mark.parametrize(
    ("weak", "strong"),
    [
        (piece("brute_force", 0.55, target="10.0.0.9", port=5432), piece("brute_force", 0.55, target="10.0.0.9", port=22)),
        (piece("calling", 0.6, port=53), piece("calling", 0.6, port=8443)),
        (piece("long_connection", 0.6, target="10.0.0.9"), piece("long_connection", 0.6)),
    ],
)
def test_what_ordinary_hosts_do_counts_less(weak: Evidence, strong: Evidence) -> None:
    assert only([weak])[1] is Severity.LOW and only([strong])[1] is Severity.MEDIUM


def test_failed_calls_to_peers_are_no_scan_besides() -> None:
    peers = piece("peer_to_peer", 0.4, target="203.0.113.50")
    scan = piece("slow_scan", 0.7, target="203.0.113.60")
    assert only([scan])[1] is Severity.MEDIUM and only([scan, peers])[1] is Severity.LOW
