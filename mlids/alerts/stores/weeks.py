"""What the weekly report counts: alerts a day by severity, hosts, behaviours, verdicts and rules of a span of time. Nothing is written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from mlids.alerts.stores.audit import DONE
from mlids.alerts.stores.covering import as_rule, covered, rule_rows, standing_rules
from mlids.alerts.stores.engine import Engine
from mlids.alerts.stores.tables import ALERTS, AUDIT, CASES, LEDGER, VERDICTS
from mlids.cases.severity import LEVELS, Severity
from mlids.window import stamp

_DECISIONS = ("promote", "rollback", "refuse")
_MOST_RULES = 50  # that are counted one by one: each is a pass over the alerts
_MOST_KINDS = 60  # kinds come from labels as well, which may be many
TRUE, FALSE = "true positive", "false positive"


@dataclass(frozen=True)
class Judged:
    """Verdicts of analysts: how many alerts or cases are marked true, and how many false."""

    true: int = 0
    false: int = 0

    @property
    def all(self) -> int:
        """All of them."""
        return self.true + self.false


class WeekStore:
    """Counts of a half-open span of time, of alerts that no rule covers. Every method raises StoreError."""

    def __init__(self, engine: Engine, levels: Sequence[float] = LEVELS) -> None:
        self._engine, self._levels = engine, levels

    def alerts_by_day(self, since: datetime, until: datetime) -> dict[str, dict[Severity, int]]:
        """Return the number of alerts of each severity by the day (UTC) on which they began; days without any are left out."""
        rank = sum((sa.case((ALERTS.c.score >= level, 1), else_=0) for level in self._levels), sa.literal(0))
        day = sa.func.substr(ALERTS.c.ts, 1, 10).label("day")
        with self._engine.reading("alerts of a week") as db:
            found = sa.select(day, rank.label("rank"), sa.func.count().label("n")).where(_shown(db, since, until))
            rows = db.execute(found.group_by("day", "rank").order_by("day", "rank")).all()
        out: dict[str, dict[Severity, int]] = {}
        for name, level, n in rows:
            out.setdefault(name, dict.fromkeys(Severity, 0))[list(Severity)[level]] = int(n)
        return out

    def kinds(self, since: datetime, until: datetime, sources: int = 5) -> list[dict[str, Any]]:
        """Return `kind`, `alerts`, `hosts` (number of sources) and `sources`, those with the highest risk, of each kind; most alerts first."""
        n, risk = sa.func.count().label("n"), sa.func.max(ALERTS.c.score).label("risk")
        with self._engine.reading("alerts of a week") as db:
            pair = (
                sa.select(ALERTS.c.kind, ALERTS.c.src, n, risk).where(_shown(db, since, until)).group_by(ALERTS.c.kind, ALERTS.c.src).cte()
            )
            place = sa.func.row_number().over(partition_by=pair.c.kind, order_by=(pair.c.risk.desc(), pair.c.n.desc(), pair.c.src))
            ranked = sa.select(pair, place.label("place")).cte()
            sums = sa.select(pair.c.kind, sa.func.sum(pair.c.n), sa.func.count()).group_by(pair.c.kind)
            counted = db.execute(sums.order_by(sa.func.sum(pair.c.n).desc(), pair.c.kind).limit(_MOST_KINDS)).all()
            top = db.execute(
                sa.select(ranked.c.kind, ranked.c.src).where(ranked.c.place <= sources).order_by(ranked.c.kind, ranked.c.place)
            ).all()
        of: dict[str, list[str]] = {}
        for kind, src in top:
            of.setdefault(kind, []).append(src)
        return [{"kind": kind, "alerts": int(n), "hosts": int(hosts), "sources": of[kind]} for kind, n, hosts in counted]

    def riskiest_hosts(self, since: datetime, until: datetime, limit: int = 8) -> list[dict[str, Any]]:
        """Return `host`, `score` and `severity` (the highest of its cases) and `cases` of the hosts with a case in this time, the riskiest first."""
        score, rank = sa.func.max(CASES.c.score).label("score"), sa.func.max(CASES.c.severity).label("rank")
        seen = sa.and_(CASES.c.last >= stamp(since), CASES.c.first < stamp(until))
        query = sa.select(CASES.c.host, score, rank, sa.func.count().label("cases")).where(seen).group_by(CASES.c.host)
        with self._engine.reading("cases of a week") as db:
            rows = db.execute(query.order_by(rank.desc(), score.desc(), CASES.c.host).limit(limit)).mappings().all()
        return [
            {"host": r["host"], "score": r["score"], "severity": str(list(Severity)[r["rank"]]), "cases": int(r["cases"])} for r in rows
        ]

    def cases_by_severity(self, since: datetime, until: datetime) -> dict[Severity, int]:
        """Return the number of cases of each severity that were seen in this time, in every state."""
        seen = sa.and_(CASES.c.last >= stamp(since), CASES.c.first < stamp(until))
        with self._engine.reading("cases of a week") as db:
            rows = db.execute(sa.select(CASES.c.severity, sa.func.count()).where(seen).group_by(CASES.c.severity)).all()
        found = {int(rank): int(n) for rank, n in rows}
        return {s: found.get(s.rank, 0) for s in Severity}

    def judged_alerts(self, since: datetime, until: datetime) -> Judged:
        """Return the verdicts on the alerts that began in this time, whenever they were given; rules do not matter."""
        query = sa.select(VERDICTS.c.verdict, sa.func.count()).join(ALERTS, ALERTS.c.id == VERDICTS.c.alert_id)
        return self._judged(query.where(*_begun(since, until)).group_by(VERDICTS.c.verdict))

    def judged_cases(self, since: datetime, until: datetime) -> Judged:
        """Return the verdicts on the cases that were seen in this time."""
        seen = sa.and_(CASES.c.last >= stamp(since), CASES.c.first < stamp(until), CASES.c.verdict.is_not(None))
        return self._judged(sa.select(CASES.c.verdict, sa.func.count()).where(seen).group_by(CASES.c.verdict))

    def hidden(self, since: datetime, until: datetime) -> tuple[int, list[dict[str, Any]]]:
        """Return how many alerts of this time rules cover, and those of the newest 50 rules that cover any: their rows, each with `hidden`, the most first.

        An alert that several rules cover counts once in the sum, and for each of them.
        """
        with self._engine.reading("suppression rules") as db:
            rows = [r for r in rule_rows(db) if not r["ended_at"]]
            every = sa.select(sa.func.count()).select_from(ALERTS).where(*_begun(since, until))
            total = int(db.execute(every.where(covered([as_rule(r) for r in rows]))).scalar_one()) if rows else 0
            if total:
                rows = [r | {"hidden": int(db.execute(every.where(covered([as_rule(r)]))).scalar_one())} for r in rows[:_MOST_RULES]]
        return total, sorted((r for r in rows if r.get("hidden")), key=lambda r: (-r["hidden"], r["id"]))

    def decisions(self) -> list[dict[str, Any]]:
        """Return the promotions, roll-backs and refusals that are done, oldest first; `gate` is the gate's decision, or None."""
        done = sa.or_(AUDIT.c.state == DONE, AUDIT.c.state.is_(None))
        query = sa.select(AUDIT).where(AUDIT.c.action.in_(_DECISIONS), done).order_by(AUDIT.c.id)
        with self._engine.reading("audit rows") as db:
            rows = db.execute(query).mappings().all()
        return [dict(r) | {"gate": json.loads(r["gate"]) if r["gate"] else None} for r in rows]

    def days_read(self) -> tuple[str, str] | None:
        """Return the first and the last day of the ledger; None when no day was ever read."""
        with self._engine.reading("ledger days") as db:
            first, last = db.execute(sa.select(sa.func.min(LEDGER.c.day), sa.func.max(LEDGER.c.day))).one()
        return (first, last) if first is not None else None

    def last_days(self) -> dict[str, str]:
        """Return the last day of each sensor in the ledger."""
        query = sa.select(LEDGER.c.sensor, sa.func.max(LEDGER.c.day)).group_by(LEDGER.c.sensor)
        with self._engine.reading("ledger days") as db:
            return {sensor: str(day) for sensor, day in db.execute(query)}

    def days_of_sensors(self, end: date) -> dict[str, int]:
        """Return how many days before `end` the ledger has of each sensor."""
        query = sa.select(LEDGER.c.sensor, sa.func.count()).where(LEDGER.c.day < end.isoformat()).group_by(LEDGER.c.sensor)
        with self._engine.reading("ledger days") as db:
            return {sensor: int(n) for sensor, n in db.execute(query)}

    def _judged(self, query: sa.Select[Any]) -> Judged:
        with self._engine.reading("verdicts") as db:
            found = {verdict: int(n) for verdict, n in db.execute(query)}
        return Judged(found.get(TRUE, 0), found.get(FALSE, 0))


def _begun(since: datetime, until: datetime) -> list[sa.ColumnElement[bool]]:
    return [ALERTS.c.ts >= stamp(since), ALERTS.c.ts < stamp(until)]


def _shown(db: sa.Connection, since: datetime, until: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(~covered(standing_rules(db)), *_begun(since, until))
