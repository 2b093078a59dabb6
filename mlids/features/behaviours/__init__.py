"""Named behaviours, one declaration per file, each a feature column from 0 to 1. Only flow and context features enter.

Other packages add behaviours under the entry point group `mlids.behaviours` (docs/extending.md).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from mlids.assets import declarations
from mlids.errors import SettingsError
from mlids.features.behaviours.base import Behaviour, Rows


def _declared() -> tuple[Behaviour, ...]:
    found = sorted(declarations("mlids.features.behaviours", "BEHAVIOUR", "mlids.behaviours"), key=lambda b: b.number)
    for first, second in pairwise(found):
        if first.number == second.number:
            raise SettingsError(f"behaviours {first.name} and {second.name} both have number {first.number}; give one of them another")
    if len({b.name for b in found}) < len(found):
        raise SettingsError(f"two behaviours share a name: {', '.join(sorted(b.name for b in found))}")
    return tuple(found)


BEHAVIOURS: tuple[Behaviour, ...] = _declared()
_TITLES = {b.name: b.title for b in BEHAVIOURS}
_BY_KIND = {kind: b for b in BEHAVIOURS for kind in (b.name, b.attack_class) if kind}


def behaviour_of(kind: str) -> Behaviour | None:
    """Return the behaviour of a kind of alert, which is its name or what the RandomForest calls it; None for any other kind."""
    return _BY_KIND.get(kind)


def kind_title(kind: str) -> str:
    """Return a kind of alert or evidence in words: the title of the behaviour, else its name with spaces."""
    return _TITLES.get(kind, kind.replace("_", " "))


def measure(x: np.ndarray) -> np.ndarray:
    """Return float32[n, len(BEHAVIOURS)], each 0 to 1, from the flow and context columns of float32[n, features]."""
    levels = np.empty((len(BEHAVIOURS), len(x)), np.float32)
    rows = Rows(x)
    for number, behaviour in enumerate(BEHAVIOURS):
        levels[number] = behaviour.measure(rows)
    return levels.T
