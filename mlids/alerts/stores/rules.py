"""What analysts decide about alerts: suppression rules, and verdicts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from mlids.alerts.stores.covering import as_rule, rule_rows
from mlids.alerts.stores.engine import Engine, now
from mlids.alerts.stores.tables import ALERTS, SUPPRESSION_HISTORY, SUPPRESSIONS, VERDICTS
from mlids.alerts.suppression import Rule
from mlids.errors import StoreError
from mlids.window import stamp

CONDITIONS = ("kind", "sensor", "src", "dst", "port", "expires_at")


class RuleStore:
    """Suppression rules, by a number that is never used again, and one verdict per alert. Every method raises StoreError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, rule: Rule, why: str, who: str, *, alerts: int | None = None, forced: bool = False) -> int:
        """Store a rule, which hides the stored alerts that it covers, and return its id. `rule.id` is ignored.

        `alerts` is how many it covers and `forced` that it was added although it covers too much: both for the history.
        """
        conditions = {
            "kind": rule.kind, "sensor": rule.sensor, "src": rule.src, "dst": rule.dst, "port": rule.port,
            "expires_at": stamp(rule.expires_at) if rule.expires_at else None,
        }  # fmt: skip
        with self._engine.writing("suppression rules") as db:
            key = db.execute(sa.insert(SUPPRESSIONS).values(conditions | {"why": why, "who": who, "at": now()})).inserted_primary_key
            number = int(key[0]) if key else 0
            _note(db, who, "force" if forced else "add", number, conditions, why, alerts)
        return number

    def end(self, rule_id: int, who: str = "", why: str = "") -> None:
        """End a rule; alerts that only it hid are shown again. Raises StoreError when no rule of that id is in force."""
        chosen = (SUPPRESSIONS.c.id == rule_id) & SUPPRESSIONS.c.ended_at.is_(None)
        with self._engine.writing("suppression rules") as db:
            if not db.execute(sa.update(SUPPRESSIONS).where(chosen).values(ended_at=now())).rowcount:
                raise StoreError(f"no rule {rule_id} is in force; `mlids alerts rules` lists them")
            row = db.execute(sa.select(SUPPRESSIONS).where(SUPPRESSIONS.c.id == rule_id)).mappings().one()
            _note(db, who, "end", rule_id, {name: row[name] for name in CONDITIONS}, why, None)

    def history(self, limit: int = 1_000) -> list[dict[str, Any]]:
        """Return who added, forced and ended rules, when and why, with their `conditions`, newest first."""
        query = sa.select(SUPPRESSION_HISTORY).order_by(SUPPRESSION_HISTORY.c.id.desc()).limit(limit)
        with self._engine.reading("the history of suppression rules") as db:
            return [dict(r) | {"conditions": json.loads(r["conditions"])} for r in db.execute(query).mappings()]

    def in_force(self) -> list[Rule]:
        """Return the rules that are neither ended nor expired, newest first."""
        return [as_rule(r) for r in self.rows_in_force()]

    def rows_in_force(self) -> list[dict[str, Any]]:
        """Return the same rules as rows, with why, who, and the number of conns that each suppressed."""
        return [r for r in self.rows() if not r["ended_at"] and as_rule(r).active()]

    def rows(self) -> list[dict[str, Any]]:
        """Return all rules, ended and expired ones too, newest first, with why, who, and the number of conns that each suppressed."""
        with self._engine.reading("suppression rules") as db:
            return rule_rows(db)

    def count_suppressed(self, conns: Mapping[int, int]) -> None:
        """Add to the number of conns that rules suppressed; keys are rule ids."""
        with self._engine.writing("counts of suppressed conns") as db:
            for rule, n in conns.items():
                chosen = sa.update(SUPPRESSIONS).where(SUPPRESSIONS.c.id == rule)
                db.execute(chosen.values(conns=SUPPRESSIONS.c.conns + n, last_at=now()))

    def put_verdict(self, alert_id: str, verdict: str, who: str, note: str | None = None) -> None:
        """Store an analyst's verdict on an alert; it replaces an earlier one. Raises StoreError when there is no such alert."""
        row = {"alert_id": alert_id, "verdict": verdict, "who": who, "note": note, "at": now()}
        with self._engine.writing("verdicts") as db:
            if db.execute(sa.select(ALERTS.c.id).where(ALERTS.c.id == alert_id)).first() is None:
                raise StoreError(f"there is no alert {alert_id}; `mlids alerts` lists them")
            db.execute(self._engine.upsert(VERDICTS), [row])

    def verdict(self, alert_id: str) -> dict[str, Any] | None:
        """Return the verdict on an alert with `who`, `note` and `at`; None without one."""
        with self._engine.reading("verdicts") as db:
            found = db.execute(sa.select(VERDICTS).where(VERDICTS.c.alert_id == alert_id)).mappings().first()
        return dict(found) if found is not None else None


def _note(db: sa.Connection, who: str, action: str, rule: int, conditions: Mapping[str, Any], why: str, alerts: int | None) -> None:
    """Add a row to the history, in the transaction of the change."""
    row = {
        "at": now(),
        "who": who,
        "action": action,
        "rule": rule,
        "conditions": json.dumps(dict(conditions)),
        "why": why,
        "alerts": alerts,
    }
    db.execute(sa.insert(SUPPRESSION_HISTORY).values(row))
