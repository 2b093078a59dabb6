"""An alert is about a behaviour, not a row: rows alike share one alert, whose count grows."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl

from mlids.detectors.bundle import Model
from mlids.detectors.verdict import Verdicts
from mlids.features.behaviours import BEHAVIOURS
from mlids.features.flow import TO_MANY

# One alert stands for this long; then the same behaviour is worth another look.
WINDOW_S = 6 * 3600
# So many alerts of one kind, sensor and window stand by themselves; the rest are one (a flood of spoofed sources).
STORM_FROM = 100
STORM = "many"
# An anomaly has no shape that would tell one destination from another: a source that is strange is one alert.
_BY_SOURCE = {"horizontal_scan", "slow_scan", "lateral_movement", "exfiltration", "long_connection", "anomaly"}
_TO_MANY = re.compile(TO_MANY).search
_BY_TARGET = {"flood", "syn_flood"}


@dataclass(frozen=True)
class GroupKey:
    """What rows of one alert have in common. `id` is the same however often the rows are scored."""

    id: str
    sensor: str
    kind: str  # behaviour, attack class or `anomaly`
    source: str
    target: str
    window: int  # epoch seconds of its start

    @property
    def host_and_port(self) -> tuple[str | None, int | None]:
        """The destination address and service port that all rows share; None where they may differ."""
        if self.target == STORM:
            return None, None
        service, slash, _ = self.target.rpartition("/")
        if not slash:
            return self.target or None, None
        host, _, port = service.rpartition(":")
        return host or None, int(port) if port.isdigit() else None


def group_keys(model: Model, conns: pl.DataFrame, verdicts: Verdicts, rows: np.ndarray) -> list[GroupKey]:
    """Return the key of each alerting row; `conns` holds just those rows, `rows` are their places in `verdicts`."""
    out = []
    kinds = alert_kinds(model, verdicts, rows)
    columns = [conns[n].to_list() for n in ("sensor", "ts", "id.orig_h", "id.resp_h", "id.resp_p", "proto")]
    for kind, sensor, ts, source, target, port, proto in zip(kinds, *columns, strict=True):
        parts = in_common(kind, source or "", target or "", f"{port}/{proto}")
        start = _window(ts)
        out.append(GroupKey(_digest(sensor, kind, *parts, str(start)), sensor, kind, parts[0], parts[1], start))
    return out


def tunnel_key(sensor: str, source: str, service: str, zone: str, day: str, first: datetime | None) -> GroupKey:
    """Return the key of a tunnel that a day's names tell of; `service` is `resolver:port/proto`."""
    return GroupKey(_digest(sensor, "dns_tunnel", source, zone, day), sensor, "dns_tunnel", source, service, _window(first))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


def in_common(kind: str, source: str, target: str, service: str) -> tuple[str, str]:
    """Return the source and the target that rows of one alert share; empty where they may differ."""
    if kind == "inbound_probes":
        return "", ""  # the Internet's background reaches every address: one line for all of it
    if kind in _BY_TARGET or (kind == "anomaly" and _TO_MANY(target)):  # strange talk to everybody is about the link
        return "", f"{target}:{service}"
    if kind in _BY_SOURCE:
        return source, service if kind == "horizontal_scan" else ""
    return source, target if kind == "vertical_scan" else f"{target}:{service}"


def storm_key(key: GroupKey) -> GroupKey:
    """Return the one key for all further alerts of this sensor, kind and window: nobody reads the thousandth."""
    return GroupKey(_digest(key.sensor, key.kind, "storm", str(key.window)), key.sensor, key.kind, "", STORM, key.window)


def alert_kinds(model: Model, verdicts: Verdicts, rows: Sequence[int] | np.ndarray) -> list[str]:
    """Return what each row is an alert of: the named behaviour, else the attack class, else `anomaly`."""
    scores = verdicts.scores
    known = scores.attack_probability is not None and scores.attack_class is not None
    probability = scores.attack_probability[rows] if known else np.zeros(len(rows))  # type: ignore[index]
    classes = scores.attack_class[rows] if known else np.zeros(len(rows), int)  # type: ignore[index]
    return kind_names(model.attack_classes, verdicts.behaviour[rows], probability, classes)


def kind_names(attack_classes: Sequence[str], behaviour: np.ndarray, probability: np.ndarray, attack_class: np.ndarray) -> list[str]:
    """Return the same from each row's behaviour (-1: none), attack probability and class."""
    out = []
    for named, likely, known in zip(behaviour.tolist(), (probability >= 0.5).tolist(), attack_class.tolist(), strict=True):
        out.append(BEHAVIOURS[named].name if named >= 0 else attack_classes[known] if likely else "anomaly")
    return out


def _window(ts: datetime | None) -> int:
    seconds = int((ts or datetime(1970, 1, 1, tzinfo=UTC)).timestamp())
    return seconds - seconds % WINDOW_S
