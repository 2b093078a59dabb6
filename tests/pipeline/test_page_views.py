"""The week of the overview and its charts, hosts, health and reports: what they count, and what is marked as old."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlids import pipeline
from mlids.alerts.stores import Stores
from mlids.alerts.stores.audit import Move
from mlids.alerts.stores.ledger import LedgerDay
from mlids.pipeline.page_charts import heat_map, timeline
from mlids.scoring.status import ScorerState, Status
from mlids.settings import load_settings
from tests.support.alerts import NOON, alert


def stores() -> Stores:
    return pipeline.open_stores(load_settings())


def test_the_week_counts_by_day_severity_host_and_hour(home: Path) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=30, second=0, microsecond=0)
    found = [alert(1, today, score=95.0), alert(2, today, score=60.0), alert(3, today - timedelta(days=6), score=10.0)]
    stores().alerts.put([*found, alert(4, today - timedelta(days=8))], "live")
    week = pipeline.week_facts()
    assert not week["stale"] and [d["alerts"] for d in week["days"]] == [1, 0, 0, 0, 0, 0, 2]
    assert (week["days"][-1]["critical"], week["days"][-1]["medium"], week["days"][0]["low"]) == (1, 1, 1)
    assert [h["host"] for h in week["hosts"]] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"] and week["alerts"] == 3
    assert ("10.0.0.1", f"{today:%Y-%m-%dT%H}", 1, 95.0, 3) in week["cells"]
    pipeline.suppress(why="known", who="ana", src="10.0.0.1", force=True)
    assert [h["host"] for h in pipeline.week_facts()["hosts"]] == ["10.0.0.2", "10.0.0.3"], "suppressed alerts do not count"


def test_an_older_week_is_shown_and_called_old(home: Path) -> None:
    assert pipeline.week_facts()["alerts"] == 0 and not pipeline.week_facts()["stale"]
    stores().alerts.put([alert(1, NOON - timedelta(days=300))], "live")
    week = pipeline.week_facts()
    assert week["stale"] and week["days"][-1]["day"] == f"{NOON - timedelta(days=300):%Y-%m-%d}" and week["alerts"] == 1
    assert pipeline.host_list()["stale"] and pipeline.overview_page()["last_day"] == 0


def test_charts_are_drawn_without_text_script_or_colours_of_their_own(home: Path) -> None:
    start = datetime(2026, 11, 20, tzinfo=UTC)
    days = [{"day": f"2026-11-{20 + n}", "low": n, "medium": 1, "high": 2, "critical": 0} for n in range(7)]
    hostile = "<script>alert(1)</script>\"'"
    drawn = (
        timeline(days, 20.0),
        heat_map(
            ["10.0.0.1", hostile], [("10.0.0.1", "2026-11-20T03", 2, 90.0, 2), (hostile, "2026-11-26T23", 1, 99.0, 3)], start, "/mlids/"
        ),
    )
    for svg in drawn:
        assert svg.startswith("<svg ") and "<text" not in svg and "<script" not in svg and "<style" not in svg and "<!" not in svg
        assert not re.search(r"#0101\d\d", svg) and "var(--soft)" in svg and "rdf" not in svg
    assert re.findall(r'href="(/mlids/[^"]*)"', drawn[1]) == [
        "/mlids/alerts?src=10.0.0.1&amp;since=7d",
        "/mlids/alerts?src=%3Cscript%3Ealert%281%29%3C%2Fscript%3E%22%27&amp;since=7d",
    ]
    assert "var(--chart-critical)" in drawn[1] and "var(--chart-low)" in drawn[0]
    assert timeline(days, 20.0) is drawn[0], "one that is the same is not drawn again"


def test_hosts_that_moved_come_from_the_newest_comparison(home: Path) -> None:
    folder = load_settings().reports
    folder.mkdir(parents=True)
    moved = [{"host": "10.0.0.9", "measure": "conns", "words": "connections an hour", "change": 3.5}, "nonsense"]
    found = {"effects": {"conns": 0.4}, "moved": moved, "drifted": ["conns"], "share": 0.125, "words": {"conns": "connections an hour"}}
    (folder / "drift-2026-11-02_2026-11-09.json").write_text(json.dumps(found))
    (folder / "drift-2026-11-09_2026-11-16.json").write_text("{")
    assert [m["host"] for m in pipeline.host_list()["moved"]] == ["10.0.0.9"]
    drift = pipeline.health_facts()["drift"]
    assert drift["measures"] == [{"what": "connections an hour", "effect": 0.4, "drifted": True}] and not drift["stale"]


def test_health_shows_each_hour_and_marks_what_is_old(home: Path) -> None:
    ledger = stores().ledger
    ledger.put_day(LedgerDay("hq", "2026-11-20", 30, 4, 3, ["conn.10 is missing"], 30, 2))
    counts = {"archived": 10, "live": 10, "late": 0, "rejected": 0}
    hours = [{"hour": f"2026-11-20T{h:02d}:00:00Z", **counts} for h in (0, 1, 2)]
    hours[1] |= {"live": 4, "late": 6}
    hours[2] |= {"live": 4, "rejected": 4}
    ledger.put_hours("hq", "2026-11-20", hours)
    shown = pipeline.health_facts()
    (strip,) = shown["strips"]
    day = strip["days"][-1]
    assert (day["day"], day["known"], strip["days"][0]["known"]) == ("2026-11-20", True, False)
    assert [h["kind"] for h in day["hours"][:4]] == ["live", "late", "missing", "unknown"]
    assert day["hours"][2]["text"] == "02:00 10 in the archive, 4 live, 0 late, 6 missing, 4 rejected"
    assert shown["rejected"] == 4 and not shown["ledger_age"]["stale"]


def test_a_scorer_that_does_not_report_is_stale_with_its_age(home: Path) -> None:
    home.mkdir()
    (home / "sensors.toml").write_text(
        f'[[sensor]]\nname = "hq"\nkind = "folder"\nlogs = "{home}"\n[[sensor]]\nname = "dmz"\nkind = "folder"\nlogs = "{home}"\n'
    )
    status = Status("hq", ScorerState.FOLLOWING, stopped_sinks={"elasticsearch": "it may not write"})
    status.updated_at = (datetime.now(UTC) - timedelta(hours=3)).isoformat()
    (home / "state" / "hq").mkdir(parents=True)
    (home / "state" / "hq" / "status.json").write_text(json.dumps(status.as_dict()))
    shown = pipeline.health_facts()
    dmz, hq = shown["scorers"]
    assert "no scorer has ever followed it" in dmz["problem"] and "status" not in dmz
    assert hq["stale"] and hq["age"] == "3 hours" and "has not reported" in hq["problem"]
    assert [s["name"] for s in shown["sinks"] if s["stopped"]] == ["elasticsearch"]
    assert [s["sensor"] for s in pipeline.overview_page()["scorers"]] == ["dmz", "hq"]


def test_reports_are_listed_the_newest_first(home: Path) -> None:
    folder = load_settings().reports
    folder.mkdir(parents=True)
    for name in ("weekly-2026-11-02_2026-11-09.html", "weekly-2026-11-09_2026-11-16.pdf", ".hidden.html", "drift.json", "a<b>.html"):
        (folder / name).write_text("x")
        os.utime(folder / name, (1_800_000_000 if "pdf" in name else 1_700_000_000,) * 2)
    listed = pipeline.report_list()
    assert [r["name"] for r in listed] == ["weekly-2026-11-09_2026-11-16.pdf", "weekly-2026-11-02_2026-11-09.html"]
    assert (listed[0]["kind"], listed[0]["days"], listed[0]["bytes"]) == ("weekly", "2026-11-09 to 2026-11-16", 1)


def test_the_overview_names_the_move_that_brought_the_model_to_production(home: Path) -> None:
    assert pipeline.overview_page()["model"] is None
    audit = stores().audit
    audit.record(Move("ana", "promote", None, "1", "first"))
    audit.record(Move("eve", "rollback", "2", "1", "worse"))
    audit.record(Move("airflow", "refuse", "1", "3", "worse"))
    shown = pipeline.overview_page()["model"]
    assert (shown["version"], shown["who"], shown["action"]) == ("1", "eve", "rolled back") and shown["at"]


def test_a_registry_that_does_not_answer_leaves_the_audit(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stores().audit.record(
        Move("ana", "promote", None, "1", "first", json.dumps({"passed": True, "challenger": {"pr_auc": 0.5}, "production": None}))
    )
    monkeypatch.setenv("MLIDS_MLFLOW_TRACKING_URI", "http://mlids:hunter2@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    shown = pipeline.model_list()
    assert "does not answer" in shown["error"] or "MLflow at" in shown["error"]
    assert "hunter2" not in shown["error"] and shown["versions"] == [] and shown["audit"][0]["who"] == "ana"
