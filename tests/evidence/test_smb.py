"""Programs on admin shares, stores of passwords and renamed files in smb_files.log and smb_mapping.log."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from mlids.evidence.smb import SmbEvidence
from mlids.zeek.reader import LogReader
from tests.evidence.support import collect, kinds, rows

ADMIN, SHARE = r"\\10.0.1.1\ADMIN$", r"\\files.corp.example\projects"
OPEN, RENAME = "SMB::FILE_OPEN", "SMB::FILE_RENAME"


@pytest.mark.parametrize(
    ("path", "name", "size", "kind", "low", "high"),
    [
        (ADMIN, "PSEXESVC.exe", 0, "smb_remote_execution", 0.5, 0.7), (ADMIN, r"Temp\a.ps1", 0, "smb_remote_execution", 0.6, 0.8),
        (r"\\10.0.1.1\C$", r"Windows\kXqBzTfa.exe", 0, "smb_remote_execution", 0.6, 0.8), (ADMIN, "__1772442123.5", 0, "smb_remote_execution", 0.9, 1.0),
        (ADMIN, r"ccmsetup\ccmsetup.exe", 0, "smb_remote_execution", 0.1, 0.3), (r"\\10.0.1.1\IPC$", "svc-host-4120-stdin", 0, "smb_remote_execution", 0.7, 0.8),
        (ADMIN, r"SYSTEM32\qwhdjzta.tmp", 65_536, "smb_password_store", 0.7, 0.9), (r"\\dc\backup", r"ntds\NTDS.dit", 9_000_000, "smb_password_store", 0.8, 1.0),
        (SHARE, r"tools\lsass_4120.dmp", 0, "smb_password_store", 0.7, 0.9), (r"\\10.0.1.1\C$", r"Windows\System32\config\SAM", 65_536, "smb_password_store", 0.7, 0.9),
        (r"\\dc\sysvol", r"corp\Policies\{31B2}\Machine\Preferences\Groups\Groups.xml", 500, "smb_group_policy", 0.1, 0.3),
    ],
)  # fmt: skip
def test_files_say_what_they_are_for(path: str, name: str, size: int, kind: str, low: float, high: float) -> None:
    for double in (False, True):  # the text logs double backslashes
        share, file = (text.replace("\\", "\\\\") if double else text for text in (path, name))
        [found] = collect(SmbEvidence, ("smb_files", rows(1, action=OPEN, size=size, path=share, name=file)))
        assert found.kind == kind and low <= found.score <= high and found.target == "10.0.1.1"
        assert name.replace("\\\\", "\\").lower()[:30] in found.text


def test_what_people_do_on_shares_is_no_evidence() -> None:
    for path, name, size in (
        (SHARE, "setup.exe", 0), (ADMIN, r"System32\notepad.exe", 200_000), (r"\\dc\sysvol", r"corp\Policies\{31B2}\gpt.ini", 22), (SHARE, "README.txt", 0),
        (SHARE, r"src\config\security", 0), (r"\\10.0.1.1\IPC$", "svcctl", 0), (SHARE, "how to print.docx", 0),
    ):  # fmt: skip
        log = rows(
            20,
            action=OPEN,
            size=size,
            path=path,
            name=[name.replace(".", f"{i}.") if "README" not in name else f"d{i}\\{name}" for i in range(20)],
        )
        assert collect(SmbEvidence, ("smb_files", log)) == [], name


def test_group_policies_that_all_computers_read_are_no_evidence() -> None:
    log = rows(
        9,
        action=OPEN,
        size=500,
        path=r"\\dc\sysvol",
        name=r"corp\Policies\{3}\User\Preferences\Groups\Groups.xml",
        orig=[f"10.0.0.{i}" for i in range(9)],
    )
    assert collect(SmbEvidence, ("smb_files", log)) == []


def test_a_program_copied_to_many_hosts_spreads() -> None:
    log = rows(15, action=OPEN, size=0, path=ADMIN, name="kXqBzTfa.exe", resp=[f"10.0.1.{i}" for i in range(15)])
    [found] = collect(SmbEvidence, ("smb_files", log))
    assert found.score >= 0.9 and "15 hosts" in found.text


def test_files_of_many_types_with_one_new_ending_are_encrypted() -> None:
    before = [f"dir{i % 9}\\file{i}.{('docx', 'xlsx', 'pdf', 'jpg', 'pst')[i % 5]}" for i in range(90)]
    encrypted = rows(90, action=RENAME, path=SHARE, prev_name=before, name=[f"{b}.lockbit" for b in before])
    [found] = collect(SmbEvidence, ("smb_files", encrypted))
    assert found.kind == "smb_encryption" and found.score >= 0.9 and found.subject == "lockbit" and "90 files of 5 types" in found.text
    backup = rows(90, action=RENAME, path=SHARE, prev_name=before, name=[f"{b}.bak" for b in before])
    moved = rows(90, action=RENAME, path=SHARE, prev_name=before, name=[f"new\\{b}" for b in before])
    marked = rows(
        90, action=RENAME, path=SHARE, prev_name=[f"job{i}.dat" for i in range(90)], name=[f"job{i}.dat.taken" for i in range(90)]
    )
    assert collect(SmbEvidence, ("smb_files", backup)) == [] and collect(SmbEvidence, ("smb_files", moved)) == []
    assert all(e.score < 0.5 for e in collect(SmbEvidence, ("smb_files", marked)))


def test_a_ransom_note_in_many_folders() -> None:
    log = rows(20, action=OPEN, size=0, path=SHARE, name=[f"dir{i}\\RESTORE-MY-FILES.txt" for i in range(20)])
    [found] = collect(SmbEvidence, ("smb_files", log))
    assert found.kind == "smb_encryption" and found.score >= 0.8 and "20 folders" in found.text
    assert collect(SmbEvidence, ("smb_files", log.head(2))) == []


def test_admin_shares_of_many_hosts_are_a_hint_for_lateral_movement() -> None:
    one = rows(3, path=r"\\ws1\C$")
    many = rows(30, path=ADMIN, resp=[f"10.0.1.{i}" for i in range(30)])
    [hint] = collect(SmbEvidence, ("smb_mapping", one))
    [wide] = collect(SmbEvidence, ("smb_mapping", many))
    assert hint.kind == wide.kind == "smb_admin_shares" and hint.score <= 0.25 and wide.score >= 0.5 and wide.log == "smb_mapping"
    [outside] = collect(SmbEvidence, ("smb_mapping", one.with_columns(pl.lit("192.0.2.1").alias("id.orig_h"))))
    assert outside.score >= 0.8
    assert collect(SmbEvidence, ("smb_mapping", rows(9, path=[r"\\dc\IPC$", r"\\dc\sysvol", r"\\files\home$"] * 3))) == []


def test_odd_rows_are_ignored() -> None:
    odd = rows(5, action=7, path="\\" * 70_000, name="\x00" * 70_000, size="big", prev_name=float("nan"))
    assert collect(SmbEvidence, ("smb_files", odd), ("smb_mapping", odd)) == []
    assert collect(SmbEvidence, ("smb_files", pl.DataFrame({"name": ["ntds.dit"]})), ("smb_mapping", pl.DataFrame({"path": [1]}))) == []
    assert kinds(collect(SmbEvidence, ("smb_files", rows(1, name="ntds.dit", orig="no address")))) == ["smb_password_store"]


def test_the_state_is_bounded() -> None:
    collector = SmbEvidence()
    names = [f"f{i}.doc" for i in range(120_000)]
    orig = [f"x{i}" for i in range(120_000)]
    log = rows(120_000, action=RENAME, path=ADMIN, prev_name=names, name=[f"{n}.evil{i}.exe" for i, n in enumerate(names)], orig=orig)
    collector.add("smb_files", log)
    collector.add("smb_mapping", log)
    assert {"files", "renames", "shares"} <= set(collector.tables) and max(t.height for t in collector.tables.values()) <= 50_000


def test_group_policies_of_a_real_domain_are_no_evidence(real_data: Path) -> None:
    log = pl.concat([b.frame for b in LogReader(real_data / "more" / "warmcookie" / "smb_files.log.gz", log="smb_files")])
    assert log.height > 5 and collect(SmbEvidence, ("smb_files", log)) == []
