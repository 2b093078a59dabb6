"""Evidence for tests: one piece, with what a test does not care about filled in."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mlids.evidence.base import Evidence

NOON = datetime(2026, 11, 4, 12, tzinfo=UTC)
BEACON = Evidence(
    kind="beacon", score=0.8, text="beacon: about 27 s between them", uids=("C1", "C2"), source="10.0.0.5", subject="",
    target="203.0.113.9", port=443, proto="tcp", first=NOON, last=NOON + timedelta(hours=3), count=400, log="conn",
    sentence="calls 203.0.113.9 on port 443/tcp every 27 s",
)  # fmt: skip


def piece(kind: str = "beacon", score: float = 0.8, **changes: Any) -> Evidence:
    """Return BEACON with changes; another kind has no sentence of its own, and other logs no count."""
    own: dict[str, Any] = {} if kind == "beacon" else {"sentence": "", "text": f"{kind}, seen", "count": 1}
    return replace(BEACON, kind=kind, score=score, **(own | changes))
