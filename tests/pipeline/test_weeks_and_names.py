"""Which model and which decisions belong to a week, and under which names reports are filed, found and removed."""

from __future__ import annotations

import os
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlids import pipeline
from mlids.alerts.stores.audit import Move
from mlids.errors import InputError
from mlids.settings import load_settings

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)


def test_the_model_of_a_week_is_the_one_that_was_in_service_then(home: Path) -> None:
    from mlids.pipeline.weekly import _decisions
    from mlids.window import Window

    stores = pipeline.open_stores(load_settings())
    week = Window(MONDAY, MONDAY + timedelta(days=7))

    def at(n: int, when: str) -> None:
        with sqlite3.connect(home / "mlids.db") as db:
            db.execute("UPDATE audit SET at = ? WHERE id = ?", (when, n))

    stores.audit.record(Move("airflow", "promote", None, "1", "better"))
    at(1, "2026-12-01T00:00:00+00:00")
    assert [d["to_version"] for d in _decisions(stores, week)[0]] == ["1"], "a site that was read and trained later has its first model"
    for n, (action, version, when) in enumerate(
        (
            ("promote", "2", "2026-11-02T03:00:00+00:00"),
            ("refuse", "3", "2026-11-09T03:00:00+00:00"),
            ("promote", "4", "2026-11-10T00:00:00+00:00"),
        ),
        2,
    ):
        stores.audit.record(Move("airflow", action, None, version, "why"))
        at(n, when)
    at(1, "2026-10-01T00:00:00+00:00")
    every, of_week = _decisions(stores, week)
    assert [d["to_version"] for d in every] == ["1", "2", "3"], "a later promotion changes no filed week"
    assert [d["to_version"] for d in of_week] == ["3"], "Monday's training belongs to the week that it learned from"


def test_reports_are_named_by_iso_week() -> None:
    from mlids.pipeline.weekly import report_name, report_span

    assert report_name("2026-11-02", "2026-11-09") == "weekly-2026-W45" and report_name("2025-12-29", "2026-01-05") == "weekly-2026-W01"
    assert report_name("2026-11-03", "2026-11-10") == "weekly-2026-11-03_2026-11-10"
    assert pipeline.week_days("2026-W53") == ("2026-12-28", "2027-01-04")
    for name in ("weekly-2026-W45", "weekly-2026-11-03_2026-11-10"):
        assert report_name(*(d.isoformat() for d in report_span(name))) == name
    for wrong in ("2026-W54", "2025-W53", "2026-45", "2026-W4", "../2026-W45", "2026-W45\n", "0000-W01"):
        with pytest.raises(InputError):
            pipeline.week_days(wrong)
    for wrong in ("weekly-../../x", "weekly-2026-11-02_2026-11-09", "drift-2026-W45", "weekly-", ""):
        with pytest.raises(InputError):
            report_span(wrong)


def test_old_reports_are_removed_by_the_end_of_their_week(home: Path) -> None:
    from mlids.pipeline.retention import Clock, old_reports

    reports = load_settings().reports
    reports.mkdir(parents=True)
    ended = datetime(2024, 11, 10, tzinfo=UTC)
    names = (
        "weekly-2024-W45.html",
        "weekly-2024-W45.pdf",
        "weekly-2024-W46.pdf",
        "weekly-2024-11-01_2024-11-09.html",
        "weekly-2024-W99.html",
        "notes.txt",
    )
    for name in names:
        (reports / name).write_text("a report")
        os.utime(reports / name, (0, 0))
    clock = Clock(ended + timedelta(days=load_settings().keep_report_days + 1))
    found = sorted(old.what for old in old_reports(load_settings(), clock))
    assert found == ["report weekly-2024-11-01_2024-11-09.html", "report weekly-2024-W45.html", "report weekly-2024-W45.pdf"]
