"""Stored cases: one row each, with the evidence of every gathering that contributed, and its state.

A case that grows is updated, not repeated: evidence about a subject joins its case when that was seen in the last
JOINED_DAYS. Storing a gathering again replaces what it stored before.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from mlids.alerts.stores.engine import Engine, now
from mlids.alerts.stores.tables import CASES
from mlids.cases.case import Case, Subject, evidence_of, record_of
from mlids.cases.gathering import case_of
from mlids.cases.severity import LEVELS, Severity
from mlids.cases.weighing import Other
from mlids.errors import InputError
from mlids.window import stamp

JOINED_DAYS = 7
_LONGEST = {"host": 64, "service": 32, "source": 64, "sensor": 64}
_COLUMNS = [c for c in CASES.c if c.name not in {"parts"}]


class CaseState(StrEnum):
    """What an analyst has made of a case."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"


NOT_CLOSED = (CaseState.OPEN, CaseState.ACKNOWLEDGED)
_NOTE_CHARACTERS = 2_000


@dataclass(frozen=True)
class CaseFilter:
    """Which cases a listing has: of these states, from a severity on, whose host or outside source contains a text (empty: any).

    `since` and `until` are stamps (empty: no bound): a case is in it when its span from `first` to `last` touches them.
    """

    states: tuple[CaseState, ...] = NOT_CLOSED
    least: Severity = Severity.LOW
    host: str = ""
    since: str = ""
    until: str = ""

    def conditions(self, state: CaseState) -> list[sa.ColumnElement[bool]]:
        """Return the conditions for the cases of one of the states."""
        found = [CASES.c.state == state.value, CASES.c.severity >= self.least.rank]
        if self.host:
            text = _storable(self.host).lower()  # Zeek writes addresses in lower case
            found.append(sa.or_(*(c.contains(text, autoescape=True) for c in (CASES.c.host, CASES.c.source))))
        if self.since:
            found.append(CASES.c.last >= self.since)
        return [*found, CASES.c.first < self.until] if self.until else found


class CaseStore:
    """Cases by id. Every method raises StoreError."""

    def __init__(self, engine: Engine, levels: Sequence[float] = LEVELS) -> None:
        self._engine, self._levels = engine, levels
        self._upsert = engine.upsert(CASES)

    def put(self, sensor: str, part: str, cases: Sequence[Case]) -> list[dict[str, Any]]:
        """Store the cases of one gathering (`part`: `day 2026-11-04`) of a sensor; return their documents as they are now.

        What the part stored before and does not hold any more is taken back. A closed case opens again when it becomes
        more severe than it was when it was closed.
        """
        with self._engine.writing("cases") as db:
            before = {r["id"]: dict(r) for r in self._holding(db, sensor, part)}
            rows: dict[str, dict[str, Any]] = {}
            for case in cases:
                row = self._joined(db, sensor, part, case, {**before, **rows})
                rows[row["id"]] = row
            for case_id, row in before.items():
                if case_id not in rows:
                    self._take_back(db, row, part)
            if rows:
                db.execute(self._upsert, list(rows.values()))
        return [json.loads(r["document"]) | _state(r) for r in rows.values()]

    def _holding(self, db: sa.Connection, sensor: str, part: str) -> Sequence[sa.RowMapping]:
        """Return the rows of a sensor that hold evidence of a part."""
        query = sa.select(CASES).where(CASES.c.sensor == sensor, CASES.c.parts.contains(json.dumps(part) + ":", autoescape=True))
        return db.execute(query).mappings().all()

    def _joined(self, db: sa.Connection, sensor: str, part: str, case: Case, known: dict[str, dict[str, Any]]) -> dict[str, Any]:
        about = _columns_of(case.subject)
        row = next((r for r in known.values() if about.items() <= r.items()), None) or self._recent(db, sensor, case)
        parts = json.loads(row["parts"]) if row is not None else {}
        parts[part] = {"evidence": [record_of(e) for e in case.evidence], "others": {a: [o.name, o.hosts] for a, o in case.others.items()}}
        return self._row(sensor, case.subject, parts, row, case.id)

    def _recent(self, db: sa.Connection, sensor: str, case: Case) -> dict[str, Any] | None:
        """Return the newest row about a subject that was seen not long before the case began."""
        query = sa.select(CASES).where(CASES.c.sensor == sensor, *(CASES.c[n] == v for n, v in _columns_of(case.subject).items()))
        if case.first is not None and case.last is not None:
            days = timedelta(days=JOINED_DAYS)
            query = query.where(CASES.c.last >= stamp(case.first - days), CASES.c.first <= stamp(case.last + days))
        found = db.execute(query.order_by(CASES.c.last.desc()).limit(1)).mappings().first()
        return dict(found) if found is not None else None

    def _row(self, sensor: str, subject: Subject, parts: dict[str, Any], row: dict[str, Any] | None, case_id: str) -> dict[str, Any]:
        evidence = [evidence_of(e) for p in parts.values() for e in p["evidence"]]
        others = {a: Other(*o) for p in parts.values() for a, o in p["others"].items()}
        case = case_of(sensor, subject, evidence, others, self._levels)
        case_id = row["id"] if row is not None else case_id
        first, last = (stamp(t) if t is not None else "" for t in (case.first, case.last))
        out: dict[str, Any] = {n: row[n] if row is not None else None for n in ("verdict", "who", "note", "state_at")}
        state = row["state"] if row is not None else CaseState.OPEN.value
        if row is not None and state == CaseState.CLOSED and case.severity.rank > row["severity"]:
            state, out["note"] = (
                CaseState.OPEN.value,
                f"open again: {case.severity} now, {list(Severity)[row['severity']]} when it was closed",
            )
        return out | {
            "id": case_id, "sensor": sensor[: _LONGEST["sensor"]], **_columns_of(subject), "score": round(case.score, 3),
            "severity": case.severity.rank, "first": first, "last": last, "title": _storable(case.title), "state": state,
            "document": json.dumps(case.as_dict() | {"id": case_id}), "parts": json.dumps(parts), "updated_at": now(),
        }  # fmt: skip

    def _take_back(self, db: sa.Connection, row: dict[str, Any], part: str) -> None:
        """Remove what a part said of a case; a case of which nothing is left goes, unless an analyst has touched it."""
        parts = {name: p for name, p in json.loads(row["parts"]).items() if name != part}
        if parts:
            db.execute(self._upsert, [self._row(row["sensor"], _subject(row), parts, row, row["id"])])
        elif row["state"] == CaseState.OPEN and row["who"] is None:
            db.execute(sa.delete(CASES).where(CASES.c.id == row["id"]))

    def latest(
        self, *, states: Sequence[CaseState] = NOT_CLOSED, least: Severity = Severity.LOW, limit: int = 100, since: str = "", until: str = "",
    ) -> list[dict[str, Any]]:  # fmt: skip
        """Return the documents of cases in these states, the most severe first, each with its state."""
        return self.page(CaseFilter(tuple(states), least, since=since, until=until), limit)

    def page(self, chosen: CaseFilter, limit: int, offset: int = 0) -> list[dict[str, Any]]:
        """Return the documents of a filter's cases, the most severe first, then by score; each with its state.

        Documents are read for the returned cases only.
        """
        order = ("severity", "score", "last")
        columns = [CASES.c[n] for n in (*order, "id")]
        parts = []  # each state is a range of the index, in this order already
        for state in chosen.states:
            part = sa.select(*columns).where(*chosen.conditions(state)).order_by(*(CASES.c[n].desc() for n in order), CASES.c.id)
            parts.append(sa.select(part.limit(limit + offset).subquery()))
        if not parts:
            return []
        every = sa.union_all(*parts).subquery()
        ids = sa.select(every.c.id).order_by(*(every.c[n].desc() for n in order), every.c.id).limit(limit).offset(offset).subquery()
        query = sa.select(*_COLUMNS).join(ids, ids.c.id == CASES.c.id)
        query = query.order_by(*(CASES.c[n].desc() for n in order), CASES.c.id)
        with self._engine.reading("cases") as db:
            return [json.loads(r["document"]) | _state(r) for r in db.execute(query).mappings()]

    def count(self, chosen: CaseFilter) -> int:
        """Return the number of a filter's cases."""
        with self._engine.reading("cases") as db:
            return sum(int(db.execute(sa.select(sa.func.count()).where(*chosen.conditions(s))).scalar_one()) for s in chosen.states)

    def hosts(self, chosen: CaseFilter) -> int:
        """Return the number of hosts that a filter's cases are about."""
        either = sa.or_(sa.false(), *(sa.and_(*chosen.conditions(s)) for s in chosen.states))
        with self._engine.reading("cases") as db:
            return int(db.execute(sa.select(sa.func.count(CASES.c.host.distinct())).where(either)).scalar_one())

    def counts(self) -> dict[str, int]:
        """Return how many cases of each severity are open or acknowledged."""
        query = sa.select(CASES.c.severity, sa.func.count()).where(CASES.c.state != CaseState.CLOSED.value).group_by(CASES.c.severity)
        with self._engine.reading("cases") as db:
            found = {int(rank): int(n) for rank, n in db.execute(query)}
        return {str(s): found.get(s.rank, 0) for s in Severity}

    def get(self, starting_with: str) -> dict[str, Any]:
        """Return the document of the case whose id begins like this. Raises InputError when there is none, or more than one."""
        begins = CASES.c.id.between(starting_with, starting_with + "zzzz"), CASES.c.id.startswith(starting_with, autoescape=True)
        query = sa.select(*_COLUMNS).where(*begins).limit(2)  # ids are lower-case letters and digits: the first finds them in the index
        with self._engine.reading("cases") as db:
            found = [json.loads(r["document"]) | _state(r) for r in db.execute(query).mappings()]
        if not starting_with or not found:
            raise InputError(f"no case has an id that begins with {starting_with!r}; list them with: mlids cases")
        if len(found) > 1:
            raise InputError(f"more than one case has an id that begins with {starting_with!r}; give more of it")
        return found[0]

    def set_state(self, case_id: str, state: CaseState, who: str, *, verdict: str | None = None, note: str | None = None) -> None:
        """Set the state of a case by its whole id; a closed one has a verdict; a note is cut after 2,000 characters.

        Raises InputError for a verdict that does not fit.
        """
        if (state == CaseState.CLOSED) != (verdict is not None):
            raise InputError("a case is closed with a verdict, true positive or false positive; in other states it has none")
        said = _storable(note)[:_NOTE_CHARACTERS] if note is not None else None
        values = {"state": state.value, "verdict": verdict, "who": _storable(who)[:128], "note": said, "state_at": now()}
        with self._engine.writing("cases") as db:
            if not db.execute(sa.update(CASES).where(CASES.c.id == case_id).values(values)).rowcount:
                raise InputError(f"no case has the id {case_id!r}")

    def judged(self) -> list[dict[str, Any]]:
        """Return the documents of closed cases, the newest verdict first."""
        query = sa.select(*_COLUMNS).where(CASES.c.state == CaseState.CLOSED.value).order_by(CASES.c.state_at.desc()).limit(10_000)
        with self._engine.reading("cases") as db:
            return [json.loads(r["document"]) | _state(r) for r in db.execute(query).mappings()]


def _subject(row: dict[str, Any]) -> Subject:
    return Subject(row["host"], row["service"], row["source"])


def _columns_of(subject: Subject) -> dict[str, str]:
    return {n: _storable(v)[: _LONGEST[n]] for n, v in zip(("host", "service", "source"), subject.key, strict=True)}


def _state(row: Any) -> dict[str, Any]:
    return {n: row[n] for n in ("state", "verdict", "who", "note", "state_at", "updated_at")}


def _storable(text: str) -> str:
    """Return a text as every database stores it: PostgreSQL takes neither NUL nor half of a surrogate pair."""
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")
