"""Password guessing, logins after it, and tools in ssh.log."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from mlids.evidence.base import SiteView
from mlids.evidence.ssh import SshEvidence
from mlids.zeek.reader import LogReader
from tests.evidence.support import collect, kinds, later, rows

OPENSSH = "SSH-2.0-OpenSSH_9.6"


def test_guessing_inside_is_strong_and_from_outside_background() -> None:
    guessing = rows(40, auth_success=False, auth_attempts=6)
    [inside] = collect(SshEvidence, ("ssh", guessing))
    [outside] = collect(SshEvidence, ("ssh", guessing.with_columns(pl.lit("192.0.2.1").alias("id.orig_h"))))
    assert inside.kind == outside.kind == "ssh_guessing" and inside.score >= 0.8 and outside.score <= 0.3
    assert "40 failed sessions with 240 tries" in inside.text and inside.target == "10.0.1.1" and inside.port == 22
    assert inside.uids == tuple(f"C{i}" for i in range(10)) and inside.count == 40


def test_a_login_after_guessing_is_the_strongest_and_names_its_session() -> None:
    log = pl.concat([rows(40, auth_success=False, auth_attempts=6), later(rows(1, auth_success=True, auth_attempts=1), 900)])
    for source in ("10.0.0.5", "192.0.2.1"):
        found = collect(SshEvidence, ("ssh", log.with_columns(pl.lit(source).alias("id.orig_h"))))
        assert found[0].kind == "ssh_guessed" and found[0].score >= 0.9 and found[0].uids[0] == "C0+900"
        assert "C0+900" in found[0].text and found[0].count == 40


def test_a_login_after_failures_at_many_servers_is_found_at_the_server_that_let_it_in() -> None:
    spray = rows(30, auth_success=False, auth_attempts=1, resp=[f"10.0.1.{i}" for i in range(30)])
    found = collect(SshEvidence, ("ssh", pl.concat([spray, later(rows(1, auth_success=True, auth_attempts=1, resp="10.0.1.7"), 900)])))
    assert found[0].kind == "ssh_guessed" and found[0].target == "10.0.1.7" and found[0].score >= 0.7


def test_people_and_jobs_are_no_evidence() -> None:
    mistyped = pl.concat([rows(2, auth_success=False, auth_attempts=3), later(rows(1, auth_success=True, auth_attempts=1), 60)])
    jobs = rows(60, auth_success=[i % 30 > 0 for i in range(60)], auth_attempts=1, resp=[f"10.0.1.{i}" for i in range(60)])
    unknown = rows(300, auth_success=None, auth_attempts=0)
    without = rows(300)
    for log in (mistyped, jobs, unknown, without):
        assert collect(SshEvidence, ("ssh", log)) == []


def test_a_job_with_an_old_password_wakes_nobody_and_a_host_of_many_users_does_not_either() -> None:
    job = rows(600, every_s=60, auth_success=False, auth_attempts=1)
    assert max(e.score for e in collect(SshEvidence, ("ssh", job))) < 0.5
    repaired = pl.concat([job.head(300), later(rows(1, auth_success=True, auth_attempts=1), 20_000)])
    assert all(e.score < 0.5 for e in collect(SshEvidence, ("ssh", repaired)))
    jump = rows(200, every_s=60, auth_success=[i % 4 > 0 for i in range(200)], auth_attempts=2)
    assert all(e.score < 0.5 for e in collect(SshEvidence, ("ssh", jump)))


def test_days_are_apart_unless_all_rows_are_one() -> None:
    slow = rows(40, every_s=86_400 / 2, auth_success=False, auth_attempts=6)
    login = later(rows(1, auth_success=True, auth_attempts=1), 86_400 * 25)
    assert collect(SshEvidence, ("ssh", pl.concat([slow, login]))) == []
    assert kinds(collect(SshEvidence, ("ssh", pl.concat([slow, login])), one_day=True))[:1] == ["ssh_guessed"]


def test_status_of_older_versions_counts() -> None:
    old = rows(40, status="failure", client=OPENSSH)
    assert kinds(collect(SshEvidence, ("ssh", old))) == ["ssh_guessing"]
    assert collect(SshEvidence, ("ssh", old.with_columns(status=pl.lit("undetermined")))) == []


def test_scanners_by_their_banner_and_software_that_one_host_has() -> None:
    [tool] = collect(SshEvidence, ("ssh", rows(5, client="SSH-2.0-Nmap-SSH2-Hostkey")))
    assert tool.kind == "ssh_tool" and tool.subject == "nmap" and tool.score >= 0.5
    many = rows(30, client=OPENSSH, auth_success=True, orig=[f"10.0.2.{i}" for i in range(30)])
    [rare] = collect(SshEvidence, ("ssh", pl.concat([many, rows(2, client="SSH-2.0-Go", auth_success=True)])))
    assert rare.kind == "ssh_rare_software" and rare.subject == "Go" and rare.score < 0.5
    assert collect(SshEvidence, ("ssh", rows(2, client="SSH-2.0-Go"))) == []


def test_odd_rows_are_ignored() -> None:
    odd = rows(40, auth_success="maybe", auth_attempts="many", client="\x16\x03" * 40_000, server=float("nan"), orig="no address")
    assert collect(SshEvidence, ("ssh", odd)) == []
    assert collect(SshEvidence, ("ssh", rows(40, auth_success=False, orig=None))) == []
    assert collect(SshEvidence, ("ssh", pl.DataFrame({"ts": ["yesterday"], "auth_success": [False]}))) == []
    untimed = rows(40, auth_success=False, auth_attempts=6).with_columns(ts=pl.lit("x"))
    assert kinds(collect(SshEvidence, ("ssh", untimed))) == ["ssh_guessing"]


def test_the_state_is_bounded() -> None:
    collector = SshEvidence()
    log = rows(120_000, auth_success=False, orig=[f"x{i}" for i in range(120_000)], client=[f"SSH-2.0-a{i}" for i in range(120_000)])
    collector.add("ssh", log)
    collector.add("ssh", log)
    assert max(t.height for t in collector.tables.values()) <= 50_000
    assert len(collector.evidence(SiteView())) <= 2_000


def test_hydra_in_a_real_log(real_data: Path) -> None:
    batches = [b.frame for b in LogReader(real_data / "more" / "ssh-brute-b" / "ssh.log.gz", log="ssh")]
    [found] = collect(SshEvidence, ("ssh", pl.concat(batches)), site=SiteView())
    assert found.kind == "ssh_guessing" and found.score >= 0.9 and found.count > 2_000
    batches = [b.frame for b in LogReader(real_data / "stratosphere" / "006-zeek-scenario-ssh" / "ssh.log", log="ssh")]
    assert collect(SshEvidence, ("ssh", pl.concat(batches))) == []
