"""Many short, similar, answered connections to one administration service."""

from __future__ import annotations

import numpy as np

from mlids.features.behaviours.base import Behaviour, Grouping, Rows, ramp


def _measure(x: Rows) -> np.ndarray:
    answered = x.value("resp_data") * x.value("port_login")
    alike = 0.5 + 0.5 * x.value("triple_size_steady")
    short = 1.0 - ramp(x.count("duration"), 60, 600)
    return answered * ramp(x.count("triple_conns_1h"), 15, 60) * alike * short


BEHAVIOUR = Behaviour(
    number=6,
    name="brute_force",
    title="brute force",
    phrase="like password guessing",
    sentence="tries passwords on {target} on {service}",
    next_step="look for a login that succeeded after these attempts; block the source if it has no business there",
    technique="T1110",
    shown=("triple_conns_1h", "triple_size_steady"),
    measure=_measure,
    grouping=Grouping.SOURCE_TARGET_SERVICE,
    label_pattern="brute|password",
)
