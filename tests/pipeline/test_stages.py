"""The stages chained as the DAGs chain them: pull, lake, train, gate, score, drift, report, rollback; twice equals once."""

from __future__ import annotations

import json
import subprocess
from datetime import date
from pathlib import Path

import pytest

from mlids import pipeline
from mlids.detectors.bundle import Bundle
from mlids.detectors.reference import load_reference
from mlids.errors import InputError, ModelError, NoRowsError, SettingsError
from mlids.settings import load_settings
from mlids.synth.archive import load_labels
from mlids.synth.profiles.registry import CLASSES
from tests.conftest import need_program

DAYS = ["2026-11-02", "2026-11-03", "2026-11-04", "2026-11-05"]


@pytest.fixture
def site(home: Path, synthetic_site: Path) -> Path:
    home.mkdir()
    (home / "sensors.toml").write_text(f'[[sensor]]\nname = "hq"\nkind = "folder"\nlogs = "{synthetic_site}"\ntypes = ["conn", "dns"]\n')
    return home


def test_the_whole_line(site: Path, synthetic_site: Path) -> None:
    for day in DAYS:
        pulled = pipeline.pull_with_late("hq", day)
        built = pipeline.build_lake_days(pulled)
        assert built["days"] == [day] and built["built"][0]["rejected"] == 0
        assert pipeline.reconcile_days("hq", built["days"])["days"][0]["model_version"] is None
    settings = load_settings()
    lake, stores = pipeline.open_lake(settings), pipeline.open_stores(settings)
    rows = sum(f.height for d in DAYS for f in lake.batches("conn", "hq", [date.fromisoformat(d)]))
    zcat = "for f in conn.*; do zcat $f; done | grep -vc '^#'"
    wc = sum(
        int(subprocess.run(["bash", "-c", zcat], cwd=synthetic_site / d, check=True, capture_output=True, text=True).stdout) for d in DAYS
    )
    assert rows == wc

    assert pipeline.days_are_there("2026-11-02", "2026-11-06") and not pipeline.days_are_there("2027-01-01", "2027-01-08")
    snapshot = pipeline.snapshot("2026-11-02", "2026-11-06")
    assert pipeline.snapshot("2026-11-02", "2026-11-06")["digest"] == snapshot["digest"], "a snapshot is deterministic"
    assert set(snapshot["attacks"]) == set(CLASSES)
    trained = pipeline.train(snapshot["id"])
    gate = pipeline.evaluate_and_promote(trained["version"], snapshot["id"], force=True)
    # Four small days may give less than the reference model: the gate compares, and says with what.
    assert f"{load_reference().version}; no model is in production" in gate["why"] and gate["production"]["pr_auc_at_1pct"] > 0.6
    assert (
        gate["promoted"] and gate["why"].startswith("forced") is not gate["passed"] and trained["metrics"]["hybrid"]["pr_auc_at_1pct"] > 0.6
    )
    registry = pipeline.open_registry(settings)
    production = registry.version("production")
    assert production is not None and production.version == trained["version"]
    assert production.metrics is not None and production.metrics["pr_auc_at_1pct"] == pytest.approx(
        trained["metrics"]["hybrid"]["pr_auc_at_1pct"]
    )
    bundle = registry.load("production")
    assert isinstance(bundle, Bundle) and bundle.spec.threshold == trained["threshold"]

    scored = pipeline.reconcile_unscored()
    assert [s["day"] for s in scored] == DAYS and pipeline.reconcile_unscored() == []
    alerts = stores.alerts.latest(limit=10_000)
    again = pipeline.reconcile("hq", DAYS[0])
    assert again["alerts"] == scored[0]["alerts"]
    assert {a["id"]: a["mlids"]["count"] for a in stores.alerts.latest(limit=10_000)} == {a["id"]: a["mlids"]["count"] for a in alerts}
    named = {u for a in alerts for u in a["mlids"]["uids"]}
    planted = load_labels(synthetic_site.with_name("labels.jsonl"))
    found = [p.attack for p in planted if named & set(p.uids)]
    assert len(found) >= 0.75 * len(planted), f"found {found} of {[p.attack for p in planted]}"

    # A second model is promoted, by force if the gate refuses it, and rolled back.
    second = pipeline.train(snapshot["id"], seed=1)
    assert pipeline.evaluate_and_promote(second["version"], snapshot["id"], force=True)["promoted"]
    moved = pipeline.rollback(why="a test of going back", who="ana")
    assert moved == {"from": second["version"], "to": trained["version"]}
    back = stores.audit.rows()[0]
    assert (back["action"], back["who"], back["why"]) == ("rollback", "ana", "a test of going back")
    for alias, number in (("production", trained["version"]), ("previous", second["version"])):
        found_version = registry.version(alias)
        assert found_version is not None and found_version.version == number
    with pytest.raises(ModelError, match="in production already"):
        pipeline.rollback(to=trained["version"], why="again")

    drifted = pipeline.drift("2026-11-04", "2026-11-06")
    assert set(drifted["effects"]) == set(drifted["words"]) and Path(drifted["html"]).stat().st_size > 100_000
    with pytest.raises(NoRowsError, match="reference span"):
        pipeline.drift("2026-11-02", "2026-11-04")

    report = pipeline.report("2026-11-04", "2026-11-06")
    assert report["drift"] and report["pdf"] and report["alerts"] > 0
    text = subprocess.run(
        [need_program("pdftotext", "poppler-utils"), report["pdf"], "-"], check=True, capture_output=True, text=True
    ).stdout
    assert "Weekly report" in text and "Completeness" in text and "2026-11-05" in text
    assert f"{report['alerts']:,}" in text
    shown = pipeline.overview()
    assert (
        shown["model"]["version"] == trained["version"]
        and len(shown["ledger"]) == 4
        and "weekly-2026-11-04_2026-11-06.pdf" in shown["reports"]
    )
    json.dumps(shown)


def test_late_hours_rebuild_the_day_before(site: Path, synthetic_site: Path, tmp_path: Path) -> None:
    import shutil

    logs = tmp_path / "logs"
    shutil.copytree(synthetic_site, logs)
    (site / "sensors.toml").write_text(f'[[sensor]]\nname = "hq"\nkind = "folder"\nlogs = "{logs}"\ntypes = ["conn"]\n')
    late = logs / DAYS[0] / "conn.14:00:00-15:00:00.log.gz"
    late.rename(tmp_path / "late")
    first = pipeline.build_lake_days(pipeline.pull_with_late("hq", DAYS[0]))["built"][0]["conns"]
    shutil.move(tmp_path / "late", late)
    built = pipeline.build_lake_days(pipeline.pull_with_late("hq", DAYS[1]))
    assert built["days"] == [DAYS[1], DAYS[0]] and built["built"][1]["conns"] > first


def test_what_is_asked_of_an_empty_home(home: Path) -> None:
    with pytest.raises(InputError, match="no sensor is configured"):
        pipeline.sensor_names()
    with pytest.raises(SettingsError, match="no sensor is called"):
        pipeline.pull("hq", "2026-11-02")
    with pytest.raises(NoRowsError, match="lake holds no conns"):
        pipeline.snapshot("2026-11-02", "2026-11-03")
    with pytest.raises(NoRowsError, match="nothing has landed"):
        pipeline.build_lake("hq", "2026-11-02")
    with pytest.raises(ModelError, match="no previous version"):
        pipeline.rollback(why="nothing there")
    with pytest.raises(InputError, match="2026-13-40"):
        pipeline.span("2026-13-40", "2026-13-41", None)
    with pytest.raises(InputError, match="both"):
        pipeline.span("2026-11-02", None, None)


def test_days_follow_the_sensors_zone(home: Path) -> None:
    from datetime import UTC, datetime

    home.mkdir()
    entries = [("utc", "UTC"), ("la", "America/Los_Angeles"), ("tokyo", "Asia/Tokyo")]
    (home / "sensors.toml").write_text(
        "".join(f'[[sensor]]\nname = "{n}"\nkind = "folder"\nlogs = "/x"\nzone = "{z}"\n' for n, z in entries)
    )
    at = datetime(2026, 11, 21, 2, 5, tzinfo=UTC)
    assert {d["sensor"]: d["day"] for d in pipeline.days_to_pull(None, None, at)} == {
        "utc": "2026-11-20",
        "la": "2026-11-19",
        "tokyo": "2026-11-20",
    }


def test_days_that_the_ledger_lacks_are_taken_up_oldest_first(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import UTC, datetime

    from mlids.alerts.stores.ledger import LedgerDay

    home.mkdir()
    (home / "sensors.toml").write_text('[[sensor]]\nname = "hq"\nkind = "folder"\nlogs = "/x"\n')
    at = datetime(2026, 11, 21, 2, 5, tzinfo=UTC)
    assert [d["day"] for d in pipeline.days_to_pull(None, None, at)] == ["2026-11-20"], "a new sensor has no missing days"
    ledger = pipeline.open_stores(load_settings()).ledger
    for day in ("2026-11-02", "2026-11-15", "2026-11-18"):
        ledger.put_day(LedgerDay("hq", day, 10, 0, 1, []))
    days = [d["day"] for d in pipeline.days_to_pull(None, None, at)]
    assert days == [f"2026-11-{d:02}" for d in (6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 20)]
    monkeypatch.setenv("MLIDS_LOOK_BACK_DAYS", "2")
    assert [d["day"] for d in pipeline.days_to_pull(None, None, at)] == ["2026-11-19", "2026-11-20"]
    monkeypatch.setenv("MLIDS_LOOK_BACK_DAYS", "0")
    assert [d["day"] for d in pipeline.days_to_pull(["hq"], None, at)] == ["2026-11-20"]
    assert [d["day"] for d in pipeline.days_to_pull(None, "2026-11-01", at)] == ["2026-11-01"]
