"""A connection that lasts for hours."""

from __future__ import annotations

import numpy as np

from mlids.features.behaviours.base import Behaviour, Grouping, Rows, ramp


def _measure(x: Rows) -> np.ndarray:
    # RITA's bands for long connections: 1, 4, 8, 12 h.
    return 0.5 * ramp(x.count("duration") / 3600.0, 4, 12)


BEHAVIOUR = Behaviour(
    number=12,
    name="long_connection",
    title="long connection",
    phrase="a long connection",
    technique="T1571",
    shown=("duration",),
    measure=_measure,
    grouping=Grouping.SOURCE,
)
