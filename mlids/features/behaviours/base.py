"""What a behaviour declares: its feature column, how it is measured and described, and how its alerts are grouped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np

from mlids.features.catalogue import BY_NAME, POSITION, stored_number


class Grouping(Enum):
    """What conns of one alert have in common, besides sensor, kind and window: (originator, responder, service)."""

    SENSOR = (False, False, False)  # nothing: one alert for the sensor
    SOURCE = (True, False, False)
    SOURCE_SERVICE = (True, False, True)  # a service is the responder's port and protocol
    SOURCE_TARGET = (True, True, False)
    SOURCE_TARGET_SERVICE = (True, True, True)
    TARGET_SERVICE = (False, True, True)  # whoever the originator is

    def __init__(self, source: bool, target: bool, service: bool) -> None:
        self.source, self.target, self.service = source, target, service

    def common(self, source: str, target: str, service: str) -> tuple[str, str]:
        """Return the source and the target that conns of one alert share; empty where they may differ."""
        if self.target:
            shared = f"{target}:{service}" if self.service else target
        else:
            shared = service if self.service else ""
        return source if self.source else "", shared


class Rows:
    """Flow and context features of n rows by name; float32[n] each."""

    def __init__(self, x: np.ndarray) -> None:
        self._x = x
        self._counts: dict[str, np.ndarray] = {}

    def value(self, name: str) -> np.ndarray:
        """Return a feature as it is stored."""
        return self._x[:, POSITION[name]]

    def count(self, name: str) -> np.ndarray:
        """Return a feature of the kind `log` as the number that was counted; computed once."""
        if name not in self._counts:
            self._counts[name] = stored_number(self.value(name))
        return self._counts[name]


@dataclass(frozen=True)
class Behaviour:
    """A named behaviour. It is a feature column, a part of the verdict, and a kind of alert.

    `number` orders the columns: it never changes, and is never used again. Packages outside mlids use numbers
    from 1,000 on. `measure` returns float[n], 0 to 1, from flow and context features of n rows.
    """

    number: int
    name: str  # also the kind of its alerts
    title: str  # of an alert: "TITLE by 10.0.0.5"
    phrase: str  # completes "this connection is …"
    technique: str  # ATT&CK
    shown: tuple[str, ...]  # features whose values describe it
    measure: Callable[[Rows], np.ndarray]
    grouping: Grouping
    attack_class: str = ""  # what the RandomForest calls it; default: `name`
    # Completes "10.0.0.5 …" in the title of a case: names of features stand for their values, `{target}` and `{service}` for the responder.
    sentence: str = ""
    next_step: str = ""  # what to look at next; `{target}` as in `sentence`
    label_pattern: str = ""  # regular expression over lower-case names that public labels give to it

    def describe(self, row: np.ndarray) -> str:
        """Return title and feature values of float32[features], in words."""
        values = "; ".join(BY_NAME[name].describe(float(row[POSITION[name]])) for name in self.shown)
        return f"{self.title}: {values}"


def ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return 0 up to `low`, 1 from `high` on, linear in between."""
    return np.clip((values - low) / (high - low), 0.0, 1.0)


def outward_share(x: Rows) -> np.ndarray:
    """Return 1 from inside to outside, 0.6 where both ends are on one side, 0 from outside to inside."""
    inside, far = x.value("orig_local"), 1.0 - x.value("resp_local")
    return inside * far + 0.6 * (inside * (1.0 - far) + (1.0 - inside) * far)
