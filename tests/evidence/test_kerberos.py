"""Roasting, and names or passwords tried with Kerberos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from mlids.evidence.kerberos import KerberosEvidence
from mlids.zeek.reader import LogReader
from tests.evidence.support import collect, kinds, later, rows

RC4, AES = "rc4-hmac", "aes256-cts-hmac-sha1-96"


def tickets(n: int, cipher: str = RC4, **columns: Any) -> pl.DataFrame:
    """Return `n` tickets for services of user accounts."""
    given = {"service": [f"MSSQLSvc/db{i}.corp.example:1433" for i in range(n)], "client": "ann/CORP.EXAMPLE", "success": True, **columns}
    return rows(n, every_s=0.5, request_type="TGS", cipher=cipher, **given)


def logins(names: list[str], error: str | None = None) -> pl.DataFrame:
    """Return one request for each name."""
    n = len(names)
    return rows(
        n,
        every_s=1,
        request_type="AS",
        client=[f"{name}/CORP.EXAMPLE" for name in names],
        success=error is None,
        error_msg=error,
        resp_p=88,
    )


def test_weak_tickets_of_many_user_accounts_are_kerberoasting() -> None:
    [found] = collect(KerberosEvidence, ("kerberos", tickets(12)))
    assert found.kind == "kerberoasting" and found.score >= 0.85 and "12 services" in found.text and "mssqlsvc/db0" in found.text
    # By account name, as some tools ask.
    [found] = collect(KerberosEvidence, ("kerberos", tickets(6, service=[f"svc_{i}" for i in range(6)])))
    assert 0.5 <= found.score < 0.85


def test_tickets_that_clients_need_are_no_evidence() -> None:
    computers = [f"{service}/h{i}.corp.example" for service in ("cifs", "HOST", "LDAP", "TERMSRV") for i in range(20)] + [
        f"ws{i}$" for i in range(20)
    ]
    for log in (
        tickets(100, service=computers), tickets(3), tickets(20, AES), tickets(60, service="http/intranet.corp.example"),
        tickets(50, success=False), tickets(50, AES, service="krbtgt/CORP.EXAMPLE"),
    ):  # fmt: skip
        assert collect(KerberosEvidence, ("kerberos", log)) == []


def test_where_all_hosts_use_weak_tickets_these_say_less() -> None:
    others = later(tickets(60, orig=[f"10.0.3.{i}" for i in range(60)], service="http/intranet"), 100)
    assert all(e.score < 0.5 for e in collect(KerberosEvidence, ("kerberos", pl.concat([tickets(12), others]))))
    strong = others.with_columns(cipher=pl.lit(AES))
    assert collect(KerberosEvidence, ("kerberos", pl.concat([tickets(12), strong])))[0].score >= 0.85


def test_many_names_that_never_log_in_are_guessing() -> None:
    names = [f"user{i}" for i in range(40)]
    for error in ("KDC_ERR_PREAUTH_FAILED", "KDC_ERR_C_PRINCIPAL_UNKNOWN"):
        [found] = collect(KerberosEvidence, ("kerberos", logins(names, error)))
        assert found.kind == "kerberos_guessing" and found.score >= 0.85 and "40 of 40 names" in found.text
    [listed] = collect(KerberosEvidence, ("kerberos", logins(names, "KDC_ERR_PREAUTH_REQUIRED")))
    assert listed.kind == "kerberos_guessing" and 0.3 <= listed.score <= 0.7
    outside = logins(names, "KDC_ERR_PREAUTH_FAILED").with_columns(pl.lit("192.0.2.1").alias("id.orig_h"))
    assert collect(KerberosEvidence, ("kerberos", outside))[0].score <= 0.3


def test_answers_without_preauthentication_among_names_that_need_it_are_roasting() -> None:
    log = pl.concat([logins([f"user{i}" for i in range(40)], "KDC_ERR_PREAUTH_REQUIRED"), logins(["svc_old"])], how="diagonal_relaxed")
    found = collect(KerberosEvidence, ("kerberos", log))
    assert "asrep_roasting" in kinds(found) and found[0].score >= 0.8 and "svc_old" in found[0].text


def test_servers_that_people_log_in_through_are_no_evidence() -> None:
    people = [f"user{i}" for i in range(200)]
    log = pl.concat([logins(people, "KDC_ERR_PREAUTH_REQUIRED"), logins(people), logins(people[:12], "KDC_ERR_PREAUTH_FAILED"), logins([f"typo{i}" for i in range(9)], "KDC_ERR_C_PRINCIPAL_UNKNOWN")], how="diagonal_relaxed")  # fmt: skip
    assert collect(KerberosEvidence, ("kerberos", log)) == []
    stale = logins(["svc"] * 400, "KDC_ERR_PREAUTH_FAILED")
    assert collect(KerberosEvidence, ("kerberos", stale)) == []


def test_odd_rows_are_ignored() -> None:
    odd = rows(
        50, request_type=9, client=float("nan"), service="x" * 70_000, success="yes", cipher=None, error_msg=["?"] * 50, orig="no address"
    )
    assert collect(KerberosEvidence, ("kerberos", odd)) == []
    assert collect(KerberosEvidence, ("kerberos", pl.DataFrame({"request_type": ["TGS"]}))) == []


def test_the_state_is_bounded() -> None:
    collector = KerberosEvidence()
    many = [f"x{i}" for i in range(80_000)]
    collector.add("kerberos", tickets(80_000, service=many, orig=many))
    collector.add("kerberos", logins(many, "KDC_ERR_PREAUTH_FAILED"))
    assert max(t.height for t in collector.tables.values()) <= 50_000


def test_an_office_domain_is_no_evidence(real_data: Path) -> None:
    folder = real_data / "otrf" / "datasets" / "compound" / "apt29" / "day2" / "zeek" / "individual_zeek_logs"
    log = pl.concat([b.frame for b in LogReader(folder / "NEWYORK_kerberos.log", log="kerberos")])
    assert log.height > 40 and collect(KerberosEvidence, ("kerberos", log)) == []
