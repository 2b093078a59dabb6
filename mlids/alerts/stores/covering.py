"""Which stored alerts the suppression rules cover, as a condition in SQL.

Nothing is written when a rule begins or ends: each query leaves out what the rules cover now. What all conns of an
alert have in common is in columns of its row: `source_key` and `host_key` are addresses as text that sorts by number.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mlids.alerts.grouping import GroupKey
from mlids.alerts.stores.tables import ALERTS, SUPPRESSIONS
from mlids.alerts.suppression import Rule, key_of
from mlids.window import stamp

_TERMS = 200  # of one OR: SQLite limits the depth of an expression to 1,000


def group_columns(key: GroupKey | None) -> dict[str, Any]:
    """Return the columns of a row that rules are compared with; an alert of an older version has no key, and no rule covers it."""
    if key is None:
        return {"source_key": None, "host_key": None, "port": None}
    host, port = key.host_and_port
    return {"source_key": _address_key(key.source), "host_key": _address_key(host or ""), "port": port}


def rule_rows(db: sa.Connection) -> list[dict[str, Any]]:
    """Return all stored rules as rows, newest first."""
    return [dict(r) for r in db.execute(sa.select(SUPPRESSIONS).order_by(SUPPRESSIONS.c.id.desc())).mappings()]


def as_rule(row: Mapping[str, Any]) -> Rule:
    """Return a row of `rule_rows` as a rule."""
    expires = datetime.fromisoformat(row["expires_at"]) if row["expires_at"] else None
    return Rule(row["id"], row["kind"], row["sensor"], row["src"], row["dst"], row["port"], expires)


def standing_rules(db: sa.Connection) -> list[Rule]:
    """Return the rules that were not ended, newest first; one that expired still covers the alerts that began before."""
    return [as_rule(r) for r in rule_rows(db) if not r["ended_at"]]


def covered(rules: Sequence[Rule]) -> sa.ColumnElement[bool]:
    """Return the condition that a rule covers every conn that a stored alert may contain; it is never null.

    Rules of single addresses that do not expire, which are most and may be many, are looked up at once, by the columns
    that they give. The others are compared one after the other.
    """
    exact: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
    terms: list[sa.ColumnElement[bool]] = []
    for rule in rules:
        wanted = _wanted(rule)
        if wanted is None:
            terms.append(_matches(rule))
        else:
            exact.setdefault(tuple(wanted), []).append(tuple(wanted.values()))
    terms += [_in(names, values) for names, values in exact.items()]
    return ALERTS.c.source_key.is_not(None) & _any(terms)  # null: an alert of an older version, whose group is not known


def covering_rules(rules: Sequence[Rule], documents: Sequence[Mapping[str, Any]]) -> list[int | None]:
    """Return for each stored alert the id of the first rule that covers it, or None."""
    by_kind: dict[str, list[Rule]] = {}
    out = []
    for document in documents:
        key, began = key_of(document), datetime.fromisoformat(document["ts"])
        kind = document["mlids"]["kind"]
        if kind not in by_kind:
            by_kind[kind] = [r for r in rules if r.kind in (None, kind)]
        out.append(next((r.id for r in by_kind[kind] if key is not None and r.covers(key) and r.active(began)), None))
    return out


def from_network(network: str) -> sa.ColumnElement[bool]:
    """Return the condition that the source of a stored alert is in a network, or is this address; by the source that is shown where it has many."""
    first, last = _span(network)
    return sa.or_(ALERTS.c.source_key.between(first, last), ALERTS.c.src == network.partition("/")[0])


def mentioning(text: str) -> sa.ColumnElement[bool]:
    """Return the condition that an alert has an address or network on either side; for another text, in lower case as Zeek writes addresses, that it is a part of its source or sensor.

    It is answered from the index: the destination that is shown is not in it, the one that all conns of an alert share is.
    """
    parts = [c.contains(text, autoescape=True) for c in (ALERTS.c.src, sa.func.lower(ALERTS.c.sensor))]
    try:
        first, last = _span(str(ipaddress.ip_network(text, strict=False)))
    except ValueError:
        return sa.or_(*parts)
    return sa.or_(*parts, ALERTS.c.source_key.between(first, last), ALERTS.c.host_key.between(first, last))


def _in(names: Sequence[str], values: Sequence[tuple[Any, ...]]) -> sa.ColumnElement[bool]:
    """Return the condition that these columns have one of the values.

    They are compared as one text: SQLite looks a text up in a tree, and a row of columns in a list.
    """
    columns = [ALERTS.c[n] for n in names]
    joined: sa.ColumnElement[str] = columns[0].cast(sa.String)
    for column in columns[1:]:
        joined = joined.concat("|").concat(column.cast(sa.String))
    there = [ALERTS.c.port.is_not(None)] if "port" in names else []
    return sa.and_(*there, columns[0].in_({v[0] for v in values}), joined.in_({"|".join(str(v) for v in some) for some in values}))


def _wanted(rule: Rule) -> dict[str, Any] | None:
    """Return the values that a rule asks for by the names of their columns; None for a rule with a network, or one that expires."""
    spans = {"source_key": _span(rule.src), "host_key": _span(rule.dst)}
    if rule.expires_at is not None or any(first != last for first, last in spans.values()):
        return None
    found = {name: first for name, (first, _) in spans.items()} | {"port": rule.port, "kind": rule.kind, "sensor": rule.sensor}
    return {name: value for name, value in found.items() if value is not None}


def _matches(rule: Rule) -> sa.ColumnElement[bool]:
    """Return what `Rule.covers` and `Rule.active` say, in SQL; the rarest condition comes first."""
    terms: list[sa.ColumnElement[bool]] = []
    for network, column in ((rule.src, ALERTS.c.source_key), (rule.dst, ALERTS.c.host_key)):
        first, last = _span(network)
        if network:
            terms.append(column == first if first == last else column.between(first, last))
    if rule.port is not None:
        terms += [ALERTS.c.port.is_not(None), ALERTS.c.port == rule.port]
    terms += [ALERTS.c[name] == value for name, value in (("kind", rule.kind), ("sensor", rule.sensor)) if value is not None]
    if rule.expires_at is not None:
        terms.append(ALERTS.c.ts < stamp(rule.expires_at))
    return sa.and_(*terms)


def _any(terms: Sequence[sa.ColumnElement[bool]]) -> sa.ColumnElement[bool]:
    """Return the condition that one of the terms holds; many are nested, as an expression is not deeper than SQLite takes."""
    if len(terms) <= _TERMS:
        return sa.or_(sa.false(), *terms).self_group()
    groups = [_any(terms[start : start + _TERMS]) for start in range(0, len(terms), _TERMS)]
    return _any([sa.case((group, 1), else_=0) == 1 for group in groups])


def _address_key(address: str) -> str:
    """Return an address as text that sorts by its number within its version; empty for what is in no network."""
    try:
        return _as_key(ipaddress.ip_address(address))
    except ValueError:
        return ""


def _as_key(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    return f"{address.version}{int(address):0{address.max_prefixlen // 4}x}"


def _span(network: str | None) -> tuple[str | None, str | None]:
    """Return the keys of the first and the last address of a network."""
    if network is None:
        return None, None
    parsed = ipaddress.ip_network(network)
    return _as_key(parsed[0]), _as_key(parsed[-1])
