"""Connections to one service at steady intervals and of steady sizes."""

from __future__ import annotations

import numpy as np

from mlids.features.behaviours.base import Behaviour, Grouping, Rows, ramp


def _measure(x: Rows) -> np.ndarray:
    timing = ramp(x.value("triple_gap_steady"), 0.5, 0.85)
    sizes = ramp(x.value("triple_size_steady"), 0.4, 0.85)
    inward = (1.0 - x.value("orig_local")) * x.value("resp_local")
    # Prevalence lowers the score of an outside server only: for inbound connections the site's own server may be
    # the command server of infected hosts elsewhere.
    rare = np.maximum(1.0 - ramp(x.count("dst_sources_1h"), 1.5, 5), inward)
    # A source outside that connects at steady intervals for most of a day counts as much as an outbound beacon.
    way = x.value("orig_local") * (1.0 - x.value("resp_local")) + (0.5 + 0.5 * ramp(x.count("pair_age") / 3600.0, 6, 18)) * inward
    outward = way * (1.0 - x.value("resp_multicast"))
    paced = ramp(x.count("triple_gap_mean"), 4, 15)
    hourly = 1.0 - 0.5 * ramp(x.count("triple_gap_mean"), 1_200, 3_600)
    # Unanswered connections belong to the behaviour `calling`.
    answered = (1.0 - 0.6 * np.maximum(x.value("no_answer"), x.value("rejected"))) * (1.0 - x.value("is_icmp"))
    lasting = 0.6 + 0.4 * ramp(x.count("pair_age") / 3600.0, 1, 6)
    # Much benign traffic is regular: 0.6 keeps this behaviour alone below an alert. NTP and DNS are periodic by design.
    regular = ramp(x.count("triple_total"), 8, 24) * timing * sizes
    return 0.6 * regular * rare * outward * paced * hourly * answered * lasting * (1.0 - x.value("port_infra"))


BEHAVIOUR = Behaviour(
    number=7,
    name="beacon",
    title="beacon",
    phrase="like a beacon",
    technique="T1071",
    shown=("triple_gap_mean", "triple_gap_steady", "triple_size_steady"),
    measure=_measure,
    grouping=Grouping.SOURCE_TARGET_SERVICE,
)
