"""The message about a task that failed."""

from __future__ import annotations

from pathlib import Path

from mlids import pipeline
from mlids.errors import HostKeyError, SourceError


def test_a_message_names_the_command_that_mends(home: Path) -> None:
    changed = pipeline.failure_message("zeek_ingest", "sensor_day.pull", HostKeyError("it HAS CHANGED"), sensor="hq", days=["2026-11-03"])
    assert "mlids trust hq --fingerprint" in changed["text"]
    week = {"start": "2026-11-02", "end": "2026-11-09", "seed": 0, "why": None}
    training = pipeline.failure_message("train_weekly", "train", ValueError("boom\x1b[31m"), conf=week)
    assert training["subject"] == "mlids: train failed in train_weekly" and "ValueError: boom\\x1b[31m" in training["text"]
    assert 'trigger train_weekly --conf \'{"start": "2026-11-02", "end": "2026-11-09", "seed": 0}\'' in training["text"]
    killed = pipeline.failure_message("zeek_ingest", "sensor_day.pull", None)
    assert "was killed, or took too long" in killed["text"] and "airflow dags trigger zeek_ingest`" in killed["text"]
    long = pipeline.failure_message(
        "zeek_ingest", "pull", SourceError("x" * 10_000 + " https://u:secret@h/"), sensor="hq", days=["2026-11-03"]
    )
    assert len(long["text"]) < 2_000
