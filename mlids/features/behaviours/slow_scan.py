"""One source tries many hosts or services at a low rate, mostly in vain."""

from __future__ import annotations

import numpy as np

from mlids.features.behaviours.base import Behaviour, Grouping, Rows, ramp


def _measure(x: Rows) -> np.ndarray:
    tried = np.maximum(x.count("src_hosts_1h"), x.count("src_ports_1h"))
    low_rate = 1.0 - ramp(x.count("src_conns_5m"), 15, 60)
    failed = np.maximum(x.value("no_answer"), np.maximum(x.value("rejected"), x.value("was_reset")))
    return ramp(tried, 8, 25) * ramp(x.value("src_failed_1h"), 0.5, 0.9) * low_rate * failed


BEHAVIOUR = Behaviour(
    number=3,
    name="slow_scan",
    title="slow scan",
    phrase="like a slow scan",
    technique="T1046",
    shown=("src_hosts_1h", "src_ports_1h", "src_failed_1h"),
    measure=_measure,
    grouping=Grouping.SOURCE,
)
