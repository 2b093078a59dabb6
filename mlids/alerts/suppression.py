"""Rules that hold alerts back: what people have looked at and do not want to hear of again.

A rule is about conns: those that it matches take no part in any alert, so that counts and groups stay true.
Alerts that were stored before are hidden where the rule covers all that they stand for.
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
    """One rule; a field that is None matches anything. `src` and `dst` are networks, `port` is the responder's."""

    id: int
    kind: str | None = None  # behaviour, attack class or `anomaly`
    sensor: str | None = None
    src: str | None = None
    dst: str | None = None
    port: int | None = None
    expires_at: datetime | None = None

    def active(self, now: datetime | None = None) -> bool:
        """Say whether the rule still holds."""
        return self.expires_at is None or self.expires_at > (now or datetime.now(UTC))

    def matches(self, kind: str, sensor: str, src: str | None, dst: str | None, port: int | None) -> bool:
        """Say whether a conn that would alert as `kind` is held back."""
        return (
            self.kind in (None, kind)
            and self.sensor in (None, sensor)
            and self.port in (None, port)
            and _within(src, self.src)
            and _within(dst, self.dst)
        )

    def covers(self, key: GroupKey) -> bool:
        """Say whether every conn that an alert of this key may stand for is held back."""
        host, port = key.host_and_port
        return self.matches(key.kind, key.sensor, key.source or None, host, port)


def checked(kind: str | None, src: str | None, dst: str | None, port: int | None, sensor: str | None, known: Sequence[str] = ()) -> Rule:
    """Return a rule with its networks written in full, not stored yet.

    `known` are attack classes besides the behaviours. Raises InputError when the rule would match
    everything, or names what cannot be.
    """
    if not any((kind, src, dst, port, sensor)):
        raise InputError("a rule without any condition would silence everything: give --kind, --src, --dst, --port or --sensor")
    kinds = {*BEHAVIOUR_NAMES, "anomaly", *known}
    if kind is not None and kind not in kinds:
        raise InputError(f"no alert is of kind {kind!r}; kinds: {', '.join(sorted(kinds))}")
    if port is not None and not 0 <= port <= 65_535:
        raise InputError(f"port {port} is not between 0 and 65535")
    return Rule(0, kind, sensor, _network(src), _network(dst), port)


def key_of(document: Mapping[str, Any]) -> GroupKey | None:
    """Return what the conns of a stored alert have in common; None for one of an older version, which did not say."""
    group = document["mlids"].get("group")
    return GroupKey("", document["observer"]["name"], document["mlids"]["kind"], group["source"], group["target"], 0) if group else None


def like(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the conditions of a rule that covers a stored alert, and those that will be like it.

    Raises InputError for an alert of an older version.
    """
    key = key_of(document)
    if key is None:
        raise InputError("this alert is of an older version and does not say what it was grouped by: give --kind and --src")
    host, port = key.host_and_port
    return {"kind": key.kind, "sensor": key.sensor, "src": key.source or None, "dst": host, "port": port}


def suppressing_rules(rules: Sequence[Rule], kinds: Sequence[str], conns: pl.DataFrame) -> np.ndarray:
    """Return for each conn the id of the first rule that holds it back, or -1."""
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
        raise InputError(f"{text!r} is no address and no network: {error} (write 192.0.2.7 or 192.0.2.0/24)") from None


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
