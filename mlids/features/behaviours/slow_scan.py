"""One source tries many hosts or services at a low rate, mostly in vain."""

from __future__ import annotations

import numpy as np

from mlids.features.behaviours.base import Behaviour, Grouping, Rows, ramp


def _measure(x: Rows) -> np.ndarray:
    hosts, ports = x.count("src_failed_hosts_1h"), x.count("src_failed_ports_1h")
    share = np.maximum(hosts / np.maximum(x.count("src_hosts_1h"), 1.0), ports / np.maximum(x.count("src_ports_1h"), 1.0))
    low_rate = 1.0 - ramp(x.count("src_conns_5m"), 15, 60)
    failed = np.maximum(x.value("no_answer"), np.maximum(x.value("rejected"), x.value("was_reset")))
    return ramp(np.maximum(hosts, ports), 8, 25) * ramp(share, 0.5, 0.9) * low_rate * failed


BEHAVIOUR = Behaviour(
    number=3,
    name="slow_scan",
    title="slow scan",
    phrase="like a slow scan",
    sentence="looks slowly for services on {src_failed_hosts_1h} hosts",
    next_step="find out who runs a scan from this host; isolate it if nobody does",
    technique="T1046",
    shown=("src_failed_hosts_1h", "src_failed_ports_1h"),
    measure=_measure,
    grouping=Grouping.SOURCE,
)
