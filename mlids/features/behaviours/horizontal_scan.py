"""One source tries one service on many hosts, mostly in vain."""

from __future__ import annotations

import numpy as np

from mlids.features.behaviours.base import Behaviour, Grouping, Rows, ramp


def _measure(x: Rows) -> np.ndarray:
    # Unanswered NTP or DNS to many hosts is a list of dead servers, not a scan.
    failed = x.count("port_failed_hosts_1h")
    return ramp(failed, 10, 40) * ramp(failed / np.maximum(x.count("port_hosts_1h"), 1.0), 0.3, 0.7) * (1.0 - x.value("port_infra"))


BEHAVIOUR = Behaviour(
    number=1,
    name="horizontal_scan",
    title="horizontal scan",
    phrase="like a horizontal scan",
    sentence="scans {port_hosts_1h} hosts on {service}",
    next_step="find out who runs a scan from this host; isolate it if nobody does",
    technique="T1046",
    shown=("port_hosts_1h", "port_failed_hosts_1h"),
    measure=_measure,
    grouping=Grouping.SOURCE_SERVICE,
    label_pattern="horizontal|address_scan|addressscan",
)
