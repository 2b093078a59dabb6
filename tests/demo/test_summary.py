"""The demo's summary: how many alerts are implanted attacks, and what is printed. No demo is run."""

from __future__ import annotations

import io
from typing import Any

from mlids.demo.run import right_alerts, show_summary
from mlids.synth.archive import ImplantedAttack

SCAN = ImplantedAttack("horizontal_scan", "2026-11-04T02:00:00+00:00", ["10.0.0.9"], ["S1", "S2", "S3"])
BEACON = ImplantedAttack("beacon", "2026-11-04T05:00:00+00:00", ["10.0.0.7"], ["B1"])


def _alert(*uids: str) -> dict[str, Any]:
    return {"mlids": {"uids": list(uids)}}


def test_an_alert_is_right_when_half_of_the_conns_that_it_names_are_of_an_implanted_attack() -> None:
    alerts = [_alert("S1", "S2"), _alert("B1", "X1"), _alert("S3", "X1", "X2"), _alert("X1"), _alert()]
    assert right_alerts([SCAN, BEACON], alerts) == 2
    assert right_alerts([SCAN, BEACON], alerts[2:]) == 0
    assert right_alerts([], alerts) == 0


def test_the_summary_says_how_many_alerts_are_implanted_attacks() -> None:
    out = io.StringIO()
    summary = {
        "rows_pulled": 1_000, "rows_in_lake": 1_000, "rows_rejected": 0, "model_version": "1", "metrics": {}, "alerts": 169,
        "alerts_right": 32, "attacks_planted": 20, "attacks_found": 17, "attacks_missed": ["beacon"],
        "cases": 29, "cases_right": 24, "attacks_in_cases": 17, "cases_per_attack": 1.2,
        "live_ledger": {"live": 5, "late": 0, "missing": 0}, "report": [], "seconds": 1.0, "memory_mb": 1, "airflow": "a", "mlflow": "m",
    }  # fmt: skip
    show_summary(summary, "secret", out)
    lines = [" ".join(line.split()) for line in out.getvalue().splitlines()]
    assert "precision 32 of 169 alerts are implanted attacks" in lines
    assert "attacks found 17 of 20 missed: beacon" in lines
    cases = "cases 24 of 29 cases of medium severity or more are implanted attacks; 17 attacks are in a case, 1.2 cases each"
    assert cases in lines
    out = io.StringIO()
    show_summary(summary | {"model_version": None}, "secret", out)
    assert "none   the first training was refused; the reference model scores" in out.getvalue()
