"""The thread that follows the logs beside conn.log, without a scorer."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from mlids.ingest.local import LocalStorage
from mlids.scoring.evidence_days import EvidenceDays
from mlids.scoring.other_logs import OtherLogs
from mlids.settings import Sensor
from tests.support.tls_sessions import sessions, write


def wait_for(reached: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "not reached in time"
        time.sleep(0.05)


def test_a_panic_at_a_row_neither_ends_the_thread_nor_counts_a_row_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A panic of polars is no Exception: it would end the thread and nobody would be told."""
    sensor = Sensor(name="hq", kind="folder", logs=str(tmp_path / "logs"))
    for log in ("dns", "ssl"):
        write(tmp_path / "logs" / "current", log, sessions()[log])
    add, panics = EvidenceDays.add, iter(range(2))

    def panic(self: EvidenceDays, log: str, rows: pl.DataFrame) -> None:
        add(self, log, rows)
        if log == "ssl" and next(panics, None) is not None:
            raise pl.exceptions.PanicException("a defect")

    monkeypatch.setattr(EvidenceDays, "add", panic)
    logs = OtherLogs(sensor, LocalStorage, tmp_path / "state", (), ["dns", "ssl"], poll_s=0.05)
    logs.start()
    try:
        wait_for(lambda: "PanicException: a defect" in str(logs.status.error))
        wait_for(lambda: {n: c.rows for n, c in logs.status.logs.items()} == {"dns": 30, "ssl": 120} and logs.status.error is None)
    finally:
        logs.stop()
    again = OtherLogs(sensor, LocalStorage, tmp_path / "state", (), ["dns", "ssl"], poll_s=0.05)
    again.start()
    again.stop()
    assert {n: c.rows for n, c in again.status.logs.items()} == {"dns": 30, "ssl": 120}
