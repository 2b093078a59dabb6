"""Training fits forests of http, dns, ssh and ssl on the lake's days; scoring with the model uses them and says so."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from mlids import pipeline
from mlids.detectors.bundle import Bundle
from mlids.features.records import RECORD_LOGS

PRODUCTION = "models:/mlids-conn@production"


def test_the_site_model_carries_a_forest_of_each_log_in_the_lake(trained_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLIDS_HOME", str(trained_home))
    model = pipeline.open_model(PRODUCTION)
    assert isinstance(model, Bundle)
    forests = model.record_forests()
    there = {log for log in RECORD_LOGS if any((trained_home / "lake" / log).rglob("*.parquet"))}
    assert there and set(forests) == there
    rows = {log: pl.scan_parquet(f"{trained_home}/lake/{log}/**/*.parquet").select(pl.len()).collect().item() for log in there}
    assert {log: f.rows for log, f in forests.items()} == {log: min(n, 65_536) for log, n in rows.items() if n > 1} | {
        log: 2 for log, n in rows.items() if n == 1
    }


def test_the_forests_of_the_site_score_another_day(
    trained_home: Path, synthetic_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLIDS_HOME", str(trained_home))
    day = synthetic_site / "2026-11-03"
    own = pipeline.score_logs([day], model=PRODUCTION, out=tmp_path / "a.parquet")
    assert own.records and {s.trained_on for s in own.records} == {"a trained model"}
    fitted = pipeline.score_logs([day], out=tmp_path / "b.parquet")
    assert {s.trained_on for s in fitted.records} == {"the scored rows themselves"}
    for of_site, of_rows in zip(own.records, fitted.records, strict=True):
        assert of_site.file is not None and of_rows.file is not None and of_site.rows == of_rows.rows
        a, b = (pl.read_parquet(path) for path in (of_site.file, of_rows.file))
        assert a["uid"].equals(b["uid"]) and not a["anomaly_score"].equals(b["anomaly_score"])
