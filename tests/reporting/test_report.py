"""The weekly report as a page and a PDF: what it says first, and that log contents stay text inside the margins."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from mlids.alerts.stores.alerts import Summary
from mlids.assets import asset_folder
from mlids.cases.severity import Severity
from mlids.reporting.facts import WeekFacts
from mlids.reporting.report import ReportFiles, as_text, content, write_report
from tests.conftest import need_program
from tests.support.reports import alert_of, case, ledger, week

LONG = "2001:db8:1234:5678:9abc:def0:1234:5678"


def written(facts: WeekFacts, folder: Path) -> tuple[str, ReportFiles]:
    files = write_report(folder, asset_folder("reports_templates"), content(facts), "weekly")
    return files.html.read_text(encoding="utf-8"), files


def test_the_report_begins_with_the_answer_and_tells_each_case_in_order_of_time(tmp_path: Path) -> None:
    judged = case("10.0.0.6 scans", state="closed", verdict="false positive", who="ana", note="the scanner of the site")
    page, _ = written(week([case("10.0.0.5 calls 203.0.113.9"), judged]), tmp_path)
    order = [
        "Should I worry?",
        "2 cases of medium",
        "What happened",
        "What changed",
        "What to do",
        "Alerts a day",
        "The severe cases",
        "signed by itself",
        "every 27 s",
        "isolate the host",
        "Completeness",
        "could not see",
    ]
    places = [page.index(text, page.index("The severe cases") if n > 6 else 0) for n, text in enumerate(order)]
    assert places == sorted(places)
    assert "a program may be taking orders from outside" in page, "what it means, for a manager"
    assert '<span class="unbroken">203.0.113.9</span>' in page and "closed as false positive by ana: the scanner of the site" in page
    assert page.count("Next: ") == 1, "a closed case needs no next step"


def test_hostile_text_stays_text_inside_the_margins(tmp_path: Path) -> None:
    """The PDF is read back: no word of it lies outside the printed area, and addresses are whole."""
    hostile = f"{LONG} <script>alert(1)</script>\x1b[31m {'A' * 5_000}"
    cases = [
        case(hostile, host=hostile, note="B" * 2_000, sensor="C" * 64, next_steps=["D" * 900]),
        case(f"{'word ' * 12} {LONG} calls {LONG} and 203.0.113.199, 203.0.113.200, 203.0.113.201"),
        *(case(f"{LONG} calls {LONG} number {n} on port 443/tcp every 27 s", host=LONG) for n in range(4)),
    ]
    drift = {
        "effects": {"conns": 0.5}, "drifted": ["conns"], "words": {"conns": "connections an hour"},
        "moved": [{"host": LONG, "measure": "conns", "words": "connections an hour", "change": 2.0}],
    }  # fmt: skip
    page, files = written(
        week(
            cases, alerts=Summary(1, [], [], [alert_of(LONG, 90.0, "C" * 5_000) | {"dst": LONG}]), drift=drift, anomalies=[alert_of(LONG, 60.0, hostile) | {"dst": LONG}],
            hosts=[{"host": hostile, "score": 90.0, "severity": "high", "cases": 1}, {"host": LONG, "score": 80.0, "severity": "high", "cases": 1}],
            kinds=[{"kind": "k<script>" + "x" * 60, "alerts": 1, "hosts": 9, "sources": [LONG, LONG]}],
            rules=[{"id": 1, "hidden": 1, "why": "E" * 900, "who": "F" * 128, "expires_at": None}], hidden=1,
            ledger=[ledger(f"2026-11-{d:02}", 9_876_543_210, ("G" * 900,)) for d in range(2, 9)],
        ), tmp_path,
    )  # fmt: skip
    assert "<script>" not in page and "\x1b" not in page and files.pdf is not None, files.why
    program = need_program("pdftotext", "poppler-utils")
    boxes = subprocess.run([program, "-bbox", files.pdf, "-"], check=True, capture_output=True, text=True).stdout
    assert max(float(x) for x in re.findall(r'xMax="([0-9.]+)"', boxes)) <= 595.3 - 39.0
    words = re.findall(r">([^<>]+)</word>", boxes)
    assert sum(LONG in w for w in words) >= 12 and {"203.0.113.199,", "203.0.113.200,"} <= set(words)
    broken = [w for w in words if w.startswith("2001:db8:") and LONG not in w]
    assert not broken, "no address is broken"
    first = subprocess.run([program, "-l", "1", files.pdf, "-"], check=True, capture_output=True, text=True).stdout
    assert "This week against the week before" in first, "long names do not push the charts to the second page"


def test_a_report_loads_nothing_and_every_number_of_a_chart_is_in_its_title(tmp_path: Path) -> None:
    by_day = {f"2026-11-{d:02}": dict(zip(Severity, (d, 0, 1, 0), strict=True)) for d in range(2, 9)}
    page, _ = written(week([case("10.0.0.5 calls 203.0.113.9")], by_day=by_day), tmp_path)
    addresses = set(re.findall(r"https?://[^\"\s<>]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}, "names of namespaces alone"
    assert "2026-11-08 9 (8 low, 1 high)" in page and page.count('role="img"') == 3
    assert not re.search(r"<(?:img|link|iframe|object|script)\b|@import|src=", page)


def test_the_mail_has_the_first_page_as_text() -> None:
    text = as_text(content(week([case("10.0.0.5 calls\n203.0.113.9\x1b[31m")])))
    assert "Should I worry?\n---------------\nYes: 1 case" in text and "\x1b" not in text
    assert "10.0.0.5 calls\\x0a203.0.113.9" in text and "1. 10.0.0.5: Isolate the host." in text
