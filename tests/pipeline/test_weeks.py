"""Which days are there, which are given up, and what a week or a form asks for."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlids import pipeline
from mlids.alerts.stores.ledger import LedgerDay
from mlids.errors import InputError
from mlids.settings import load_settings

WEEK = "2026-11-02"  # a Monday


def sensors(home: Path, *names: str) -> None:
    home.mkdir(exist_ok=True)
    entries = (f'[[sensor]]\nname = "{n}"\nkind = "folder"\nlogs = "/nowhere"\ntypes = ["conn"]\n' for n in names)
    (home / "sensors.toml").write_text("".join(entries))


def test_a_day_is_there_when_all_its_sensors_have_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sensors(home, "hq", "lab", "new")
    ledger = pipeline.open_stores(load_settings()).ledger
    for sensor, days in (("hq", (1, 2, 3, 4)), ("lab", (2, 4)), ("new", (4,))):
        for day in days:
            ledger.put_day(LedgerDay(sensor, f"2026-11-0{day}", 1, 0, 1))

    def finished(*days: int, before: tuple[str, ...] = (), is_nightly: bool = True) -> list[tuple[str, list[str]]]:
        pulled = [{"sensor": "hq", "day": f"2026-11-0{d}"} for d in days]
        return [(d["day"][-1], d["missing"]) for d in pipeline.finished_days(pulled, before, is_nightly=is_nightly)]

    assert finished() == []
    assert finished(1, 4, is_nightly=False) == [("1", []), ("4", [])], "lab and new are not expected before their first days"
    assert finished(3, is_nightly=False) == [], "lab lacks it"
    assert finished(4) == [("3", ["lab"]), ("4", [])], "given up after a night"
    assert finished(4, before=("2026-11-03",)) == [("4", [])], "once"
    assert finished(3) == [], "a night is not over yet"
    monkeypatch.setenv("MLIDS_WAIT_DAYS", "2")
    assert finished(4) == [("4", [])]
    sensors(home, "hq", "never")
    assert finished(4, is_nightly=False) == [], "a sensor that never had a day is expected"


def test_spans_of_a_week_and_of_a_form(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pipeline.span(None, None, WEEK) == (WEEK, "2026-11-09")
    days = [datetime(2026, 11, n, 23, 59, tzinfo=UTC) for n in (8, 9, 15)]
    assert [pipeline.last_week(day) for day in days] == ["2026-10-26", WEEK, WEEK]
    assert pipeline.span("2026-11-03", "2026-11-04", WEEK) == ("2026-11-03", "2026-11-04")
    monkeypatch.setenv("MLIDS_TRAIN_DAYS", "14")
    assert pipeline.training_span(None, None, WEEK) == ("2026-10-26", "2026-11-09")
    with pytest.raises(InputError, match="not of a week"):
        pipeline.span(None, None, None)
    sensors(home, "hq")
    with pytest.raises(InputError, match=r"there is no sensor lab \(there are: hq\)"):
        pipeline.training_plan(WEEK, "2026-11-03", ["lab"])
    assert json.loads(json.dumps(pipeline.training_plan(WEEK, "2026-11-03"))) == {
        "start": WEEK, "end": "2026-11-03", "sensors": ["hq"], "rows": 0, "missing": [{"sensor": "hq", "day": WEEK}],
    }  # fmt: skip
