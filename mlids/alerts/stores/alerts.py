"""Stored alerts: one row each, with the document of every scoring that contributed to it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mlids.alerts.document import Alert, merged
from mlids.alerts.stores.covering import covered, covering_rules, from_network, group_columns, mentioning, standing_rules
from mlids.alerts.stores.engine import Engine, now
from mlids.alerts.stores.tables import ALERTS, VERDICTS
from mlids.alerts.suppression import Rule, key_of
from mlids.window import stamp

_ROWS_AT_ONCE = 500
_TOP_ALERTS, _TOP_HOSTS = 25, 15


@dataclass(frozen=True)
class AlertFilter:
    """Which alerts are listed; the default is all of them."""

    src: str | None = None  # an address, or a network in full
    kind: str | None = None
    least_risk: float = 0.0  # risk_score, 0 to 100
    unjudged: bool = False  # only those without a verdict
    search: str = ""  # an address or network on either side, a part of source or sensor, or the beginning of an id; empty: any

    def terms(self) -> list[sa.ColumnElement[bool]]:
        """Return it as conditions in SQL."""
        found = [from_network(self.src)] if self.src is not None else []
        found += [ALERTS.c.kind == self.kind] if self.kind is not None else []
        found += [ALERTS.c.score >= self.least_risk] if self.least_risk else []
        found += [_found_by(_storable(self.search).lower())] if self.search else []
        return found + ([~sa.exists().where(VERDICTS.c.alert_id == ALERTS.c.id)] if self.unjudged else [])


# What alerts can be sorted by, the highest first; the newest first where it is the same.
_ORDERS = {"time": [], "risk": [ALERTS.c.score.desc()], "count": [ALERTS.c["count"].desc()]}


@dataclass(frozen=True)
class Coverage:
    """How much a rule covers: of the alerts since a time their number, those covered, and those covered and marked true; `ever_true` of all times."""

    alerts: int
    covered: int
    true: int
    ever_true: int


@dataclass(frozen=True)
class Summary:
    """The alerts of a window that no rule suppresses: all of them counted, and the documents of those with the highest risk."""

    count: int
    kinds: list[dict[str, Any]]  # `kind`, `alerts`, `conns`, most alerts first
    hosts: list[dict[str, Any]]  # `host`, `alerts`, `conns`, `score` and `kinds` of the sources with the highest risk
    top: list[dict[str, Any]]


@dataclass(frozen=True)
class Activity:
    """The alerts of a window by hour (`2026-11-20T12`, UTC)."""

    severities: list[tuple[str, int, int]]  # hour, rank of the severity (0: the lowest), alerts
    hosts: list[dict[str, Any]]  # `host`, `risk`, `alerts` of the riskiest sources, the highest risk first
    cells: list[tuple[str, str, int, float]]  # of these hosts: host, hour, alerts, highest risk_score


class AlertStore:
    """Alerts by id. Writing the same alerts twice leaves them as once. Every method raises StoreError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._upsert = engine.upsert(ALERTS)

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
        suppressed: bool = False, starting_with: str = "", chosen_by: AlertFilter = AlertFilter(), sort: str = "time", offset: int = 0,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """Return alert documents of the window, sorted by `time`, `risk` or `count` (the highest first), each with `id`, `origin`, `updated_at`, `verdict` and `suppressed_by`.

        Suppressed alerts are left out, except with `suppressed`, or when `starting_with` (the beginning of an id) is given.
        The first `offset` ones are skipped.
        """
        order = (*_ORDERS[sort], ALERTS.c.ts.desc(), ALERTS.c.id)
        with self._engine.reading("alerts") as db:
            rules = standing_rules(db)
            chosen = sa.select(ALERTS.c.id)
            if starting_with:
                chosen = chosen.where(_begins(starting_with))
            elif not suppressed:
                chosen = chosen.where(~covered(rules))
            chosen = chosen.where(*_within(since, until), *chosen_by.terms()).order_by(*order).limit(limit).offset(offset)
            found = _documents(db, chosen, order)
        hidden = covering_rules(rules, found) if suppressed or starting_with else [None] * len(found)
        return [d | {"suppressed_by": rule} for d, rule in zip(found, hidden, strict=True)]

    def count(self, since: datetime | None = None, until: datetime | None = None, *, chosen_by: AlertFilter = AlertFilter()) -> int:
        """Return the number of alerts of the window that no rule suppresses."""
        with self._engine.reading("alerts") as db:
            chosen = (~covered(standing_rules(db)), *_within(since, until), *chosen_by.terms())
            return int(db.execute(sa.select(sa.func.count()).select_from(ALERTS).where(*chosen)).scalar_one())

    def newest(self) -> str | None:
        """Return when the newest alert began, as a stamp; None without one."""
        with self._engine.reading("alerts") as db:
            return db.execute(sa.select(sa.func.max(ALERTS.c.ts))).scalar_one()

    def by_hour(self, since: datetime, until: datetime, levels: Sequence[float], hosts: int) -> Activity:
        """Return the alerts of a window that no rule suppresses, counted by hour: all of them by severity, and those of the riskiest hosts.

        `levels` are the rising scores from which an alert has the next severity, `hosts` is how many hosts are given at most.
        """
        hour, n, risk = (
            sa.func.substr(ALERTS.c.ts, 1, 13).label("hour"),
            sa.func.count().label("n"),
            sa.func.max(ALERTS.c.score).label("risk"),
        )
        rank: sa.ColumnElement[int] = sa.literal(0)
        for level in levels:
            rank = rank + sa.case((ALERTS.c.score >= level, 1), else_=0)
        with self._engine.reading("alerts") as db:
            shown = sa.and_(~covered(standing_rules(db)), *_within(since, until))
            one = sa.select(hour, rank.label("rank"), ALERTS.c.score).where(shown).subquery()
            severities = db.execute(sa.select(one.c.hour, one.c.rank, sa.func.count()).group_by(one.c.hour, one.c.rank)).all()
            top = sa.select(ALERTS.c.src, risk, n).where(shown).group_by(ALERTS.c.src)
            ranked = db.execute(top.order_by(risk.desc(), n.desc(), ALERTS.c.src).limit(hosts)).all()
            cells = sa.select(ALERTS.c.src, hour, n, risk).where(shown, ALERTS.c.src.in_([src for src, _, _ in ranked]))
            found = db.execute(cells.group_by(ALERTS.c.src, hour)).all() if ranked else []
        return Activity(
            [(str(h), int(r), int(k)) for h, r, k in severities],
            [{"host": src, "risk": float(score), "alerts": int(k)} for src, score, k in ranked],
            [(str(src), str(h), int(k), float(score)) for src, h, k, score in found],
        )

    def coverage(self, rule: Rule, since: datetime) -> Coverage:
        """Return how many alerts a rule would hide that is not stored yet; other rules are not looked at."""
        hidden, recent = covered([rule]), ALERTS.c.ts >= stamp(since)
        marked = sa.exists().where(VERDICTS.c.alert_id == ALERTS.c.id, VERDICTS.c.verdict == "true positive")
        with self._engine.reading("alerts") as db:
            counted = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(sa.case((hidden, 1), else_=0)), 0)).select_from(ALERTS)
            total, some = db.execute(counted.where(recent)).one()
            true = [sa.func.coalesce(sa.func.sum(sa.case((c, 1), else_=0)), 0) for c in (recent, sa.true())]
            now_true, ever = db.execute(sa.select(*true).select_from(ALERTS).where(marked, hidden)).one()
        return Coverage(int(total), int(some), int(now_true), int(ever))

    def summary(self, since: datetime, until: datetime) -> Summary:
        """Return the counts of a window's alerts, without those that rules suppress, by kind and by source."""
        with self._engine.reading("alerts") as db:
            shown = sa.and_(~covered(standing_rules(db)), *_within(since, until))
            rows = [tuple(r) for r in db.execute(_counts(shown))]
            order = (ALERTS.c.score.desc(), ALERTS.c.ts.desc(), ALERTS.c.id)
            least = max((risk for _, kind, _, _, risk in rows if kind is None), default=0.0)
            chosen = sa.select(ALERTS.c.id).where(ALERTS.c.score >= least, shown)
            top = _documents(db, chosen.order_by(*order).limit(_TOP_ALERTS), order)
        kinds = [{"kind": kind, "alerts": n, "conns": conns} for src, kind, n, conns, _ in rows if src is None and kind is not None]
        hosts: dict[str, dict[str, Any]] = {}
        for src, kind, n, conns, score in sorted(r for r in rows if r[0] is not None):
            host = hosts.setdefault(src, {"host": src, "alerts": 0, "conns": 0, "score": 0.0, "kinds": []})
            host |= {"alerts": host["alerts"] + n, "conns": host["conns"] + conns, "score": max(host["score"], score)}
            host["kinds"].append(kind)
        kinds.sort(key=lambda k: (-k["alerts"], k["kind"]))
        ranked = sorted(hosts.values(), key=lambda h: (-h["score"], -h["alerts"], h["host"]))
        return Summary(sum(k["alerts"] for k in kinds), kinds, ranked, top)

    def documents(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the documents of alerts by id; those that are not stored are left out."""
        out: dict[str, dict[str, Any]] = {}
        with self._engine.reading("alerts") as db:
            for start in range(0, len(ids), _ROWS_AT_ONCE):
                query = sa.select(ALERTS.c.id, ALERTS.c.document).where(ALERTS.c.id.in_(ids[start : start + _ROWS_AT_ONCE]))
                out |= {i: json.loads(document) for i, document in db.execute(query)}
        return out

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
        of_part = ALERTS.c.origin == "live" if part == "live" else ALERTS.c.late_parts.contains(json.dumps(part), autoescape=True)
        found = sa.select(ALERTS.c.id).where(ALERTS.c.sensor == sensor, of_part)
        with self._engine.reading("alerts") as db:
            dropped = [i for (i,) in db.execute(found) if i not in keep]
        for start in range(0, len(dropped), _ROWS_AT_ONCE):  # a transaction each: a scorer waits for none of them for long
            with self._engine.writing("alerts") as db:
                stored = _locked_parts(db, dropped[start : start + _ROWS_AT_ONCE])
                left = {i: {k: v for k, v in parts.items() if k != part} for i, parts in stored.items()}
                rows = [_row(i, parts) for i, parts in left.items() if parts]
                if rows:
                    db.execute(self._upsert, rows)
                db.execute(sa.delete(ALERTS).where(ALERTS.c.id.in_([i for i, parts in left.items() if not parts])))


def _counts(shown: sa.ColumnElement[bool]) -> sa.Select[Any] | sa.CompoundSelect[Any]:
    """Return the query for alerts, conns and highest risk by kind (source null), and by source and kind of the riskiest sources.

    One pass over the alerts: the filter by rules is what takes time. A last row, without kind, has a risk that the
    riskiest alerts reach: as many pairs of source and kind do as there are top alerts.
    """
    n, conns, risk = sa.func.count().label("n"), sa.func.sum(ALERTS.c["count"]).label("conns"), sa.func.max(ALERTS.c.score).label("risk")
    pair = sa.select(ALERTS.c.src, ALERTS.c.kind, n, conns, risk).where(shown).group_by(ALERTS.c.src, ALERTS.c.kind).cte("pair")
    order = (sa.func.max(pair.c.risk).desc(), sa.func.sum(pair.c.n).desc(), pair.c.src)
    top = sa.select(pair.c.src).group_by(pair.c.src).order_by(*order).limit(_TOP_HOSTS).cte("top")
    by_kind = sa.select(sa.null().cast(sa.String), pair.c.kind, sa.func.sum(pair.c.n), sa.func.sum(pair.c.conns), sa.func.max(pair.c.risk))
    by_host = sa.select(pair.c.src, pair.c.kind, pair.c.n, pair.c.conns, pair.c.risk).join(top, top.c.src == pair.c.src)
    reached = sa.select(pair.c.risk).order_by(pair.c.risk.desc()).limit(1).offset(_TOP_ALERTS - 1).subquery()
    least = sa.select(sa.null().cast(sa.String), sa.null().cast(sa.String), sa.literal(0), sa.literal(0), reached.c.risk)
    return by_kind.group_by(pair.c.kind).union_all(by_host, least)


def _begins(text: str) -> sa.ColumnElement[bool]:
    """Return the condition that an id begins with a text. Ids are lower-case letters and digits, so that an index finds them."""
    return sa.and_(ALERTS.c.id.between(text, text + "zzzz"), ALERTS.c.id.startswith(text, autoescape=True))


def _found_by(text: str) -> sa.ColumnElement[bool]:
    """Return the condition of `AlertFilter.search`."""
    return sa.or_(_begins(text), mentioning(text))


def _within(since: datetime | None, until: datetime | None) -> list[sa.ColumnElement[bool]]:
    bounds = [ALERTS.c.ts >= stamp(since)] if since is not None else []
    return [*bounds, ALERTS.c.ts < stamp(until)] if until is not None else bounds


def _documents(db: sa.Connection, chosen: sa.Select[Any], order: Sequence[Any] = (ALERTS.c.ts.desc(), ALERTS.c.id)) -> list[dict[str, Any]]:
    """Return the documents of the chosen ids, in `order`, with what is stored beside them."""
    ids = chosen.subquery()
    beside = [ALERTS.c[n] for n in ("id", "origin", "updated_at")]
    query = sa.select(ALERTS.c.document, *beside, VERDICTS.c.verdict).join(ids, ids.c.id == ALERTS.c.id)
    query = query.join(VERDICTS, VERDICTS.c.alert_id == ALERTS.c.id, isouter=True).order_by(*order)
    return [json.loads(r["document"]) | {n: r[n] for n in ("id", "origin", "updated_at", "verdict")} for r in db.execute(query).mappings()]


def _locked_parts(db: sa.Connection, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the parts of alerts; the rows are locked until the transaction ends."""
    chosen = ALERTS.c.id.in_(ids)
    db.execute(sa.update(ALERTS).where(chosen).values(updated_at=ALERTS.c.updated_at))  # takes PostgreSQL's locks of rows
    found = db.execute(sa.select(ALERTS.c.id, ALERTS.c.parts, ALERTS.c.late_parts, ALERTS.c.origin, ALERTS.c.document).where(chosen))
    return {r.id: _parts(r) for r in found}


def _parts(row: Any) -> dict[str, dict[str, Any]]:
    if row.parts:
        return dict(json.loads(row.parts))
    return {json.loads(row.late_parts)[0] if row.late_parts else row.origin: json.loads(row.document)}


def _with_part(parts: dict[str, dict[str, Any]], part: str, alert: Alert) -> dict[str, dict[str, Any]]:
    document, before = alert.document(), parts.get(part)
    if part == "live" and before is not None:
        document["mlids"]["count"] = max(document["mlids"]["count"], before["mlids"]["count"])
    return parts | {part: document}


def _row(alert_id: str, parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    document = merged(parts)
    late = sorted(name for name in parts if name not in ("live", "late"))  # `late`: of an older version, without its day
    return {
        "id": alert_id, "ts": document["ts"], "sensor": document["observer"]["name"], "kind": document["mlids"]["kind"],
        "src": _storable(document["src"]), "dst": _storable(document["dst"]), "score": document["score"],
        "count": document["mlids"]["count"], "model_version": document["mlids"]["model_version"], "origin": "live" if "live" in parts else "late",
        "document": json.dumps(document), "parts": json.dumps(parts) if len(parts) > 1 else None, "updated_at": now(),
        "late_parts": json.dumps(late) if late else None, **group_columns(key_of(document)),
    }  # fmt: skip


def _storable(text: str) -> str:
    """Return a log's text as every database stores it: PostgreSQL takes no NUL, and the column is 64 characters wide."""
    return text.replace("\0", "\\x00")[:64]
