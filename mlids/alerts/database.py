"""The tables behind alerts, verdicts, the audit of model moves and the ledger; SQLite, or PostgreSQL by URL."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from mlids.alerts.document import Alert
from mlids.errors import StoreError

META = sa.MetaData()
ALERTS = sa.Table(
    "alerts", META,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("ts", sa.String(32), index=True, nullable=False),
    sa.Column("sensor", sa.String(64), nullable=False),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("src", sa.String(64), index=True, nullable=False),
    sa.Column("dst", sa.String(64), nullable=False),
    sa.Column("score", sa.Float, nullable=False),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("model_version", sa.String(32)),
    sa.Column("origin", sa.String(16), nullable=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("updated_at", sa.String(32), nullable=False),
)  # fmt: skip
VERDICTS = sa.Table(
    "verdicts", META,
    sa.Column("alert_id", sa.String(64), primary_key=True),
    sa.Column("verdict", sa.String(16), nullable=False),
    sa.Column("who", sa.String(128), nullable=False),
    sa.Column("note", sa.Text),
    sa.Column("at", sa.String(32), nullable=False),
)  # fmt: skip
AUDIT = sa.Table(
    "audit", META,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", sa.String(32), nullable=False),
    sa.Column("who", sa.String(128), nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("from_version", sa.String(32)),
    sa.Column("to_version", sa.String(32)),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("gate", sa.Text),
)  # fmt: skip
LEDGER = sa.Table(
    "ledger", META,
    sa.Column("sensor", sa.String(64), primary_key=True),
    sa.Column("day", sa.String(10), primary_key=True),
    sa.Column("archived", sa.Integer, nullable=False),
    sa.Column("rejected", sa.Integer, nullable=False),
    sa.Column("files", sa.Integer, nullable=False),
    sa.Column("problems", sa.Text, nullable=False),
    sa.Column("scored", sa.Integer),
    sa.Column("alerts", sa.Integer),
    sa.Column("at", sa.String(32), nullable=False),
)  # fmt: skip


def now() -> str:
    """Return the time of writing, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Database:
    """One connection pool to the product's own tables. Writing the same twice leaves it as once."""

    def __init__(self, url: str) -> None:
        if url.startswith("sqlite:///"):
            Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        try:
            # SQLite: a connection a statement, so that none outlives its use in a forked task.
            sqlite: dict[str, Any] = {"connect_args": {"timeout": 30}, "poolclass": sa.pool.NullPool}
            self._engine = sa.create_engine(url, **(sqlite if url.startswith("sqlite") else {}))
            with self._engine.begin() as db:
                if url.startswith("sqlite"):
                    db.exec_driver_sql("PRAGMA journal_mode=WAL")
                META.create_all(db)
        except sa.exc.SQLAlchemyError as error:
            shown = sa.engine.make_url(url).render_as_string(hide_password=True)
            raise StoreError(f"database {shown}: {_short(error)}") from error

    def close(self) -> None:
        """Close the pool."""
        self._engine.dispose()

    def _upsert(self, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
        if not rows:
            return
        dialect = self._engine.dialect.name
        if dialect == "postgresql":
            from sqlalchemy.dialects.postgresql import insert
        else:
            from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]
        statement = insert(table)
        keys = [c.name for c in table.primary_key]
        changed = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in keys}
        statement = statement.on_conflict_do_update(index_elements=keys, set_=changed)
        try:
            with self._engine.begin() as db:
                db.execute(statement, list(rows))
        except sa.exc.SQLAlchemyError as error:
            raise StoreError(f"table {table.name} could not be written: {_short(error)}") from error

    def put_alerts(self, alerts: Iterable[Alert], origin: str) -> None:
        """Insert alerts or bring them up to date. `origin` is `live` or `batch`."""
        self._upsert(ALERTS, [_row(a, origin) for a in alerts])

    def alerts(self, *, since: datetime | None = None, until: datetime | None = None, limit: int = 1_000) -> list[dict[str, Any]]:
        """Return alert documents, newest first, each with its `id`, `origin` and verdict."""
        query = sa.select(ALERTS, VERDICTS.c.verdict).join(VERDICTS, VERDICTS.c.alert_id == ALERTS.c.id, isouter=True)
        if since is not None:
            query = query.where(ALERTS.c.ts >= _stamp(since))
        if until is not None:
            query = query.where(ALERTS.c.ts < _stamp(until))
        query = query.order_by(ALERTS.c.ts.desc(), ALERTS.c.id).limit(limit)
        with self._engine.connect() as db:
            found = db.execute(query).mappings().all()
        return [
            json.loads(r["document"]) | {"id": r["id"], "origin": r["origin"], "updated_at": r["updated_at"], "verdict": r["verdict"]}
            for r in found
        ]

    def judged_alerts(self, limit: int = 10_000) -> list[dict[str, Any]]:
        """Return the alert documents that have a verdict, with it, newest first."""
        query = sa.select(ALERTS.c.document, VERDICTS.c.verdict).join(VERDICTS, VERDICTS.c.alert_id == ALERTS.c.id)
        with self._engine.connect() as db:
            found = db.execute(query.order_by(ALERTS.c.ts.desc(), ALERTS.c.id).limit(limit)).all()
        return [json.loads(document) | {"verdict": verdict} for document, verdict in found]

    def drop_day_alerts(self, sensor: str, start: datetime, end: datetime, keep: set[str]) -> None:
        """Remove batch alerts of a sensor's span that a new scoring no longer gives."""
        found = sa.select(ALERTS.c.id).where(
            ALERTS.c.sensor == sensor, ALERTS.c.origin == "batch", ALERTS.c.ts >= _stamp(start), ALERTS.c.ts < _stamp(end)
        )
        with self._engine.begin() as db:
            gone = [i for (i,) in db.execute(found) if i not in keep]
            for start_at in range(0, len(gone), 500):
                db.execute(sa.delete(ALERTS).where(ALERTS.c.id.in_(gone[start_at : start_at + 500])))

    def put_verdict(self, alert_id: str, verdict: str, who: str, note: str | None = None) -> None:
        """Store an analyst's verdict on an alert. Raises StoreError when there is no such alert."""
        with self._engine.connect() as db:
            if db.execute(sa.select(ALERTS.c.id).where(ALERTS.c.id == alert_id)).first() is None:
                raise StoreError(f"there is no alert {alert_id}")
        self._upsert(VERDICTS, [{"alert_id": alert_id, "verdict": verdict, "who": who, "note": note, "at": now()}])

    def audit(self, who: str, action: str, from_version: str | None, to_version: str | None, why: str, gate: str | None = None) -> None:
        """Write one row for a move of an alias, or for a refusal."""
        row = {"at": now(), "who": who, "action": action, "from_version": from_version, "to_version": to_version, "why": why, "gate": gate}
        with self._engine.begin() as db:
            db.execute(sa.insert(AUDIT), [row])

    def audit_rows(self, limit: int = 50) -> list[dict[str, Any]]:
        """Return the audit, newest first."""
        with self._engine.connect() as db:
            return [dict(r) for r in db.execute(sa.select(AUDIT).order_by(AUDIT.c.id.desc()).limit(limit)).mappings()]

    def put_ledger(
        self, sensor: str, day: date | str, *, archived: int, rejected: int, files: int, problems: Sequence[str],
        scored: int | None = None, alerts: int | None = None,
    ) -> None:  # fmt: skip
        """Record what became of one sensor's day."""
        row = {
            "sensor": sensor, "day": str(day), "archived": archived, "rejected": rejected, "files": files,
            "problems": json.dumps(list(problems)[:50]), "scored": scored, "alerts": alerts, "at": now(),
        }  # fmt: skip
        self._upsert(LEDGER, [row])

    def ledger(self, start: date | None = None, end: date | None = None) -> list[dict[str, Any]]:
        """Return ledger rows of days from `start` up to, not including, `end`; newest first."""
        query = sa.select(LEDGER).order_by(LEDGER.c.day.desc(), LEDGER.c.sensor)
        if start is not None:
            query = query.where(LEDGER.c.day >= start.isoformat())
        if end is not None:
            query = query.where(LEDGER.c.day < end.isoformat())
        with self._engine.connect() as db:
            return [dict(r) | {"problems": json.loads(r["problems"])} for r in db.execute(query.limit(1_000)).mappings()]


def _row(alert: Alert, origin: str) -> dict[str, Any]:
    document = alert.document()
    return {
        "id": alert.id, "ts": document["ts"], "sensor": alert.key.sensor, "kind": alert.key.kind, "src": alert.src,
        "dst": alert.dst, "score": alert.score, "count": alert.count, "model_version": alert.model_version,
        "origin": origin, "document": json.dumps(document), "updated_at": now(),
    }  # fmt: skip


def _stamp(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _short(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).split("\n", 1)[0][:300]
