"""Guessing, scanners and sessions from outside in rdp.log."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from mlids.evidence.base import SiteView
from mlids.evidence.rdp import RdpEvidence
from mlids.zeek.reader import LogReader
from tests.evidence.support import collect, kinds, rows


def test_many_sessions_an_hour_are_guessing() -> None:
    [found] = collect(RdpEvidence, ("rdp", rows(200, result="encrypted", cookie=None, resp_p=3389)))
    assert found.kind == "rdp_guessing" and found.score >= 0.8 and "200 sessions with 1 servers" in found.text and found.port == 3389
    many = rows(40, every_s=60, result="encrypted", cookie=[f"User{i}" for i in range(40)])
    [names] = collect(RdpEvidence, ("rdp", many))
    assert names.score >= 0.7 and "user0" in names.text


def test_from_outside_it_is_background() -> None:
    found = collect(RdpEvidence, ("rdp", rows(200, result="encrypted", cookie="Administr", orig="192.0.2.1")))
    assert sorted(kinds(found)) == ["rdp_from_outside", "rdp_guessing"] and max(e.score for e in found) <= 0.3
    refused = rows(3, result="SSL_NOT_ALLOWED_BY_SERVER", orig="192.0.2.1")
    assert collect(RdpEvidence, ("rdp", refused)) == []


def test_people_who_work_are_no_evidence() -> None:
    person = rows(12, every_s=1_800, result="encrypted", cookie="ann")
    gateway = rows(
        300, every_s=240, result="encrypted", cookie=[f"u{i % 60}" for i in range(300)], resp=[f"10.0.1.{i % 3}" for i in range(300)]
    )
    assert collect(RdpEvidence, ("rdp", person)) == []
    assert all(e.score < 0.5 for e in collect(RdpEvidence, ("rdp", gateway)))


def test_scanners_name_themselves() -> None:
    [found] = collect(RdpEvidence, ("rdp", rows(2, cookie=["nmap", "nmap"], result="Success")))
    assert found.kind == "rdp_tool" and found.subject == "nmap" and found.score >= 0.5
    [found] = collect(RdpEvidence, ("rdp", rows(1, cookie="rdp_logon_screen.nbin")))
    assert found.subject == "nessus"


def test_odd_rows_are_ignored_and_the_state_is_bounded() -> None:
    odd = rows(5, cookie=float("nan"), result=7, orig="no address", ts=[None] * 5)
    assert all(e.score <= 0.3 for e in collect(RdpEvidence, ("rdp", odd)))
    assert collect(RdpEvidence, ("rdp", pl.DataFrame({"cookie": ["nmap"]}))) == []
    collector = RdpEvidence()
    collector.add("rdp", rows(80_000, cookie=[f"x{i}" for i in range(80_000)]))
    assert collector.tables["sessions"].height <= 50_000


def test_a_scanner_in_a_real_log(real_data: Path) -> None:
    log = pl.concat([b.frame for b in LogReader(real_data / "zed" / "rdp.log.gz", log="rdp")])
    found = collect(RdpEvidence, ("rdp", log), site=SiteView())
    assert found[0].kind == "rdp_guessing" and found[0].score >= 0.8
    assert {e.subject for e in found if e.kind == "rdp_tool"} == {"nessus", "nmap"}
