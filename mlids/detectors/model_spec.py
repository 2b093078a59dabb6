"""The spec of a model: what scoring needs besides the trees, and the ranges of its values, checked when a model is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import date
from itertools import pairwise
from math import isfinite
from typing import Any

from mlids.detectors.forest import BENIGN
from mlids.errors import ModelError, OtherFeaturesError
from mlids.features.spec import FEATURES_VERSION, NAMES
from mlids.text import short

SPEC_FORMAT = 2
# Weight of a RandomForest that has learned from observed attacks, and of one that knows implanted ones only: the latter is as
# sure of a domain member's logons as of lateral movement.
ATTACK_WEIGHT, IMPLANTED_WEIGHT = 0.70, 0.40
# The highest threshold that training sets: behaviour, RandomForest and IsolationForest together reach 97 to 98.5, so that a
# model with a higher one finds next to nothing. A site may set another one (MLIDS_THRESHOLD).
HIGHEST_THRESHOLD = 95.0
# Whose consequence a conn is: it leaves the site, stays inside it, or comes from outside. Each has a budget of alerts of its own.
WAYS = ("outward", "inside", "inward")
MOST_CLASSES = 200
_LONGEST_NAME = 100
_MOST = 1e20  # of medians and counts: bytes are counted in 64 bits


@dataclass(frozen=True)
class Spec:
    """Everything besides the trees that scoring needs. Stored as JSON in the metadata of the graph."""

    medians: list[float]  # of each feature over the training rows
    # Knots that map anomaly_score to a surprise level from 0 to 1, linear in between. Without training on other days
    # the scale is absolute (0.5 is an average row, 0.8 is very rare), so that a log may contain no anomaly at all.
    surprise: list[list[float]] = field(default_factory=lambda: [[0.60, 0.80], [0.0, 1.0]])
    threshold: float = 70.0  # risk_score from which a row is an alert
    thresholds: dict[str, float] = field(default_factory=dict)  # by way (WAYS), where budgets of their own set higher ones
    classes: list[str] = field(default_factory=list)  # of class_probabilities; empty without a RandomForest
    attack_weight: float = ATTACK_WEIGHT  # of the RandomForest's probability in the risk_score
    forest_columns: list[int] = field(default_factory=lambda: list(range(len(NAMES))))  # features the RandomForest sees
    features: list[str] = field(default_factory=lambda: list(NAMES))
    features_version: int = FEATURES_VERSION
    format: int = SPEC_FORMAT
    trained_from: str | None = None  # ISO 8601, half-open window
    trained_to: str | None = None
    rows: int = 0
    conns_a_day: float = 0.0  # of the site, in the days that it learned from; 0 when not known
    budget_per_day: float | None = None
    example: list[float] = field(default_factory=list)  # one feature row, for the self-test
    example_scores: list[float] = field(default_factory=list)  # the scores that the model must give to it

    @property
    def attack_classes(self) -> list[str]:
        """The classes that are attacks, in their order."""
        return [c for c in self.classes if c != BENIGN]

    def as_dict(self) -> dict[str, Any]:
        """Return the spec as plain values."""
        return asdict(self)


def read_spec(text: str) -> Spec:
    """Return the spec of its JSON text, with every value in its range.

    Raises ModelError naming the field and its value; OtherFeaturesError when the features are those of another version.
    """
    try:
        values = json.loads(text)
        spec = Spec(**values)
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"the model's spec cannot be read: {short(str(error), 200)}") from error
    if not (_is_count(spec.features_version) and _are(spec.features, str)):
        raise ModelError(
            f"the model's spec is wrong: features_version is {_shown(spec.features_version)}, features {_shown(spec.features)}"
        )
    if spec.features_version != FEATURES_VERSION or spec.features != list(NAMES):
        raise OtherFeaturesError(f"{_difference(spec)}; train a new one with `mlids train`")
    for name, must in _faults(spec):
        raise ModelError(f"the model's spec is wrong: {name} is {_shown(getattr(spec, name))}; it must be {must}")
    return spec


def _faults(spec: Spec) -> Iterator[tuple[str, str]]:
    """Yield each field that is out of its range, and what the range is."""
    for name in (f.name for f in fields(Spec)):
        found = _RANGES.get(name)
        if found is not None and not found[1](getattr(spec, name)):
            yield name, found[0]
    if bool(spec.example) != bool(spec.example_scores) or len(spec.example_scores) not in (0, 2 if spec.classes else 1):
        yield "example_scores", "the scores of the example: one, or two with a RandomForest"


def _number(value: object, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and least <= value <= most


def _numbers(value: object, least: float, most: float) -> bool:
    return isinstance(value, list) and all(_number(v, least, most) for v in value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST


def _are(value: object, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(v, kind) for v in value)


def _is_row(value: object) -> bool:
    return _numbers(value, -_MOST, _MOST) and len(value) == len(NAMES)  # type: ignore[arg-type]


def _is_scale(value: object) -> bool:
    """Whether the knots rise: scores strictly, from them levels from 0 to 1."""
    if not (isinstance(value, list) and len(value) == 2 and _numbers(value[0], 0.0, 2.0) and _numbers(value[1], 0.0, 1.0 + 1e-6)):
        return False
    at, to = value
    rising = all(a < b for a, b in pairwise(at)) and all(a <= b for a, b in pairwise(to))
    return 2 <= len(at) == len(to) <= 100 and rising and to[0] < 0.5 and to[-1] > 0.99


def _are_thresholds(value: object) -> bool:
    return isinstance(value, dict) and set(value) <= set(WAYS) and all(_number(v, 0.0, HIGHEST_THRESHOLD) and v > 0 for v in value.values())


def _are_classes(value: object) -> bool:
    if not _are(value, str) or not isinstance(value, list):
        return False
    named = all(0 < len(c) <= _LONGEST_NAME and c.isprintable() for c in value)
    return not value or (named and BENIGN in value and 2 <= len(set(value)) == len(value) <= MOST_CLASSES)


def _are_columns(value: object) -> bool:
    return _are(value, int) and _numbers(value, 0, len(NAMES) - 1) and 0 < len(set(value)) == len(value)  # type: ignore[call-overload,arg-type]


def _is_day(value: object) -> bool:
    try:
        return value is None or bool(date.fromisoformat(str(value)[:10]) and len(str(value)) <= 40)
    except ValueError:
        return False


_RANGES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "format": (f"{SPEC_FORMAT}", lambda v: _is_count(v) and v == SPEC_FORMAT),
    "medians": (f"{len(NAMES)} finite numbers, one for each feature", _is_row),
    "surprise": ("two lists of the same length: anomaly scores that rise, and levels that rise from below 0.5 to 1", _is_scale),
    "threshold": (f"above 0 and at most {HIGHEST_THRESHOLD:g}", lambda v: _number(v, 0.0, HIGHEST_THRESHOLD) and v > 0),
    "thresholds": (f"empty, or by {', '.join(WAYS)} a number above 0 and at most {HIGHEST_THRESHOLD:g}", _are_thresholds),
    "classes": (f"empty, or {BENIGN} and 1 to {MOST_CLASSES - 1} attacks by name", _are_classes),
    "forest_columns": (f"different numbers of features, 0 to {len(NAMES) - 1}", _are_columns),
    "trained_from": ("a day, or null", _is_day),
    "trained_to": ("a day, or null", _is_day),
    "rows": ("a number of rows", _is_count),
    "conns_a_day": ("a number of conns", lambda v: _number(v, 0.0, _MOST)),
    "attack_weight": ("a number from 0 to 1", lambda v: _number(v, 0.0, 1.0)),
    "budget_per_day": ("above 0, or null", lambda v: v is None or (_number(v, 0.0, _MOST) and v > 0)),
    "example": (f"empty, or {len(NAMES)} finite numbers", lambda v: v == [] or _is_row(v)),
    "example_scores": ("numbers from 0 to 1", lambda v: _numbers(v, 0.0, 1.0 + 1e-3)),
}  # fmt: skip


def _shown(value: object) -> str:
    """Return a value in short: of a long list its length and what is not finite or no number."""
    if isinstance(value, list) and len(value) > 8:
        odd: Sequence[object] = [v for v in value if not _number(v, -_MOST, _MOST) and not isinstance(v, str)][:3]
        return f"a list of {len(value)}" + (f" with {odd}" if odd else "")
    return short(repr(value), 120)


def _difference(spec: Spec) -> str:
    """Return in words how a model's features differ from those of this installation."""
    if spec.features_version != FEATURES_VERSION:
        return f"the model was made for features version {spec.features_version}, this is version {FEATURES_VERSION}"
    lacks, more = [n for n in NAMES if n not in spec.features], [n for n in spec.features if n not in NAMES]
    found = [f"it lacks {', '.join(lacks)}"] * bool(lacks) + [f"it has {', '.join(more)} besides"] * bool(more)
    return f"the model was made for other features than this installation has: {'; '.join(found) or 'their order differs'}"
