"""Suppression rules: conditions under which conns that would alert do not.

A rule matches conns, not alerts: a suppressed conn is in no alert, so that counts and groups stay correct.
A stored alert is hidden when a rule covers every conn that it may contain.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl

from mlids.alerts.grouping import GroupKey
from mlids.errors import InputError
from mlids.features.spec import BEHAVIOUR_NAMES

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Rule:
    """One rule; a field that is None matches every value. `src` and `dst` are networks, `port` is the responder's."""

    id: int
    kind: str | None = None  # behaviour, attack class or `anomaly`
    sensor: str | None = None
    src: str | None = None
    dst: str | None = None
    port: int | None = None
    expires_at: datetime | None = None

    def active(self, now: datetime | None = None) -> bool:
        """Return whether the rule has not expired at `now` (default: the current time)."""
        return self.expires_at is None or self.expires_at > (now or datetime.now(UTC))

    def matches(self, kind: str, sensor: str, src: str | None, dst: str | None, port: int | None) -> bool:
        """Return whether a conn that would alert as `kind` is suppressed."""
        return (
            self.kind in (None, kind)
            and self.sensor in (None, sensor)
            and self.port in (None, port)
            and _within(src, self.src)
            and _within(dst, self.dst)
        )

    def covers(self, key: GroupKey) -> bool:
        """Return whether every conn that an alert of this key may contain is suppressed."""
        host, port = key.host_and_port
        return self.matches(key.kind, key.sensor, key.source or None, host, port)


def checked(kind: str | None, src: str | None, dst: str | None, port: int | None, sensor: str | None, known: Sequence[str] = ()) -> Rule:
    """Return a rule with its networks written in full, not stored yet.

    `known` are kinds besides the behaviours and `anomaly`. Raises InputError for a rule without a condition, an
    unknown kind, a port out of range, and text that is neither an address nor a network.
    """
    if not any((kind, src, dst, port, sensor)):
        raise InputError("a rule without a condition would suppress every alert: give --kind, --src, --dst, --port or --sensor")
    kinds = {*BEHAVIOUR_NAMES, "anomaly", *known}
    if kind is not None and kind not in kinds:
        raise InputError(f"no alert is of kind {kind!r}; use one of {', '.join(sorted(kinds))}")
    if port is not None and not 0 <= port <= 65_535:
        raise InputError(f"port {port} is not between 0 and 65535")
    return Rule(0, kind, sensor, _network(src), _network(dst), port)


def key_of(document: Mapping[str, Any]) -> GroupKey | None:
    """Return the group of a stored alert; None for an alert of an older version, which does not have it."""
    group = document["mlids"].get("group")
    return GroupKey("", document["observer"]["name"], document["mlids"]["kind"], group["source"], group["target"], 0) if group else None


def like(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the conditions of a rule that covers a stored alert and later ones of its group.

    Raises InputError for an alert of an older version.
    """
    key = key_of(document)
    if key is None:
        raise InputError("this alert was stored by an older version, without its group: give --kind and --src")
    host, port = key.host_and_port
    return {"kind": key.kind, "sensor": key.sensor, "src": key.source or None, "dst": host, "port": port}


def suppressing_rules(rules: Sequence[Rule], kinds: Sequence[str], conns: pl.DataFrame) -> np.ndarray:
    """Return for each conn the id of the first rule that suppresses it, or -1."""
    out = np.full(conns.height, -1, np.int64)
    active = [r for r in rules if r.active()]
    if active:
        columns = [conns[n].to_list() for n in ("sensor", "id.orig_h", "id.resp_h", "id.resp_p")]
        for at, facts in enumerate(zip(kinds, *columns, strict=True)):
            out[at] = next((r.id for r in active if r.matches(*facts)), -1)
    return out


def _network(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError as error:
        raise InputError(f"{text!r} is neither an address nor a network: {error} (write 192.0.2.7 or 192.0.2.0/24)") from None


@lru_cache(maxsize=4_096)
def _within(address: str | None, network: str | None) -> bool:
    if network is None:
        return True
    try:
        return address is not None and ipaddress.ip_address(address) in _parsed(network)
    except ValueError:  # a masked or broken address is in no network
        return False


@lru_cache(maxsize=1_024)
def _parsed(network: str) -> Network:
    return ipaddress.ip_network(network)
