"""The weekly report: what is counted, and that log contents are escaped."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlids.alerts.stores.alerts import Summary
from mlids.assets import asset_folder
from mlids.reporting.report import summarize, write_report
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
