"""The tables behind alerts, verdicts, the audit of model moves and the ledger; SQLite, or PostgreSQL by URL."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from mlids.alerts.document import Alert, merged
from mlids.alerts.suppression import Rule, key_of
from mlids.alerts.tables import ALERTS, AUDIT, HOURS, LEDGER, SUPPRESSIONS, VERDICTS, create
from mlids.errors import StoreError


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
                create(db)
        except sa.exc.SQLAlchemyError as error:
            shown = sa.engine.make_url(url).render_as_string(hide_password=True)
            raise StoreError(f"database {shown}: {_short(error)}") from error

    def close(self) -> None:
        """Close the pool."""
        self._engine.dispose()

    def _upsert(self, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
        if not rows:
            return
        try:
            with self._engine.begin() as db:
                db.execute(self._statement(table), list(rows))
        except sa.exc.SQLAlchemyError as error:
            raise StoreError(f"table {table.name} could not be written: {_short(error)}") from error

    def _statement(self, table: sa.Table) -> Any:
        """Return the insert that replaces rows of the same key; what hides an alert stays."""
        dialect = self._engine.dialect.name
        if dialect == "postgresql":
            from sqlalchemy.dialects.postgresql import insert
        else:
            from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]
        statement = insert(table)
        keys = [c.name for c in table.primary_key]
        changed = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in {*keys, "suppressed_by"}}
        return statement.on_conflict_do_update(index_elements=keys, set_=changed)

    def put_alerts(self, alerts: Sequence[Alert], part: str) -> list[dict[str, Any]]:
        """Insert alerts or bring them up to date; return their documents, merged with what other scorings know of them.

        `part` is `live`, or `late` and its day. What a part says replaces what it said before, save that a
        live count never falls: a scorer that lost its state counts anew.
        """
        out: list[dict[str, Any]] = []
        for start in range(0, len(alerts), 500):
            some = {a.id: a for a in alerts[start : start + 500]}
            try:
                with self._engine.begin() as db:
                    held = self._held_parts(db, list(some))
                    rows = []
                    for alert in some.values():
                        parts = held.get(alert.id, {})
                        document, before = alert.document(), parts.get(part)
                        if part == "live" and before is not None and before["mlids"]["count"] > alert.count:
                            document["mlids"]["count"] = before["mlids"]["count"]
                        rows.append(_row(alert.id, parts | {part: document}))
                    db.execute(self._statement(ALERTS), rows)
            except sa.exc.SQLAlchemyError as error:
                raise StoreError(f"alerts could not be written: {_short(error)}") from error
            out += [json.loads(r["document"]) for r in rows]
        return out

    @staticmethod
    def _held_parts(db: sa.Connection, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the parts of alerts; nobody else changes them before the transaction ends."""
        chosen = ALERTS.c.id.in_(ids)
        db.execute(sa.update(ALERTS).where(chosen).values(updated_at=ALERTS.c.updated_at))  # takes the lock first
        found = db.execute(sa.select(ALERTS.c.id, ALERTS.c.parts, ALERTS.c.origin, ALERTS.c.document).where(chosen))
        return {i: json.loads(parts) if parts else {origin: json.loads(document)} for i, parts, origin, document in found}

    def alerts(
        self, *, since: datetime | None = None, until: datetime | None = None, limit: int = 1_000,
        suppressed: bool = False, starting_with: str = "",
    ) -> list[dict[str, Any]]:  # fmt: skip
        """Return alert documents, newest first, each with its `id`, `origin`, verdict and the rule that hides it.

        Those that a rule hides are left out, save when `suppressed`, or when asked for by the beginning of an id.
        """
        query = sa.select(ALERTS, VERDICTS.c.verdict).join(VERDICTS, VERDICTS.c.alert_id == ALERTS.c.id, isouter=True)
        if starting_with:
            query = query.where(ALERTS.c.id.startswith(starting_with, autoescape=True))
        elif not suppressed:
            query = query.where(ALERTS.c.suppressed_by.is_(None))
        if since is not None:
            query = query.where(ALERTS.c.ts >= _stamp(since))
        if until is not None:
            query = query.where(ALERTS.c.ts < _stamp(until))
        query = query.order_by(ALERTS.c.ts.desc(), ALERTS.c.id).limit(limit)
        with self._engine.connect() as db:
            found = db.execute(query).mappings().all()
        return [json.loads(r["document"]) | {n: r[n] for n in ("id", "origin", "updated_at", "verdict", "suppressed_by")} for r in found]

    def kinds(self) -> list[str]:
        """Return the kinds that stored alerts are of."""
        with self._engine.connect() as db:
            return [kind for (kind,) in db.execute(sa.select(ALERTS.c.kind).distinct())]

    def judged_alerts(self, limit: int = 10_000) -> list[dict[str, Any]]:
        """Return the alert documents that have a verdict, with it, newest first."""
        query = sa.select(ALERTS.c.document, VERDICTS.c.verdict).join(VERDICTS, VERDICTS.c.alert_id == ALERTS.c.id)
        with self._engine.connect() as db:
            found = db.execute(query.order_by(ALERTS.c.ts.desc(), ALERTS.c.id).limit(limit)).all()
        return [json.loads(document) | {"verdict": verdict} for document, verdict in found]

    def drop_part(self, sensor: str, part: str, keep: set[str]) -> None:
        """Take a scoring's share out of a sensor's alerts that it no longer gives; what nobody else knows of is removed."""
        found = sa.select(ALERTS.c.id).where(ALERTS.c.sensor == sensor, ALERTS.c.parts.contains(json.dumps(part), autoescape=True))
        with self._engine.begin() as db:
            gone = [i for (i,) in db.execute(found) if i not in keep]
            for start in range(0, len(gone), 500):
                held = self._held_parts(db, gone[start : start + 500])
                left = {i: {k: v for k, v in parts.items() if k != part} for i, parts in held.items()}
                rows = [_row(i, parts) for i, parts in left.items() if parts]
                if rows:
                    db.execute(self._statement(ALERTS), rows)
                db.execute(sa.delete(ALERTS).where(ALERTS.c.id.in_([i for i, parts in left.items() if not parts])))

    def put_verdict(self, alert_id: str, verdict: str, who: str, note: str | None = None) -> None:
        """Store an analyst's verdict on an alert. Raises StoreError when there is no such alert."""
        with self._engine.connect() as db:
            if db.execute(sa.select(ALERTS.c.id).where(ALERTS.c.id == alert_id)).first() is None:
                raise StoreError(f"there is no alert {alert_id}")
        self._upsert(VERDICTS, [{"alert_id": alert_id, "verdict": verdict, "who": who, "note": note, "at": now()}])

    def add_rule(self, rule: Rule, why: str, who: str) -> int:
        """Store a rule that holds alerts back, hide what it covers, and return its id."""
        row = {
            "kind": rule.kind, "sensor": rule.sensor, "src": rule.src, "dst": rule.dst, "port": rule.port, "why": why, "who": who,
            "at": now(), "expires_at": _stamp(rule.expires_at) if rule.expires_at else None,
        }  # fmt: skip
        with self._engine.begin() as db:
            key = db.execute(sa.insert(SUPPRESSIONS).values(row)).inserted_primary_key
        self.hide_covered()
        return int(key[0]) if key else 0

    def end_rule(self, rule_id: int) -> None:
        """Take a rule back; what only it hid is shown again. Raises StoreError when there is none of that id."""
        chosen = (SUPPRESSIONS.c.id == rule_id) & SUPPRESSIONS.c.ended_at.is_(None)
        with self._engine.begin() as db:
            if not db.execute(sa.update(SUPPRESSIONS).where(chosen).values(ended_at=now())).rowcount:
                raise StoreError(f"no rule {rule_id} is in force")
        self.hide_covered()

    def rules(self) -> list[Rule]:
        """Return the rules in force. Raises StoreError when the database does not answer."""
        return [_rule(r) for r in self.rules_in_force()]

    def rules_in_force(self) -> list[dict[str, Any]]:
        """Return the same as rows, with why, who, and how many conns each held back."""
        return [r for r in self.rule_rows() if not r["ended_at"] and _rule(r).active()]

    def rule_rows(self) -> list[dict[str, Any]]:
        """Return all rules, newest first, with why, who, and how many conns each held back."""
        try:
            with self._engine.connect() as db:
                found = db.execute(sa.select(SUPPRESSIONS).order_by(SUPPRESSIONS.c.id.desc())).mappings().all()
        except sa.exc.SQLAlchemyError as error:
            raise StoreError(f"the rules could not be read: {_short(error)}") from error
        return [dict(r) for r in found]

    def count_suppressed(self, conns: Mapping[int, int]) -> None:
        """Add to the number of conns that rules have held back. Raises StoreError when it cannot be stored."""
        try:
            with self._engine.begin() as db:
                for rule, n in conns.items():
                    chosen = sa.update(SUPPRESSIONS).where(SUPPRESSIONS.c.id == rule)
                    db.execute(chosen.values(conns=SUPPRESSIONS.c.conns + n, last_at=now()))
        except sa.exc.SQLAlchemyError as error:
            raise StoreError(f"the rules' counts could not be written: {_short(error)}") from error

    def hide_covered(self) -> None:
        """Hide every stored alert that a rule covers, one that has run out too when it held then; show the others."""
        rules = [_rule(r) for r in self.rule_rows() if not r["ended_at"]]
        with self._engine.begin() as db:
            for alert_id, text, before in db.execute(sa.select(ALERTS.c.id, ALERTS.c.document, ALERTS.c.suppressed_by)).all():
                document = json.loads(text)
                key, began = key_of(document), datetime.fromisoformat(document["ts"])
                rule = next((r.id for r in rules if key is not None and r.active(began) and r.covers(key)), None)
                if rule != before:
                    db.execute(sa.update(ALERTS).where(ALERTS.c.id == alert_id).values(suppressed_by=rule))

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
        """Return ledger rows of days from `start` up to, not including, `end`; newest first.

        `live`, `late` and `missing` are null for a day that was not reconciled yet.
        """
        known = {n: sa.func.sum(HOURS.c[n]).label(n) for n in ("archived", "live", "late")}
        sums = sa.select(HOURS.c.sensor, HOURS.c.day, *known.values()).group_by(HOURS.c.sensor, HOURS.c.day).subquery()
        missing = (sums.c.archived - sums.c.live - sums.c.late).label("missing")
        query = sa.select(LEDGER, sums.c.live, sums.c.late, missing).join(
            sums, (sums.c.sensor == LEDGER.c.sensor) & (sums.c.day == LEDGER.c.day), isouter=True
        )
        query = query.order_by(LEDGER.c.day.desc(), LEDGER.c.sensor)
        if start is not None:
            query = query.where(LEDGER.c.day >= start.isoformat())
        if end is not None:
            query = query.where(LEDGER.c.day < end.isoformat())
        with self._engine.connect() as db:
            return [dict(r) | {"problems": json.loads(r["problems"])} for r in db.execute(query.limit(1_000)).mappings()]

    def put_hours(self, sensor: str, day: str, hours: Sequence[Mapping[str, Any]]) -> None:
        """Replace the hours of a sensor's day in the gap ledger."""
        with self._engine.begin() as db:
            db.execute(sa.delete(HOURS).where(HOURS.c.sensor == sensor, HOURS.c.day == day))
            if hours:
                db.execute(self._statement(HOURS), [{"sensor": sensor, "day": day, **h} for h in hours])

    def hours(self, start: date, end: date, sensor: str | None = None) -> list[dict[str, Any]]:
        """Return the gap ledger of days from `start` up to, not including, `end`, in order, with `missing`."""
        query = sa.select(HOURS).where(HOURS.c.day >= start.isoformat(), HOURS.c.day < end.isoformat())
        if sensor is not None:
            query = query.where(HOURS.c.sensor == sensor)
        with self._engine.connect() as db:
            found = db.execute(query.order_by(HOURS.c.sensor, HOURS.c.day, HOURS.c.hour)).mappings().all()
        return [dict(r) | {"missing": r["archived"] - r["live"] - r["late"]} for r in found]


def _row(alert_id: str, parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    document = merged(parts)
    origin = "live" if "live" in parts else "late"
    return {
        "id": alert_id, "ts": document["ts"], "sensor": document["observer"]["name"], "kind": document["mlids"]["kind"],
        "src": _storable(document["src"]), "dst": _storable(document["dst"]), "score": document["score"],
        "count": document["mlids"]["count"], "model_version": document["mlids"]["model_version"], "origin": origin,
        "document": json.dumps(document), "parts": json.dumps(parts), "updated_at": now(),
    }  # fmt: skip


def _rule(row: Mapping[str, Any]) -> Rule:
    expires = datetime.fromisoformat(row["expires_at"]) if row["expires_at"] else None
    return Rule(row["id"], row["kind"], row["sensor"], row["src"], row["dst"], row["port"], expires)


def _storable(text: str) -> str:
    """Return a log's text as every database takes it: PostgreSQL has no NUL, and the column has its width."""
    return text.replace("\0", "\\x00")[:64]


def _stamp(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _short(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).split("\n", 1)[0][:300]
