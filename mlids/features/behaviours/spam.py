"""One inside host hands mail to many servers outside within an hour, many of which refuse it."""

from __future__ import annotations

import numpy as np

from mlids.features.behaviours.base import Behaviour, Grouping, Rows, ramp


def _measure(x: Rows) -> np.ndarray:
    outward = x.value("orig_local") * (1.0 - x.value("resp_local")) * x.value("port_mail")
    hosts = x.count("port_hosts_1h")
    # The site's own mail server reaches most of its peers: without refusals the level is below an alert.
    refused = 0.4 + 0.6 * ramp(x.count("port_failed_hosts_1h") / np.maximum(hosts, 1.0), 0.1, 0.4)
    return outward * ramp(hosts, 12, 50) * refused


BEHAVIOUR = Behaviour(
    number=16,
    name="spam",
    title="spam run",
    phrase="like a spam run",
    sentence="sends mail to {port_hosts_1h} servers in an hour",
    next_step="check whether the host is a mail server; isolate it if it is not",
    technique="T1496",
    shown=("port_hosts_1h", "port_failed_hosts_1h"),
    measure=_measure,
    grouping=Grouping.SOURCE,
    label_pattern="spam",
)
