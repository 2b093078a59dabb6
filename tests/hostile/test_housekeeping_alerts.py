"""Old alerts go while a scorer writes and an analyst judges."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlids.alerts.stores import open_stores
from mlids.alerts.stores.retention import AlertBounds
from mlids.settings import load_settings
from tests.support.alerts import alert

LATER = timedelta(days=500)

_CLEAN = """
import resource
from datetime import UTC, datetime, timedelta
from mlids import pipeline
from mlids.pipeline import retention
retention.clock_now = lambda: retention.Clock(datetime.now(UTC) + timedelta(days=500))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
done = next(d for d in pipeline.housekeeping()["stores"] if d["store"] == "alerts")
print(done["removed"], (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
AMOUNTS = [pytest.param(5_000, id="5000 alerts"), pytest.param(1_000_000, id="a million alerts", marks=pytest.mark.long)]


def many(amount: int) -> Iterator[list[tuple[object, ...]]]:
    document = json.dumps(alert(1).document())
    for start in range(0, amount, 10_000):
        yield [
            (f"x{n:031d}", f"2026-11-20T{n % 24:02}:00:00.{n % 10**6:06}Z", "hq", "scan", "10.0.0.1", "10.0.0.2", 80.0, 1, "live", document, "2026-11-20T12:00:00+00:00")
            for n in range(start, min(start + 10_000, amount))
        ]  # fmt: skip


@pytest.mark.attack(
    row=14, attack="old alerts by the million are removed while a scorer writes alerts",
    held="500 alerts in a transaction, and a pause as long as it took; memory does not grow with the number",
)  # fmt: skip
@pytest.mark.parametrize("amount", AMOUNTS)
def test_a_scorer_writes_while_old_alerts_go(home: Path, happened: Callable[[str], None], amount: int) -> None:
    stores = open_stores(load_settings().database)
    db = sqlite3.connect(home / "mlids.db")
    columns = "id, ts, sensor, kind, src, dst, score, count, origin, document, updated_at"
    for rows in many(amount):
        db.executemany(f"INSERT INTO alerts ({columns}) VALUES (?,?,?,?,?,?,?,?,?,?,?)", rows)
        db.commit()
    no_mlflow = {"MLIDS_MLFLOW_TRACKING_URI": "http://127.0.0.1:1", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    cleaning = subprocess.Popen([sys.executable, "-c", _CLEAN], stdout=subprocess.PIPE, text=True, env=os.environ | no_mlflow)
    waits: list[float] = []
    while cleaning.poll() is None:
        started = time.monotonic()
        stores.alerts.put([alert(len(waits), datetime.now(UTC) + LATER, score=85.0)], "live")
        waits.append(time.monotonic() - started)
        time.sleep(0.02)
    removed, grown = map(int, cleaning.communicate()[0].split())
    assert removed == amount and db.execute("SELECT count(*) FROM alerts").fetchone() == (len(waits),)
    db.close()
    assert max(waits) < 2.0 and grown < 150, (max(waits), grown)
    happened(f"{amount:,} removed; the scorer waited {max(waits):.2f} s at most; {grown} MB")


def test_a_verdict_given_meanwhile_keeps_the_alert(home: Path) -> None:
    stores = open_stores(load_settings().database)
    stores.alerts.put([alert(1), alert(2)], "live")
    future = datetime.now(UTC) + LATER
    bounds = AlertBounds(future, None, future)
    (found,) = stores.retention.old_alerts(bounds)
    stores.rules.put_verdict(alert(1).id, "false positive", "test")
    assert stores.retention.remove_alerts(found.ids, bounds) == 1
    assert [a["id"] for a in stores.alerts.latest()] == [alert(1).id]
