"""Days of a sensor: how many it has to train on, and one pull at a time."""

from __future__ import annotations

from pathlib import Path
from threading import Event, Thread

import pytest

from mlids import pipeline
from mlids.locks import locked_file


def test_a_young_sensor_is_still_learning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synthetic_site: Path) -> None:
    monkeypatch.setenv("MLIDS_HOME", str(tmp_path))
    for day in ("2026-11-02", "2026-11-03"):
        pipeline.ingest_paths("hq", day, [synthetic_site / day])
    assert pipeline.warm_up("hq") == {"sensor": "hq", "days": 2, "of": 7, "learning": True, "text": "learning, day 2 of 7"}
    monkeypatch.setenv("MLIDS_TRAIN_DAYS", "2")
    assert pipeline.warm_up("hq")["learning"] is False
    assert pipeline.training_span("2026-11-02", "2026-11-04", None) == ("2026-11-02", "2026-11-04")


def test_a_sensor_is_pulled_from_by_one_process_at_a_time(home: Path, synthetic_site: Path) -> None:
    home.mkdir()
    entries = (f'[[sensor]]\nname = "{n}"\nkind = "folder"\nlogs = "{synthetic_site}"\ntypes = ["conn"]\n' for n in ("hq", "lab"))
    (home / "sensors.toml").write_text("".join(entries))
    waits, done = Event(), Event()

    def pull() -> None:
        pipeline.pull("hq", "2026-11-02", lambda said: waits.set() if "waiting for another pull from hq" in said else None)
        done.set()

    with locked_file(home / "landing" / "hq" / "pull.lock"):
        other = Thread(target=pull)
        other.start()
        assert waits.wait(30) and not done.is_set()
        assert pipeline.pull("lab", "2026-11-02")["files"] == 24, "another sensor waits for nobody"
        assert not (home / "landing" / "hq" / "2026-11-02").exists()
    other.join(60)
    assert done.is_set()
