"""Many long DNS queries to one resolver within an hour."""

from __future__ import annotations

import numpy as np

from mlids.features.behaviours.base import Behaviour, Grouping, Rows, ramp


def _measure(x: Rows) -> np.ndarray:
    long_queries = ramp(x.count("orig_pkt_size"), 105, 160)
    return x.value("is_dns") * long_queries * ramp(x.count("triple_conns_1h"), 60, 300)


BEHAVIOUR = Behaviour(
    number=10,
    name="dns_tunnel",
    title="DNS tunnel",
    phrase="like a DNS tunnel",
    sentence="sends data through DNS to {target}",
    next_step="read the names of these uids in dns.log; isolate the host if they carry data",
    technique="T1071.004",
    shown=("triple_conns_1h", "orig_pkt_size"),
    measure=_measure,
    grouping=Grouping.SOURCE_TARGET_SERVICE,
    label_pattern="^(?!.*(?:exfil|lateral)).*tunnel",
)
