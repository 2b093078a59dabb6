"""What the gate compares beside PR-AUC, from the snapshots and models of a home."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from mlids import pipeline
from mlids.detectors.forest import BENIGN
from mlids.settings import load_settings
from mlids.training.cross_capture.captures import is_attack
from mlids.training.gate_inputs import compare_alerts, compare_capture, compare_cost, compare_judged, compare_week
from mlids.training.held_out import judge_rows
from mlids.training.snapshot import Snapshot, load_snapshot
from mlids.window import parse_day
from tests.conftest import copy_home


@pytest.fixture
def snapshots(trained_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The snapshots of a copy of the trained home, which is the home of the settings."""
    home = copy_home(trained_home, tmp_path / "home")
    monkeypatch.setenv("MLIDS_HOME", str(home))
    return home / "snapshots"


@pytest.fixture
def frozen(snapshots: Path) -> Snapshot:
    (held,) = snapshots.iterdir()
    return load_snapshot(snapshots, held.name)


def production() -> Any:
    return pipeline.open_registry(load_settings()).load("1")


def week_before(snapshots: Path, number: int, **facts: Any) -> None:
    """Write the facts of a snapshot of two days, `number` weeks before."""
    (own,) = (p for p in snapshots.iterdir() if p.name.startswith("2026-11-04"))
    days = [f"2026-10-{28 - 7 * (number - 1):02d}", f"2026-10-{29 - 7 * (number - 1):02d}"]
    name = f"{days[0]}_{days[1]}_all2-{number:012d}"
    (snapshots / name).mkdir()
    info = json.loads((own / "snapshot.json").read_text()) | {"id": name, "days": days} | facts
    (snapshots / name / "snapshot.json").write_text(json.dumps(info))


def test_a_week_is_compared_with_the_weeks_before(snapshots: Path, frozen: Snapshot) -> None:
    model = production()
    held_out = judge_rows(model, frozen)
    first = compare_week(snapshots, frozen, model, held_out, None)
    assert (first.usual_of, first.usual_conns_a_day) == ("production", first.conns_a_day) and first.missing_sensors == ()
    assert first.conns_a_day == frozen.info.rows_there / 2 and first.attack_share == 0.0 and first.attack_share_before is None
    assert first.benign_alerts is not None and first.benign_alerts < 0.02
    for number, rows in enumerate((1_000, 8_000, 2_000, 40_000, 100_000), 1):
        week_before(snapshots, number, rows_there=rows, sensors=["dmz", "hq"] if number == 1 else ["hq"])
    week_before(snapshots, 6, rows_there=1, features_version=1)
    (snapshots / "damaged").mkdir()
    (snapshots / "damaged" / "snapshot.json").write_text("{")
    week = compare_week(snapshots, frozen, model, held_out, None)
    assert week.usual_conns_a_day == 2_500.0 and week.usual_of == "the 4 weeks before it"  # the median of 500, 4,000, 1,000 and 20,000
    assert week.missing_sensors == ("dmz",) and week.attack_share_before == 0.0
    assert week.benign_alerts_before is None, "the rows of that snapshot are not those of its digest"


def test_conns_with_verdicts_of_every_snapshot_are_compared(snapshots: Path, frozen: Snapshot) -> None:
    model = production()
    assert compare_judged(snapshots, (model, model), None) is None
    path = snapshots / frozen.info.id / "rows.parquet"
    rows = pl.read_parquet(path)
    own = rows.filter((pl.col("label") == "horizontal_scan") & (pl.col("network") == "hq")).head(400).with_columns(source=pl.lit("verdict"))
    benign = rows.filter(pl.col("label") == BENIGN).head(400).with_columns(source=pl.lit("verdict"))
    pl.concat([own, benign, rows]).write_parquet(path)
    same = compare_judged(snapshots, (model, model), None)
    assert same is not None and same.theirs == same.both > 100 and same.lost == frozenset()
    silent = SimpleNamespace(spec=replace(model.spec, threshold=101.0, thresholds={}), score=model.score)
    lost = compare_judged(snapshots, (silent, model), None)
    assert lost is not None and lost.theirs == same.theirs and lost.both == 0 and lost.lost == {"horizontal_scan at hq"}


def test_the_latest_day_is_scored_by_both(snapshots: Path) -> None:
    model = production()
    lake = pipeline.open_lake(load_settings())
    conns = pl.concat(lake.batches("conn", "hq", [parse_day("2026-11-05")]))
    found = compare_alerts((model, model), [conns], (), None)
    assert found.conns == conns.height and found.mine == found.theirs and len(found.mine) > 0
    assert any(text.partition(" ")[2].startswith("10.") for text in found.mine.values()), "a kind and its source"
    assert compare_alerts((model, model), [], (), None).conns == 0


def test_cost_is_of_the_same_rows(frozen: Snapshot) -> None:
    model = production()
    found = compare_cost((model, model), (5.0, 6.0), frozen.x)
    assert found is not None and found.size_bytes == (5.0, 6.0) and 0.2 < found.row_us[0] / found.row_us[1] < 5.0
    assert compare_cost((model, model), (5.0, 6.0), frozen.x[:0]) is None


def test_a_labelled_capture_is_judged_by_both(frozen: Snapshot) -> None:
    model = production()
    own = frozen.network == "hq"
    x, label = frozen.x[own], np.where(frozen.label[own] == BENIGN, BENIGN, "scan").astype(object)
    label[:10] = None
    attack, benign = is_attack(label), np.array([v == BENIGN for v in label])
    found = compare_capture("own", x, attack, benign, (model, model), None)
    assert found.recall[0] == found.recall[1] > 0.5 and found.benign_alerts[0] < 0.05
    quiet = compare_capture("quiet", x[benign], attack[benign], benign[benign], (model, model), None)
    assert np.isnan(quiet.recall[0]) and quiet.benign_alerts[0] < 0.05
