"""A connection that lasts for hours."""

from __future__ import annotations

import numpy as np

from mlids.features.behaviours.base import Behaviour, Grouping, Rows, ramp


def _measure(x: Rows) -> np.ndarray:
    # RITA's bands for long connections: 1, 4, 8, 12 h. A few that follow each other count as one, where few hosts use the service.
    few = (1.0 - ramp(x.count("triple_total"), 30, 60)) * (1.0 - ramp(x.count("dst_sources"), 1.5, 6)) * (1.0 - x.value("resp_local"))
    longest = np.maximum(x.count("duration"), few * x.count("triple_lasted"))
    return 0.5 * ramp(longest / 3600.0, 4, 12)


BEHAVIOUR = Behaviour(
    number=12,
    name="long_connection",
    title="long connection",
    phrase="a long connection",
    sentence="holds a connection to {target} on {service} for {duration}",
    next_step="find the program that holds it; remote support and VPNs do, and so do remote shells",
    technique="T1071",
    shown=("duration", "triple_lasted"),
    measure=_measure,
    grouping=Grouping.SOURCE,
)
