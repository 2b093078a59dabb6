"""Stored alerts: one row each, with the document of every scoring that contributed to it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mlids.alerts.document import Alert, merged
from mlids.alerts.stores.engine import Engine, now
from mlids.alerts.stores.tables import ALERTS, VERDICTS
from mlids.window import stamp

_ROWS_AT_ONCE = 500


class AlertStore:
    """Alerts by id. Writing the same alerts twice leaves them as once. Every method raises StoreError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._upsert = engine.upsert(ALERTS, keep=frozenset({"suppressed_by"}))

    def put(self, alerts: Sequence[Alert], part: str) -> list[dict[str, Any]]:
        """Insert or update alerts; return their documents, merged with those that other scorings stored.

        `part` names the scoring: `live`, or `late` and its day. A part replaces what it stored before, except
        that a live count never falls: a scorer that lost its state counts from the start again.
        """
        out: list[dict[str, Any]] = []
        for start in range(0, len(alerts), _ROWS_AT_ONCE):
            some = {a.id: a for a in alerts[start : start + _ROWS_AT_ONCE]}
            with self._engine.writing("alerts") as db:
                stored = _locked_parts(db, list(some))
                rows = [_row(a.id, _with_part(stored.get(a.id, {}), part, a)) for a in some.values()]
                db.execute(self._upsert, rows)
            out += [json.loads(r["document"]) for r in rows]
        return out

    def latest(
        self, *, since: datetime | None = None, until: datetime | None = None, limit: int = 1_000,
        suppressed: bool = False, starting_with: str = "",
    ) -> list[dict[str, Any]]:  # fmt: skip
        """Return alert documents of the window, newest first, each with `id`, `origin`, `updated_at`, `verdict` and `suppressed_by`.

        Suppressed alerts are left out, except with `suppressed`, or when `starting_with` (the beginning of an id) is given.
        """
        query = sa.select(ALERTS, VERDICTS.c.verdict).join(VERDICTS, VERDICTS.c.alert_id == ALERTS.c.id, isouter=True)
        if starting_with:
            query = query.where(ALERTS.c.id.startswith(starting_with, autoescape=True))
        elif not suppressed:
            query = query.where(ALERTS.c.suppressed_by.is_(None))
        if since is not None:
            query = query.where(ALERTS.c.ts >= stamp(since))
        if until is not None:
            query = query.where(ALERTS.c.ts < stamp(until))
        query = query.order_by(ALERTS.c.ts.desc(), ALERTS.c.id).limit(limit)
        with self._engine.reading("alerts") as db:
            found = db.execute(query).mappings().all()
        return [json.loads(r["document"]) | {n: r[n] for n in ("id", "origin", "updated_at", "verdict", "suppressed_by")} for r in found]

    def kinds(self) -> list[str]:
        """Return the kinds of the stored alerts, each once, in no order."""
        with self._engine.reading("alerts") as db:
            return [kind for (kind,) in db.execute(sa.select(ALERTS.c.kind).distinct())]

    def judged(self, limit: int = 10_000) -> list[dict[str, Any]]:
        """Return the documents of the alerts that have a verdict, with `verdict`, newest first."""
        query = sa.select(ALERTS.c.document, VERDICTS.c.verdict).join(VERDICTS, VERDICTS.c.alert_id == ALERTS.c.id)
        with self._engine.reading("alerts") as db:
            found = db.execute(query.order_by(ALERTS.c.ts.desc(), ALERTS.c.id).limit(limit)).all()
        return [json.loads(document) | {"verdict": verdict} for document, verdict in found]

    def drop_part(self, sensor: str, part: str, keep: set[str]) -> None:
        """Remove a scoring's part from a sensor's alerts, except those whose id is in `keep`; an alert without parts is deleted."""
        found = sa.select(ALERTS.c.id).where(ALERTS.c.sensor == sensor, ALERTS.c.parts.contains(json.dumps(part), autoescape=True))
        with self._engine.writing("alerts") as db:
            dropped = [i for (i,) in db.execute(found).all() if i not in keep]
            for start in range(0, len(dropped), _ROWS_AT_ONCE):
                stored = _locked_parts(db, dropped[start : start + _ROWS_AT_ONCE])
                left = {i: {k: v for k, v in parts.items() if k != part} for i, parts in stored.items()}
                rows = [_row(i, parts) for i, parts in left.items() if parts]
                if rows:
                    db.execute(self._upsert, rows)
                db.execute(sa.delete(ALERTS).where(ALERTS.c.id.in_([i for i, parts in left.items() if not parts])))


def _locked_parts(db: sa.Connection, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the parts of alerts; the rows are locked until the transaction ends."""
    chosen = ALERTS.c.id.in_(ids)
    db.execute(sa.update(ALERTS).where(chosen).values(updated_at=ALERTS.c.updated_at))  # a write takes the lock, in SQLite too
    found = db.execute(sa.select(ALERTS.c.id, ALERTS.c.parts, ALERTS.c.origin, ALERTS.c.document).where(chosen))
    return {i: json.loads(parts) if parts else {origin: json.loads(document)} for i, parts, origin, document in found}


def _with_part(parts: dict[str, dict[str, Any]], part: str, alert: Alert) -> dict[str, dict[str, Any]]:
    document, before = alert.document(), parts.get(part)
    if part == "live" and before is not None:
        document["mlids"]["count"] = max(document["mlids"]["count"], before["mlids"]["count"])
    return parts | {part: document}


def _row(alert_id: str, parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    document = merged(parts)
    origin = "live" if "live" in parts else "late"
    return {
        "id": alert_id, "ts": document["ts"], "sensor": document["observer"]["name"], "kind": document["mlids"]["kind"],
        "src": _storable(document["src"]), "dst": _storable(document["dst"]), "score": document["score"],
        "count": document["mlids"]["count"], "model_version": document["mlids"]["model_version"], "origin": origin,
        "document": json.dumps(document), "parts": json.dumps(parts), "updated_at": now(),
    }  # fmt: skip


def _storable(text: str) -> str:
    """Return a log's text as every database stores it: PostgreSQL takes no NUL, and the column is 64 characters wide."""
    return text.replace("\0", "\\x00")[:64]
