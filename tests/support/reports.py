"""Facts of a weekly report for tests: a week of which every day was read, with alerts and cases as their stores give them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from mlids.cases.severity import Severity
from mlids.reporting.facts import WeekFacts
from mlids.reporting.week import CaseWeek, WeekCounts
from mlids.window import Window

WEEK = Window(datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 11, 9, tzinfo=UTC))


def alert_of(src: str, score: float, reasons: str = "a beacon") -> dict[str, Any]:
    return {
        "src": src, "dst": "192.0.2.7", "score": score, "ts": "2026-11-04T10:00:00+00:00", "destination": {"port": 443}, "verdict": None,
        "mlids": {"kind": "beacon", "count": 1, "reasons": reasons},
    }  # fmt: skip


def ledger(day: str, archived: int = 1_000, problems: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "day": day, "sensor": "hq", "archived": archived, "rejected": 0, "files": 24, "live": archived, "late": 0, "missing": 0, "problems": list(problems),
    }  # fmt: skip


def case(title: str, **changes: Any) -> dict[str, Any]:
    evidence = {
        "log": "conn",
        "sentence": "10.0.0.5 calls 203.0.113.9 every 27 s",
        "text": "beacon",
        "count": 400,
        "first": "2026-11-04T12:00:00.0Z",
    }
    tls = {
        "log": "ssl",
        "sentence": "10.0.0.5 has a session",
        "text": "signed by itself",
        "technique": "T1573.002",
        "score": 0.3,
        "count": 1,
        "first": "2026-11-04T09:00:00.0Z",
    }
    return {
        "id": "0123456789abcdef", "severity": "high", "title": title, "host": "10.0.0.5", "first": "2026-11-04T12:00:00.000000Z", "last": "2026-11-04T15:00:00.000000Z",
        "sensor": "hq", "state": "open", "verdict": None, "who": None, "note": None, "evidence": [evidence, tls], "next_steps": ["isolate the host"],
        "attack": [{"id": "T1071", "name": "Application Layer Protocol", "tactics": ["Command and Control"]}],
    } | changes  # fmt: skip


def week(cases: list[dict[str, Any]], **changes: Any) -> WeekFacts:
    """Return a week of which every day was read, with these cases."""
    days = [f"2026-11-{d:02}" for d in range(2, 9)]
    still = sum(c["state"] != "closed" for c in cases)
    facts = WeekFacts(
        window=WEEK, sensors=("hq",), ledger=[ledger(d) for d in days], by_day={d: dict.fromkeys(Severity, 0) for d in days},
        cases=CaseWeek(WeekCounts(len(cases), 1, 0, 0, 7), WeekCounts(0, 0, 0, 0, 7), still, 0, cases), case_levels={Severity.HIGH: len(cases)},
    )  # fmt: skip
    return replace(facts, **changes)
