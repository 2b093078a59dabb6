"""`mlids status` for people and for machines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from mlids import pipeline
from mlids.alerts.stores.ledger import LedgerDay
from mlids.settings import load_settings
from tests.conftest import ROOT


def mlids(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mlids.cli", "status", *arguments],
        cwd=ROOT, env=os.environ | {"COLUMNS": "80"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_status_is_one_screen_and_names_what_is_wrong(home: Path) -> None:
    stores = pipeline.open_stores(load_settings())
    stores.ledger.put_day(LedgerDay("hq", "2026-11-20", 6_123_456, 3, 24, problems=["conn.12.log: cut\x1b[31m short"]))
    stores.ledger.put_day(LedgerDay("a-sensor-with-a-long-name", "2026-11-19", 100, 0, 1))
    stores.close()
    (home / "state" / "hq").mkdir(parents=True)
    stored = {
        "sensor": "hq", "state": "waiting", "rows": 1_234_567, "lag_s": 45.0, "updated_at": "2026-11-20T12:00:00+00:00",
        "last_error": "zeek.example does not answer", "stopped_sinks": {"elasticsearch": "the key may not write"}, "other_logs": {"error": "dns.log: no permission"},
    }  # fmt: skip
    (home / "state" / "hq" / "status.json").write_text(json.dumps(stored))
    shown = mlids()
    lines = shown.splitlines()
    assert max(map(len, lines)) <= 80 and "{" not in shown and "\x1b" not in shown
    assert "  hq: waiting, 1,234,567 conns, 45 s behind (at 2026-11-20 12:00:00 UTC)" in lines
    assert "last error: zeek.example does not answer" in shown and "sink elasticsearch is stopped: the key may not write" in shown
    assert "other logs: dns.log: no permission" in shown and "2026-11-20 hq             6,123,456        3" in shown
    assert "conn.12.log: cut\\x1b[31m short" in shown and "the reference model scores" in shown
    facts = json.loads(mlids("--json"))
    assert [d["archived"] for d in facts["days"]] == [6_123_456, 100] and facts["model"] is None and facts["cases"]["high"] == 0


def test_status_of_a_new_home_says_what_comes_next(home: Path) -> None:
    home.mkdir()
    (home / "sensors.toml").write_text("")
    shown = mlids()
    assert "`mlids serve` follows the sensors" in shown and "`mlids pull` and `mlids ingest` bring them" in shown
