"""One inside host connects to several others on an administration port."""

from __future__ import annotations

import numpy as np

from mlids.features.behaviours.base import Behaviour, Grouping, Rows, ramp


def _measure(x: Rows) -> np.ndarray:
    inside = x.value("orig_local") * x.value("resp_local") * x.value("port_admin")
    # Administrators connect to hosts that they have connected to before.
    unknown = 1.0 - 0.8 * ramp(x.count("pair_age") / 3600.0, 1, 4)
    return inside * unknown * ramp(x.count("port_hosts_1h"), 4, 10)


BEHAVIOUR = Behaviour(
    number=13,
    name="lateral_movement",
    title="lateral movement",
    phrase="like lateral movement",
    sentence="reaches many hosts inside over administration ports, {target} among them",
    next_step="check on the hosts reached for logins and new services at these times",
    technique="T1021",
    shown=("port_hosts_1h", "port_failed_1h"),
    measure=_measure,
    grouping=Grouping.SOURCE,
    label_pattern="lateral",
)
