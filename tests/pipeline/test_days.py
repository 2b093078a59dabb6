"""Days of a sensor: how many it has to train on."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlids import pipeline


def test_a_young_sensor_is_still_learning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synthetic_site: Path) -> None:
    monkeypatch.setenv("MLIDS_HOME", str(tmp_path))
    for day in ("2026-11-02", "2026-11-03"):
        pipeline.ingest_paths("hq", day, [synthetic_site / day])
    assert pipeline.warm_up("hq") == {"sensor": "hq", "days": 2, "of": 7, "learning": True, "text": "learning, day 2 of 7"}
    monkeypatch.setenv("MLIDS_TRAIN_DAYS", "2")
    assert pipeline.warm_up("hq")["learning"] is False
    assert pipeline.training_span("2026-11-02", "2026-11-04", None) == ("2026-11-02", "2026-11-04")
