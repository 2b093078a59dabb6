"""The audit: who moved the production alias, from which version to which, why, and who was refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import sqlalchemy as sa

from mlids.alerts.stores.engine import Engine, now
from mlids.alerts.stores.tables import AUDIT

INTENT, DONE, FAILED = "intent", "done", "failed"
HOUSEKEEPING = "housekeeping"  # the action of rows that say what was removed; all others are moves
_MOVES = ("promote", "rollback")


@dataclass(frozen=True)
class Move:
    """A move of the production alias (`promote`, `rollback`), one that the gate refused (`refuse`), or a model's acceptance (`accept`)."""

    who: str
    action: str
    from_version: str | None  # None: nothing was in production
    to_version: str | None
    why: str
    gate: str | None = None  # the gate's decision, JSON
    sha256: str | None = None  # of the graph of `to_version`


class AuditStore:
    """Audit rows, appended: moves, and what housekeeping removed. Aliases and audit are in two services: a move is written as an intent first, then made, then settled.

    Every method raises StoreError.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(self, move: Move) -> None:
        """Write a row that needs no settling: a refusal."""
        self._insert(move, DONE)

    def begin(self, move: Move) -> int:
        """Write a move that is about to be made, and return the row's id."""
        return self._insert(move, INTENT)

    def settle(self, row_id: int, state: str, note: str = "") -> None:
        """Mark a move as DONE or FAILED; `note` is appended to its `why`."""
        values: dict[str, Any] = {"state": state}
        if note:
            values["why"] = AUDIT.c.why + f" ({note})"
        with self._engine.writing("audit rows") as db:
            db.execute(sa.update(AUDIT).where(AUDIT.c.id == row_id).values(values))

    def unsettled(self) -> list[tuple[int, Move]]:
        """Return the moves that were begun and neither done nor failed, oldest first, with the ids of their rows."""
        query = sa.select(AUDIT).where(AUDIT.c.state == INTENT, AUDIT.c.action != HOUSEKEEPING).order_by(AUDIT.c.id)
        with self._engine.reading("audit rows") as db:
            found = db.execute(query).mappings().all()
        return [(r["id"], _move(r)) for r in found]

    def last_move(self) -> Move | None:
        """Return the newest move that is done; None without one."""
        done = sa.or_(AUDIT.c.state == DONE, AUDIT.c.state.is_(None))
        query = sa.select(AUDIT).where(AUDIT.c.action.in_(_MOVES), done).order_by(AUDIT.c.id.desc()).limit(1)
        with self._engine.reading("audit rows") as db:
            found = db.execute(query).mappings().first()
        return _move(found) if found is not None else None

    def was_in_production(self, version: str) -> bool:
        """Return whether a move to a version is done."""
        return version in self.in_production()

    def in_production(self) -> list[str]:
        """Return the versions that a move to them is done, the latest first, each once."""
        done = sa.or_(AUDIT.c.state == DONE, AUDIT.c.state.is_(None))
        query = sa.select(AUDIT.c.to_version).where(AUDIT.c.action.in_(_MOVES), done).order_by(AUDIT.c.id.desc())
        with self._engine.reading("audit rows") as db:
            return list(dict.fromkeys(str(v) for (v,) in db.execute(query)))

    def begin_housekeeping(self, who: str) -> int:
        """Write that housekeeping begins, and return the row's id to settle; runs that were interrupted are marked as FAILED."""
        unfinished = (AUDIT.c.action == HOUSEKEEPING) & (AUDIT.c.state == INTENT)
        with self._engine.writing("audit rows") as db:
            db.execute(sa.update(AUDIT).where(unfinished).values(state=FAILED, why=AUDIT.c.why + " (interrupted; the next run went on)"))
        return self.begin(Move(who, HOUSEKEEPING, None, None, "removed what is older than its setting"))

    def housekeeping(self, limit: int = 50) -> list[dict[str, Any]]:
        """Return the rows of housekeeping, newest first; `why` counts what was removed."""
        return self._rows(AUDIT.c.action == HOUSEKEEPING, limit)

    def rows(self, limit: int = 50) -> list[dict[str, Any]]:
        """Return the moves, newest first; `why` says so when a move did not finish."""
        return self._rows(AUDIT.c.action != HOUSEKEEPING, limit)

    def _rows(self, chosen: sa.ColumnElement[bool], limit: int) -> list[dict[str, Any]]:
        query = sa.select(AUDIT).where(chosen).order_by(AUDIT.c.id.desc()).limit(limit)
        with self._engine.reading("audit rows") as db:
            found = [dict(r) for r in db.execute(query).mappings()]
        for row in found:
            if row.pop("state") == INTENT:
                row["why"] += " (not finished)"
        return found

    def _insert(self, move: Move, state: str) -> int:
        with self._engine.writing("audit rows") as db:
            key = db.execute(sa.insert(AUDIT).values(asdict(move) | {"at": now(), "state": state})).inserted_primary_key
        return int(key[0]) if key else 0


def _move(row: Mapping[Any, Any]) -> Move:
    return Move(**{f.name: row[f.name] for f in fields(Move)})
