"""Repeated TCP connections to one service that are not answered or are refused."""

from __future__ import annotations

import numpy as np

from mlids.features.behaviours.base import Behaviour, Grouping, Rows, outward_share, ramp


def _measure(x: Rows) -> np.ndarray:
    unanswered = x.value("is_tcp") * np.maximum(x.value("no_answer"), x.value("rejected")) * ramp(x.value("triple_failed"), 0.5, 0.95)
    repeated = 0.3 * ramp(x.count("triple_total"), 3, 10) + 0.7 * ramp(x.value("triple_total"), np.log1p(10), np.log1p(600))
    one = 1.0 - ramp(x.count("port_hosts_1h"), 3, 12)
    low_rate = 1.0 - ramp(x.count("triple_conns_5m"), 100, 400)
    # Many sources with unanswered connections to one destination: that server is down.
    rare = 1.0 - 0.7 * ramp(x.count("dst_sources"), 3, 12)
    return 0.95 * unanswered * repeated * one * low_rate * rare * outward_share(x)


BEHAVIOUR = Behaviour(
    number=8,
    name="calling",
    title="unanswered calls",
    phrase="like calls that nobody answers",
    sentence="calls {target} on {service} every {triple_gap_median} and gets no answer",
    next_step="find the program that calls {target}: a bot whose server is gone calls like this, and a service that was switched off",
    technique="T1071",
    shown=("triple_total", "triple_failed", "triple_gap_median"),
    measure=_measure,
    grouping=Grouping.SOURCE_TARGET_SERVICE,
)
