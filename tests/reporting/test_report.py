"""The weekly report: what is counted, and that log contents are escaped."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlids.alerts.stores.alerts import Summary
from mlids.assets import asset_folder
from mlids.reporting.report import summarize, write_report
from mlids.reporting.week import CaseWeek, WeekCounts
from mlids.text import safe
from mlids.window import Window

WEEK = Window(datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 11, 9, tzinfo=UTC))


def alert(src: str, score: float, reasons: str = "a beacon") -> dict[str, Any]:
    return {
        "src": src, "dst": "192.0.2.7", "score": score, "ts": "2026-11-04T10:00:00+00:00", "destination": {"port": 443}, "verdict": None,
        "mlids": {"kind": "beacon", "count": 1, "reasons": reasons},
    }  # fmt: skip


NONE = Summary(0, [], [], [])


def ledger(day: str, archived: int, rejected: int = 0, sensor: str = "hq") -> dict[str, Any]:
    return {
        "day": day, "sensor": sensor, "archived": archived, "rejected": rejected, "files": 24, "live": archived, "late": 0, "missing": None,
        "problems": [],
    }  # fmt: skip


def test_alerts_are_counted_for_each_day() -> None:
    found = summarize(WEEK, Summary(70_000, [], [], [alert("10.0.0.1", 82.0)]), [], None, None, [])
    assert (found["alert_count"], found["days"], found["per_day"], len(found["alerts"])) == (70_000, 7, 10_000.0, 1)


def test_days_that_are_not_in_the_ledger_are_missing() -> None:
    rows = [ledger("2026-11-03", 10, 2), ledger("2026-11-02", 20), ledger("2026-11-03", 5, 1, "branch")]
    found = summarize(WEEK, NONE, rows, None, None, [])
    assert (found["rows"], found["rejected"], found["missing"]) == (35, 3, 5)
    assert [(r["day"], r["sensor"]) for r in found["ledger"]] == [("2026-11-02", "hq"), ("2026-11-03", "branch"), ("2026-11-03", "hq")]


def test_the_audit_is_cut() -> None:
    assert len(summarize(WEEK, NONE, [], None, None, [{"why": str(n)} for n in range(30)])["audit"]) == 10


def test_log_contents_are_escaped(tmp_path: Path) -> None:
    content = summarize(
        WEEK, Summary(1, [], [], [alert("10.0.0.1", 90.0, "<script>alert(1)</script>\x1b[31m")]), [ledger("2026-11-04", 1)], None, None, []
    )
    content |= {"rules": [], "evaluation": None, "detectors": (), "warm_up": []}
    files = write_report(tmp_path, asset_folder("reports_templates"), content, "weekly")
    page = files.html.read_text(encoding="utf-8")
    assert "<script>" not in page and "&lt;script&gt;" in page and "\\x1b[31m" in page and "\x1b" not in page
    assert safe("a\nb") == "a\\x0ab"


def test_a_report_without_alerts_model_and_drift_is_written(tmp_path: Path) -> None:
    content = summarize(WEEK, NONE, [], None, None, []) | {"rules": [], "evaluation": None, "detectors": (), "warm_up": []}
    files = write_report(tmp_path, asset_folder("reports_templates"), content, "weekly")
    page = files.html.read_text(encoding="utf-8")
    assert "No alert in this week" in page and "No model is in production" in page and "7 of 7 days are not in the lake" in page
    assert files.pdf is not None and files.pdf.read_bytes().startswith(b"%PDF"), files.why


def case(title: str, **changes: Any) -> dict[str, Any]:
    evidence = {"log": "conn", "sentence": "10.0.0.5 calls 203.0.113.9 every 27 s", "text": "beacon", "count": 400}
    tls = {"log": "ssl", "sentence": "10.0.0.5 has a session", "text": "signed by itself", "count": 1}
    return {
        "id": "0123456789abcdef", "severity": "high", "title": title, "first": "2026-11-04T12:00:00.000000Z", "last": "2026-11-04T15:00:00.000000Z",
        "sensor": "hq", "state": "open", "verdict": None, "who": None, "note": None, "evidence": [evidence, tls], "next_steps": ["isolate the host"],
    } | changes  # fmt: skip


REST: dict[str, Any] = {"rules": [], "evaluation": None, "detectors": (), "warm_up": []}


def test_the_report_begins_with_the_answer_and_the_cases(tmp_path: Path) -> None:
    judged = case("10.0.0.6 scans", state="closed", verdict="false positive", who="ana", note="the scanner of the site")
    counts, before = WeekCounts(2, 2, 1, 5, 7), WeekCounts(4, 3, 1, 9, 7)
    week = CaseWeek(counts, before, 1, 0, [case("10.0.0.5 calls 203.0.113.9"), judged])
    files = write_report(tmp_path, asset_folder("reports_templates"), summarize(WEEK, NONE, [], None, None, [], week) | REST, "weekly")
    page = files.html.read_text(encoding="utf-8")
    order = [
        "Should I worry?",
        "Yes: 2 cases",
        "What changed?",
        "Cases of the week",
        "signed by itself",
        "isolate the host",
        "Alerts by behaviour",
    ]
    assert [page.index(text) for text in order] == sorted(page.index(text) for text in order)
    assert '<span class="unbroken">203.0.113.9</span>' in page and "closed as false positive by ana: the scanner of the site" in page
    assert page.count("Next: ") == 1, "a closed case needs no next step"
    assert ">-2<" in page and ">-4<" in page


def test_hostile_cases_stay_text_inside_the_margins(tmp_path: Path) -> None:
    """The PDF is read back: no word of it lies outside the printed area, and addresses are whole."""
    import subprocess

    from tests.conftest import need_program

    address = "2001:db8:1234:5678:9abc:def0:1234:5678"
    title = f"{address} <script>alert(1)</script>\x1b[31m {'A' * 5_000}"
    cases = [
        case(title, note="B" * 2_000),
        case(f"{'word ' * 12} {address} calls {address} and 203.0.113.199, 203.0.113.200, 203.0.113.201"),
    ]
    week = CaseWeek(WeekCounts(2, 1, 0, 0, 7), WeekCounts(), 2, 0, cases)
    alerts = Summary(1, [], [], [alert(address, 90.0, "C" * 5_000) | {"dst": address}])
    content = summarize(WEEK, alerts, [ledger("2026-11-04", 1)], None, None, [], week) | REST
    files = write_report(tmp_path, asset_folder("reports_templates"), content, "weekly")
    page = files.html.read_text(encoding="utf-8")
    assert "<script>" not in page and "\x1b" not in page and files.pdf is not None
    program = need_program("pdftotext", "poppler-utils")
    boxes = subprocess.run([program, "-bbox", files.pdf, "-"], check=True, capture_output=True, text=True).stdout
    assert max(float(x) for x in re.findall(r'xMax="([0-9.]+)"', boxes)) <= 595.3 - 39.0
    words = re.findall(r">([^<>]+)</word>", boxes)
    assert sum(address in w for w in words) >= 5 and {"203.0.113.199,", "203.0.113.200,"} <= set(words)
