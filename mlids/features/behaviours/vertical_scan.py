"""One source tries many services of one host."""

from __future__ import annotations

import numpy as np

from mlids.features.behaviours.base import Behaviour, Grouping, Rows, ramp


def _measure(x: Rows) -> np.ndarray:
    return ramp(x.count("pair_ports_1h"), 10, 30) * ramp(x.value("pair_failed_1h"), 0.3, 0.7)


BEHAVIOUR = Behaviour(
    number=2,
    name="vertical_scan",
    title="vertical scan",
    phrase="like a vertical scan",
    sentence="scans {pair_ports_1h} ports of {target}",
    next_step="find out who scans from this host; patch what answers on {target}",
    technique="T1046",
    shown=("pair_ports_1h", "pair_failed_1h"),
    measure=_measure,
    grouping=Grouping.SOURCE_TARGET,
    label_pattern="port_?scan|vertical",
)
