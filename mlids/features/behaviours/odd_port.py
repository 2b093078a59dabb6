"""TLS or HTTP, or a protocol that Zeek does not recognise, on a port outside where it is seldom used."""

from __future__ import annotations

import numpy as np

from mlids.features.behaviours.base import Behaviour, Grouping, Rows, ramp


def _measure(x: Rows) -> np.ndarray:
    outward = x.value("orig_local") * (1.0 - x.value("resp_local")) * (1.0 - x.value("resp_multicast"))
    named = np.maximum(x.value("tls_odd_port"), x.value("http_odd_port"))
    # Games, calls and peers use unnamed protocols on such ports too: alone they count half.
    unnamed = 0.5 * x.value("port_odd") * x.value("is_tcp") * x.value("resp_data") * (1.0 - x.value("service_known"))
    rare = 1.0 - ramp(x.count("dst_sources"), 1.5, 6)
    return 0.7 * np.maximum(named, unnamed) * outward * rare


BEHAVIOUR = Behaviour(
    number=14,
    name="odd_port",
    title="protocol on an odd port",
    phrase="a protocol on an odd port",
    sentence="talks to {target} over a web protocol on {service}",
    next_step="look up who owns {target}, and which program uses this port",
    technique="T1571",
    shown=("tls_odd_port", "http_odd_port", "dst_sources"),
    measure=_measure,
    grouping=Grouping.SOURCE_TARGET_SERVICE,
    label_pattern="^odd_port$",
)
