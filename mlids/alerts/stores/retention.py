"""What is old in the tables: found by pages of an index, removed in transactions that are short enough for a live scorer."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa

from mlids.alerts.stores.engine import Engine
from mlids.alerts.stores.tables import ALERTS, HOURS, LEDGER, LOG_DAYS, VERDICTS
from mlids.window import stamp

# risk_score from which an alert without a verdict is an open case.
OPEN_CASE_RISK = 90.0
_ROWS_AT_ONCE = 500


@dataclass(frozen=True)
class AlertBounds:
    """Alerts that began and were last written before `before` go, open cases (OPEN_CASE_RISK) before `open_cases_before`; None: they stay.

    A sensor may say anything about when an alert began: what it places after `future` is as old as its last writing.
    """

    before: datetime | None
    open_cases_before: datetime | None
    future: datetime


@dataclass(frozen=True)
class OldAlerts:
    """Some old alerts: their ids, the size of their documents, and when the first and the last began."""

    ids: Sequence[str]
    bytes: int
    first: str
    last: str


class RetentionStore:
    """Old alerts and old days of the ledger. Alerts with a verdict are labels: they are never old. Every method raises StoreError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def old_alerts(self, bounds: AlertBounds) -> Iterator[OldAlerts]:
        """Yield the old alerts, oldest first, some hundreds at a time; those found before may be removed meanwhile."""
        old = _old(bounds)
        size = sa.func.length(ALERTS.c.document) + sa.func.coalesce(sa.func.length(ALERTS.c.parts), 0)
        place = ("", "")
        while old is not None:
            after = sa.or_(ALERTS.c.ts > place[0], sa.and_(ALERTS.c.ts == place[0], ALERTS.c.id > place[1]))
            page = sa.select(ALERTS.c.id, ALERTS.c.ts, size).where(ALERTS.c.ts >= place[0], after, old)
            with self._engine.reading("old alerts") as db:
                found = db.execute(page.order_by(ALERTS.c.ts, ALERTS.c.id).limit(_ROWS_AT_ONCE)).all()
            if not found:
                return
            place = (found[-1][1], found[-1][0])
            yield OldAlerts([r[0] for r in found], sum(r[2] for r in found), found[0][1], found[-1][1])

    def remove_alerts(self, ids: Sequence[str], bounds: AlertBounds) -> int:
        """Remove alerts, save for those that got a verdict meanwhile; return how many, in one short transaction."""
        old = _old(bounds)
        if old is None:
            return 0
        with self._engine.writing("old alerts") as db:
            return int(db.execute(sa.delete(ALERTS).where(ALERTS.c.id.in_(ids), old)).rowcount)

    def open_cases(self, since: datetime | None, until: datetime, limit: int) -> list[tuple[str, str, str]]:
        """Return sensor, first and last time of the open cases by sensor and day (UTC), the highest risk first; `limit` at most."""
        day = sa.func.substr(ALERTS.c.ts, 1, 10)
        query = sa.select(ALERTS.c.sensor, sa.func.min(ALERTS.c.ts), sa.func.max(ALERTS.c.ts)).where(
            ALERTS.c.score >= OPEN_CASE_RISK, ALERTS.c.ts < stamp(until), ~_judged()
        )
        if since is not None:
            query = query.where(ALERTS.c.ts >= stamp(since))
        query = query.group_by(ALERTS.c.sensor, day).order_by(sa.func.max(ALERTS.c.score).desc(), day.desc(), ALERTS.c.sensor)
        with self._engine.reading("open cases") as db:
            return [(r[0], r[1], r[2]) for r in db.execute(query.limit(limit))]

    def reconciled(self, before: date) -> set[tuple[str, str]]:
        """Return sensor and day of the days before `before` that were compared with live scoring, or have no conns."""
        hours = sa.select(HOURS.c.sensor, HOURS.c.day).where(HOURS.c.day < before.isoformat()).distinct()
        empty = sa.select(LEDGER.c.sensor, LEDGER.c.day).where(LEDGER.c.day < before.isoformat(), LEDGER.c.archived == 0)
        with self._engine.reading("ledger days") as db:
            return {(r[0], r[1]) for r in db.execute(sa.union(hours, empty))}

    def old_days(self, before: date, held: Collection[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return sensor and day of the ledger's days before `before` whose data is not `held` any more, oldest first."""
        query = sa.select(LEDGER.c.sensor, LEDGER.c.day).where(LEDGER.c.day < before.isoformat())
        with self._engine.reading("ledger days") as db:
            return [(r[0], r[1]) for r in db.execute(query.order_by(LEDGER.c.day, LEDGER.c.sensor)) if (r[0], r[1]) not in held]

    def remove_day(self, sensor: str, day: str) -> None:
        """Remove a day, its hours and its other logs from the ledger."""
        with self._engine.writing("old ledger days") as db:
            for table in (HOURS, LOG_DAYS, LEDGER):
                db.execute(sa.delete(table).where(table.c.sensor == sensor, table.c.day == day))


def _judged() -> Any:
    return sa.exists(sa.select(VERDICTS.c.alert_id).where(VERDICTS.c.alert_id == ALERTS.c.id).correlate(ALERTS))


def _old(bounds: AlertBounds) -> Any:
    """Return the condition that an alert is old; None when none ever is."""
    ages = []
    if bounds.before is not None:
        ages.append(sa.and_(_before(bounds, bounds.before), ALERTS.c.score < OPEN_CASE_RISK))
    if bounds.open_cases_before is not None:
        ages.append(_before(bounds, bounds.open_cases_before))
    return sa.and_(sa.or_(*ages), ~_judged()) if ages else None


def _before(bounds: AlertBounds, moment: datetime) -> Any:
    began = sa.or_(ALERTS.c.ts < stamp(moment), ALERTS.c.ts >= stamp(bounds.future))
    return sa.and_(began, ALERTS.c.updated_at < moment.astimezone(UTC).isoformat(timespec="seconds"))
