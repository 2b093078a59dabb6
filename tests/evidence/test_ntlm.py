"""Names and passwords tried with NTLM, logins after that, and one account on many hosts."""

from __future__ import annotations

import polars as pl

from mlids.evidence.ntlm import NtlmEvidence
from tests.evidence.support import collect, kinds, later, rows


def test_many_names_that_fail_are_a_spray() -> None:
    log = rows(30, username=[f"User{i}" for i in range(30)], success=False, resp_p=445)
    [found] = collect(NtlmEvidence, ("ntlm", log))
    assert found.kind == "ntlm_guessing" and found.score >= 0.85 and "30 names that never succeeded" in found.text and found.count == 30
    assert collect(NtlmEvidence, ("ntlm", log.with_columns(pl.lit("192.0.2.1").alias("id.orig_h"))))[0].score <= 0.3


def test_a_login_after_guessing_is_strong_and_names_its_conn() -> None:
    guessing = rows(60, every_s=1, username="administrator", success=False)
    log = pl.concat([guessing, later(rows(1, username="Administrator", success=True), 70)])
    found = collect(NtlmEvidence, ("ntlm", log))
    assert found[0].kind == "ntlm_guessed" and found[0].score >= 0.85 and found[0].uids[0] == "C0+70" and "60" not in found[0].subject
    before = pl.concat([later(rows(1, username="administrator", success=True), -60), log])
    assert "ntlm_guessed" not in kinds(collect(NtlmEvidence, ("ntlm", before)))


def test_old_passwords_and_servers_of_many_users_wake_nobody() -> None:
    service = rows(300, every_s=120, username="backup", success=False)
    corrected = pl.concat([service, later(rows(1, username="backup", success=True), 40_000)])
    assert all(e.score < 0.5 for e in collect(NtlmEvidence, ("ntlm", corrected), one_day=True))
    many = rows(200, username=[f"user{i}" for i in range(200)], success=[i % 8 > 0 for i in range(200)])
    assert collect(NtlmEvidence, ("ntlm", many)) == []
    for log in (
        rows(50, username=None, success=False),
        rows(50, username=[f"u{i}" for i in range(50)], success=None),
        rows(3, username="ann", success=False),
    ):
        assert collect(NtlmEvidence, ("ntlm", log)) == []


def test_one_account_on_many_hosts_is_a_hint() -> None:
    [found] = collect(NtlmEvidence, ("ntlm", rows(60, username="admin", success=True, resp=[f"10.0.1.{i}" for i in range(60)])))
    assert found.kind == "ntlm_many_hosts" and found.subject == "admin" and 0.2 <= found.score < 0.5
    assert collect(NtlmEvidence, ("ntlm", rows(60, username="ws1$", success=True, resp=[f"10.0.1.{i}" for i in range(60)]))) == []


def test_odd_rows_are_ignored_and_the_state_is_bounded() -> None:
    odd = rows(50, username="\x00" * 70_000, success="perhaps", orig="no address")
    assert collect(NtlmEvidence, ("ntlm", odd)) == [] and collect(NtlmEvidence, ("ntlm", pl.DataFrame({"username": ["a"]}))) == []
    collector = NtlmEvidence()
    many = [f"x{i}" for i in range(80_000)]
    collector.add("ntlm", rows(80_000, username=many, success=[i % 2 > 0 for i in range(80_000)]))
    assert max(t.height for t in collector.tables.values()) <= 50_000
