"""Many failed connections to one destination or service within five minutes."""

from __future__ import annotations

import numpy as np

from mlids.features.behaviours.base import Behaviour, Grouping, Rows, ramp


def _measure(x: Rows) -> np.ndarray:
    many = np.maximum(ramp(x.count("dst_conns_5m"), 300, 1500), ramp(x.count("triple_conns_5m"), 200, 1000))
    return many * ramp(x.value("dst_failed_5m"), 0.5, 0.9)


BEHAVIOUR = Behaviour(
    number=5,
    name="flood",
    title="flood",
    phrase="like a flood",
    sentence="floods {target} on {service}",
    next_step="check that the service still answers; ask the provider to filter the sources",
    technique="T1498",
    shown=("dst_conns_5m", "dst_failed_5m"),
    measure=_measure,
    grouping=Grouping.TARGET_SERVICE,
    attack_class="syn_flood",
    label_pattern="ddos|dos|flood",
)
