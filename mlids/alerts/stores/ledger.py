"""The ledger: for each sensor day, and each hour of it, how many conns were archived, scored live, scored late or rejected.

Of the logs beside conn.log it has the rows that a day has in the archive, and how many were read live.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa

from mlids.alerts.stores.engine import Engine, now
from mlids.alerts.stores.tables import HOURS, LEDGER, LOG_DAYS

_PROBLEMS_KEPT = 50
_DAYS_RETURNED = 1_000


@dataclass(frozen=True)
class LedgerDay:
    """One sensor day: rows and files of the archive. `scored` and `alerts` are null until a model has scored the day."""

    sensor: str
    day: str  # ISO 8601
    archived: int
    rejected: int
    files: int
    problems: Sequence[str] = ()
    scored: int | None = None
    alerts: int | None = None


class LedgerStore:
    """Days and hours of the ledger. Every method raises StoreError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put_day(self, day: LedgerDay) -> None:
        """Insert or replace a sensor day; the first 50 problems are kept."""
        row = {
            "sensor": day.sensor, "day": day.day, "archived": day.archived, "rejected": day.rejected, "files": day.files,
            "problems": json.dumps(list(day.problems)[:_PROBLEMS_KEPT]), "scored": day.scored, "alerts": day.alerts, "at": now(),
        }  # fmt: skip
        with self._engine.writing("ledger days") as db:
            db.execute(self._engine.upsert(LEDGER), [row])

    def days(self, start: date | None = None, end: date | None = None) -> list[dict[str, Any]]:
        """Return ledger rows of days from `start` up to, not including, `end`; newest first, 1,000 at most.

        `live`, `late` and `missing` are null for a day that is not reconciled yet.
        """
        sums = {n: sa.func.sum(HOURS.c[n]).label(n) for n in ("archived", "live", "late")}
        by_day = sa.select(HOURS.c.sensor, HOURS.c.day, *sums.values()).group_by(HOURS.c.sensor, HOURS.c.day).subquery()
        missing = (by_day.c.archived - by_day.c.live - by_day.c.late).label("missing")
        query = sa.select(LEDGER, by_day.c.live, by_day.c.late, missing).join(
            by_day, (by_day.c.sensor == LEDGER.c.sensor) & (by_day.c.day == LEDGER.c.day), isouter=True
        )
        if start is not None:
            query = query.where(LEDGER.c.day >= start.isoformat())
        if end is not None:
            query = query.where(LEDGER.c.day < end.isoformat())
        query = query.order_by(LEDGER.c.day.desc(), LEDGER.c.sensor).limit(_DAYS_RETURNED)
        with self._engine.reading("ledger days") as db:
            return [dict(r) | {"problems": json.loads(r["problems"])} for r in db.execute(query).mappings()]

    def put_hours(self, sensor: str, day: str, hours: Sequence[Mapping[str, Any]]) -> None:
        """Replace the hours of a sensor day."""
        with self._engine.writing("ledger hours") as db:
            db.execute(sa.delete(HOURS).where(HOURS.c.sensor == sensor, HOURS.c.day == day))
            if hours:
                db.execute(self._engine.upsert(HOURS), [{"sensor": sensor, "day": day, **h} for h in hours])

    def hours(self, start: date, end: date, sensor: str | None = None) -> list[dict[str, Any]]:
        """Return the hours of days from `start` up to, not including, `end`, by sensor and time, with `missing`."""
        query = sa.select(HOURS).where(HOURS.c.day >= start.isoformat(), HOURS.c.day < end.isoformat())
        if sensor is not None:
            query = query.where(HOURS.c.sensor == sensor)
        with self._engine.reading("ledger hours") as db:
            found = db.execute(query.order_by(HOURS.c.sensor, HOURS.c.day, HOURS.c.hour)).mappings().all()
        return [dict(r) | {"missing": r["archived"] - r["live"] - r["late"]} for r in found]

    def put_logs(self, sensor: str, day: str, logs: Mapping[str, tuple[int, int | None]]) -> None:
        """Replace the other logs of a sensor day: by log the rows archived and those read live (None: it is not followed)."""
        rows = [{"sensor": sensor, "day": day, "log": log, "archived": n, "live": live} for log, (n, live) in logs.items()]
        with self._engine.writing("ledger logs") as db:
            db.execute(sa.delete(LOG_DAYS).where(LOG_DAYS.c.sensor == sensor, LOG_DAYS.c.day == day))
            if rows:
                db.execute(self._engine.upsert(LOG_DAYS), rows)

    def logs(self, start: date, end: date, sensor: str | None = None) -> list[dict[str, Any]]:
        """Return the logs beside conn.log of days from `start` up to, not including, `end`, by sensor, day and log.

        `missing` are the rows that were not read live, at least; null for a log that is not followed.
        """
        query = sa.select(LOG_DAYS).where(LOG_DAYS.c.day >= start.isoformat(), LOG_DAYS.c.day < end.isoformat())
        if sensor is not None:
            query = query.where(LOG_DAYS.c.sensor == sensor)
        with self._engine.reading("ledger logs") as db:
            found = db.execute(query.order_by(LOG_DAYS.c.sensor, LOG_DAYS.c.day, LOG_DAYS.c.log)).mappings().all()
        return [dict(r) | {"missing": None if r["live"] is None else max(r["archived"] - r["live"], 0)} for r in found]
