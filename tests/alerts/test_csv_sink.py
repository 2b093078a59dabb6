"""Alerts as CSV: the columns of ids-iforest, each alert once, and no text of a sensor that a spreadsheet runs."""

from __future__ import annotations

import csv
import os
from datetime import timedelta
from pathlib import Path

import pytest

from mlids import pipeline
from mlids.alerts.sinks.csv import CsvSink
from mlids.pipeline.retention import Clock, old_alert_files
from mlids.settings import load_settings
from tests.support.alerts import NOON, alert


def rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a file by column."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_rows_have_the_columns_and_two_levels(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLIDS_SINKS", "csv")
    monkeypatch.setenv("MLIDS_SEVERITY", "40,60,85")
    (sink,) = pipeline.open_sinks(load_settings())
    sink.write([alert(1).document(), alert(2, score=85.0, src_port=None).document(), alert(3, NOON - timedelta(days=1)).document()])
    path = home / "alerts" / "alerts-2026-11-20.csv"
    assert path.read_text().splitlines()[0] == "timestamp,src_ip,dst_ip,src_port,dst_port,protocol,score,level,id"
    first, second = rows(path)
    assert first == {
        "timestamp": "2026-11-20T12:00:00.000000Z", "src_ip": "10.0.0.1", "dst_ip": "192.0.2.1", "src_port": "50000", "dst_port": "22",
        "protocol": "tcp", "score": "80.0", "level": "yellow", "id": alert(1).id,
    }  # fmt: skip
    assert (second["level"], second["src_port"]) == ("red", "")
    assert len(rows(home / "alerts" / "alerts-2026-11-19.csv")) == 1


def test_each_alert_is_there_once_after_a_restart_in_mid_row(tmp_path: Path) -> None:
    CsvSink(tmp_path).write([alert(1).document(), alert(2).document()])
    path = tmp_path / "alerts-2026-11-20.csv"
    path.write_text(path.read_text() + "2026-11-20T12:00:00.000000Z,10.0")  # a writer that was killed
    CsvSink(tmp_path).write([alert(1, count=5).document(), alert(4).document()])
    assert [r["src_ip"] for r in rows(path) if r["id"]] == ["10.0.0.1", "10.0.0.2", "10.0.0.4"]


def test_a_hostile_address_is_one_cell_of_one_row(tmp_path: Path) -> None:
    hostile = ['=HYPERLINK("http://evil.example")', "10.0.0.1\n2026,x,x,x,x,x,100,red,id", 'a","b', "\x1b[31m"]
    CsvSink(tmp_path).write([alert(n, src=text).document() for n, text in enumerate(hostile)])
    found = rows(tmp_path / "alerts-2026-11-20.csv")
    assert len(found) == 4 and all(None not in r and r["level"] == "yellow" for r in found)
    assert found[0]["src_ip"].startswith("'=") and found[1]["src_ip"].startswith("10.0.0.1\\") and found[2]["src_ip"] == 'a","b'
    assert not any(ord(c) < 32 for r in found for c in "".join(r.values()))


def test_cases_have_no_row(tmp_path: Path) -> None:
    document = alert(1).document()
    document["mlids"]["kind"] = "case"
    assert CsvSink(tmp_path).write([document]) == [] and not list(tmp_path.iterdir())


def test_housekeeping_removes_old_files(home: Path) -> None:
    folder = home / "alerts"
    CsvSink(folder).write([alert(1).document(), alert(2, NOON - timedelta(days=400)).document()])
    (folder / "alerts-notes.csv").write_text("a person's")
    for path in folder.iterdir():
        os.utime(path, (NOON.timestamp() - 390 * 86_400,) * 2)
    old = list(old_alert_files(load_settings(), Clock(NOON)))
    assert [o.what for o in old] == ["CSV alerts-2025-10-16.csv"]
