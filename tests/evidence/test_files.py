"""Fetched programs: their type against their name, where they came from, and what pe.log adds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mlids.evidence.base import Evidence, SiteView
from mlids.evidence.files import FetchedFiles
from tests.evidence.http_rows import INSIDE, OUTSIDE, SERVER, START, found, log, of_folder, request

PROGRAM: dict[str, Any] = {"resp_mime_types": ["application/x-dosexec"]}
POWERSHELL = "Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1"


def only(**cells: Any) -> tuple[str, float] | None:
    pieces = found(FetchedFiles, [request(**{**PROGRAM, **cells})])
    assert len(pieces) <= 1
    return (pieces[0].kind, pieces[0].score) if pieces else None


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"uri": "/images/logo.png"}, ("program_disguised", 0.65)),
        ({"uri": "/a.txt?v=2", "host": OUTSIDE}, ("program_disguised", 0.85)),
        ({"uri": "/download.php", "resp_filenames": ["invoice.pdf.exe"]}, ("program_disguised", 0.8)),
        ({"uri": "/get.jpg", "resp_filenames": ["setup.exe"]}, ("program_rare_host", 0.15)),
        ({"uri": "/x.jpg", "host": "dl.delivery.mp.microsoft.com"}, ("program_disguised", 0.2)),
        ({"uri": "/setup.exe", "host": OUTSIDE}, ("program_bare_host", 0.6)),
        ({"uri": "/m", "host": OUTSIDE, "user_agent": POWERSHELL}, ("program_bare_host", 0.75)),
        ({"uri": "/bins/mips", "host": "", "user_agent": "Wget/1.21", "resp_mime_types": ["application/x-executable"]},
        ("program_bare_host", 0.75)),
        ({"uri": "/filestreamingservice/files/1", "host": OUTSIDE, "user_agent": "Microsoft-Delivery-Optimization/10.0"},
        ("program_bare_host", 0.15)),
        ({"uri": "/tool.exe", "host": SERVER, "id__resp_h": SERVER}, ("program_bare_host", 0.25)),
        ({"uri": "/agent.dll", "host": SERVER, "id__resp_h": SERVER, "user_agent": POWERSHELL}, ("program_bare_host", 0.5)),
        ({"uri": "/wp-content/themes/x/24c.exe"}, ("program_rare_host", 0.55)),
        ({"uri": "/781h9jb/", "host": "x.ddns.net"}, ("program_rare_host", 0.5)),
        ({"uri": "/setup.exe", "host": "www.example.org"}, ("program_rare_host", 0.15)),
        ({"uri": "/d/msdownload/x.exe", "host": "download.windowsupdate.com"}, None),
        ({"uri": "/tool.exe", "host": "files.site.example", "id__resp_h": SERVER}, None),
        ({"uri": "/logo.png", "status_code": 404}, None),
        ({"uri": "/logo.png", "resp_mime_types": ["image/png"]}, None),
        ({"uri": "/wpad.dat", "resp_mime_types": ["application/x-msdownload"]}, None),  # a server's claim, not what Zeek saw
        ({"uri": "/logo.png", "id__orig_h": "198.51.100.1"}, None),
        ({"uri": "/bin.sh", "host": OUTSIDE, "user_agent": None, "resp_mime_types": None}, ("script_bare_host", 0.5)),
        ({"uri": "/a.ps1", "host": OUTSIDE, "resp_mime_types": ["text/plain"]}, ("script_bare_host", 0.35)),
        ({"uri": "/a.ps1", "host": "www.example.org", "resp_mime_types": ["text/plain"]}, None),
    ],
)  # fmt: skip
def test_what_was_fetched(cells: dict[str, Any], expected: tuple[str, float] | None) -> None:
    assert only(**cells) == expected


def test_what_many_hosts_fetch_counts_half() -> None:
    rows = [request(i, id__orig_h=f"10.0.0.{i}", uri="/logo.png", **PROGRAM) for i in range(6)]
    pieces = found(FetchedFiles, rows)
    assert len(pieces) == 6 and {e.score for e in pieces} == {0.325}


def with_files(
    files: list[dict[str, Any]], facts: Sequence[dict[str, Any]] = (), requests: Sequence[dict[str, Any]] = ()
) -> list[Evidence]:
    by_log = FetchedFiles()
    for name, rows in (("pe", list(facts)), ("files", files)):
        by_log.add(name, pl.DataFrame(list(rows), schema_overrides={"ts": pl.Datetime("us", "UTC")} if rows and "ts" in rows[0] else None))
    if requests:
        by_log.add("http", log(requests))
    return by_log.evidence(SiteView())


def test_size_and_facts_of_the_program_are_joined_by_its_id() -> None:
    rows = [request(7, uri="/setup.exe", host="www.example.org", **PROGRAM)]
    files = [{"ts": START, "fuid": "F7", "source": "HTTP", "mime_type": "application/x-dosexec", "seen_bytes": 35_840, "total_bytes": None}]
    facts = {"ts": START, "id": "F7", "has_cert_table": False, "section_names": ["UPX0", "UPX1"], "compile_ts": START + timedelta(days=900)}
    (one,) = with_files(files, [facts], rows)
    assert one.score == 0.45 and "35.8 KB" in one.text and "not signed" in one.text and "packer" in one.text and "impossible" in one.text
    (signed,) = with_files(files, [facts | {"has_cert_table": True, "section_names": [".text"], "compile_ts": START}], rows)
    assert signed.score == 0.15 and "not signed" not in signed.text
    (seconds,) = with_files([], [facts | {"compile_ts": 0.0, "section_names": None}], rows)
    assert seconds.score == 0.35 and "impossible" in seconds.text


@pytest.mark.parametrize(
    "ends",
    [
        {"id.orig_h": INSIDE, "id.resp_h": OUTSIDE, "id.resp_p": 21, "uid": "C1"},
        {"tx_hosts": [OUTSIDE], "rx_hosts": [INSIDE], "conn_uids": ["C1"], "is_orig": False},
    ],
)
def test_programs_by_other_protocols(ends: dict[str, Any]) -> None:
    program = {"ts": START, "fuid": "F1", "mime_type": "application/x-dosexec", "seen_bytes": 5_000_000, **ends}
    (ftp,) = with_files([program | {"source": "FTP_DATA"}])
    assert (ftp.kind, ftp.score, ftp.source, ftp.target, ftp.uids, ftp.log) == ("program_transfer", 0.3, INSIDE, OUTSIDE, ("C1",), "files")
    (mail,) = with_files([program | {"source": "SMTP", "filename": "invoice.pdf.exe"}])
    assert mail.kind == "program_by_mail" and mail.score == 0.45 and "invoice.pdf.exe" in mail.text
    for source in ("HTTP", "SMB", None):
        assert with_files([program | {"source": source}]) == []
    assert with_files([program | {"source": "FTP_DATA", "mime_type": "image/png"}]) == []


def test_a_log_without_the_lists_of_files_is_judged_all_the_same() -> None:
    by_log = FetchedFiles()
    rows = [request(1), request(2, uri="/x.png", host=OUTSIDE, **PROGRAM), request(3, id__orig_h=None)]
    by_log.add("http", log(rows).drop("resp_fuids", "resp_filenames"))
    (one,) = by_log.evidence(SiteView())
    assert one.score == 0.85 and one.uids == ("C2",)


def test_real_captures(real_data: Path) -> None:
    def scores(folder: str) -> dict[str, float]:
        return {e.kind: e.score for e in reversed(of_folder(FetchedFiles, real_data / folder))}

    assert scores("more/meterpreter-browse") == {"program_bare_host": 0.5}
    assert scores("more/sendsafe")["program_rare_host"] >= 0.5 and scores("zat/data")["program_rare_host"] == 0.5
    assert scores("more/zeus-p2p") == {"program_rare_host": 0.35} and scores("slips/test14-malicious-zeek-dir") == {"script_bare_host": 0.5}
    assert scores("otrf")["program_bare_host"] == 0.35
    for benign in (
        "more/benign-day",
        "more/zetaswitch",
        "rita/2024-04-19",
        "rita/proxy_rolling",
        "stratosphere/008-zeek-mixed",
        "stratosphere/010-zeek-mixed",
    ):
        assert scores(benign) == {}, benign
