"""Reports by name and status files of scorers."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlids import pipeline
from mlids.settings import load_settings


def test_only_reports_are_served(home: Path) -> None:
    reports = load_settings().reports
    reports.mkdir(parents=True)
    (reports / "weekly-2026-11-02_2026-11-09.html").write_text("report")
    (reports / "drift.json").write_text("{}")
    (home / "secrets.json").write_text("{}")
    assert pipeline.report_file("weekly-2026-11-02_2026-11-09.html") == reports / "weekly-2026-11-02_2026-11-09.html"
    for name in (
        "../secrets.json",
        "drift.json",
        "weekly.html",
        "..%2fsecrets.json",
        "weekly-2026-11-02_2026-11-09.html\n",
        "",
        "/etc/passwd",
    ):
        assert pipeline.report_file(name) is None, name


def test_a_status_file_that_is_half_written_is_left_out(home: Path) -> None:
    state = load_settings().state
    for name, text in (("a", '{"sensor": "a"}'), ("b", '{"sens')):
        (state / name).mkdir(parents=True)
        (state / name / "status.json").write_text(text)
    assert pipeline.statuses() == [{"sensor": "a"}]


def test_an_empty_home_has_an_overview(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = pipeline.overview()
    assert shown["alerts"] == shown["ledger"] == shown["scorers"] == shown["reports"] == shown["gaps"] == [] and shown["model"] is None
