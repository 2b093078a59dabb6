"""Groups conns into alerts: conns of one behaviour, its hosts and its window share one alert, whose count grows."""

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
from mlids.evidence.base import Evidence
from mlids.features.behaviours import BEHAVIOURS, behaviour_of
from mlids.features.behaviours.base import Grouping
from mlids.features.flow import TO_MANY

# One alert covers this long; the same behaviour in the next window is a new alert.
WINDOW_S = 6 * 3600
# What has nothing in common but the sensor, as probes from outside, is one alert a day.
DAY_S = 24 * 3600
STORM = "many"  # the target of a storm alert
_TO_MANY = re.compile(TO_MANY).search


@dataclass(frozen=True)
class GroupKey:
    """What conns of one alert have in common. `id` is the same however often they are scored."""

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
    """Return the key of each alerting conn; `conns` holds only those, `rows` are their indices in `verdicts`."""
    out = []
    kinds = alert_kinds(model, verdicts, rows)
    columns = [conns[n].to_list() for n in ("sensor", "ts", "id.orig_h", "id.resp_h", "id.resp_p", "proto")]
    for kind, sensor, ts, source, target, port, proto in zip(kinds, *columns, strict=True):
        parts = in_common(kind, source or "", target or "", f"{port}/{proto}")
        start = _window(ts, window_s(kind))
        out.append(GroupKey(_digest(sensor, kind, *parts, str(start)), sensor, kind, parts[0], parts[1], start))
    return out


def evidence_key(sensor: str, evidence: Evidence, day: str) -> GroupKey:
    """Return the key of the alert that a piece of evidence of a sensor's day becomes."""
    identity = _digest(sensor, evidence.kind, evidence.source, evidence.subject, day)
    target = f"{evidence.target}:{evidence.port}/{evidence.proto}"
    return GroupKey(identity, sensor, evidence.kind, evidence.source, target, _window(evidence.first))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


def grouping_of(kind: str) -> Grouping:
    """Return what conns of one alert of a kind have in common."""
    if kind == "anomaly":  # it does not distinguish destinations: all of one source are one alert
        return Grouping.SOURCE
    behaviour = behaviour_of(kind)
    return behaviour.grouping if behaviour is not None else Grouping.SOURCE_TARGET_SERVICE


def in_common(kind: str, source: str, target: str, service: str) -> tuple[str, str]:
    """Return the source and the target that conns of one alert share; empty where they may differ."""
    grouping = grouping_of(kind)
    if kind == "anomaly" and _TO_MANY(target):  # multicast and broadcast: grouped by the service, whoever the source is
        grouping = Grouping.TARGET_SERVICE
    return grouping.common(source, target, service)


def storm_key(key: GroupKey, source: str = "", *, inside: bool = False) -> GroupKey:
    """Return the key of the storm alert of this sensor, kind and window: of outside sources, of one source, or of all inside sources."""
    whose = ("inside", source) if source else ("inside",) if inside else ()
    return GroupKey(_digest(key.sensor, key.kind, "storm", *whose, str(key.window)), key.sensor, key.kind, source, STORM, key.window)


def alert_kinds(model: Model, verdicts: Verdicts, rows: Sequence[int] | np.ndarray) -> list[str]:
    """Return the kind of alert of each conn: the named behaviour, else the attack class, else `anomaly`."""
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


def window_s(kind: str) -> int:
    """Return how long one alert of a kind covers, in seconds."""
    return DAY_S if grouping_of(kind) is Grouping.SENSOR else WINDOW_S


def _window(ts: datetime | None, length_s: int = WINDOW_S) -> int:
    seconds = int((ts or datetime(1970, 1, 1, tzinfo=UTC)).timestamp())
    return seconds - seconds % length_s
