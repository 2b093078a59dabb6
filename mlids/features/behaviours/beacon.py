"""Connections to one service at steady intervals and of steady sizes."""

from __future__ import annotations

import numpy as np

from mlids.features.behaviours.base import Behaviour, Grouping, Rows, ramp


def _measure(x: Rows) -> np.ndarray:
    timing = ramp(x.value("triple_gap_steady"), 0.5, 0.9)
    # Answers differ in length, and a command server's tasks too: sizes add to steady timing, and are no condition.
    sizes = 0.4 + 0.6 * ramp(x.value("triple_size_steady"), 0.3, 0.8)
    orig, resp = x.value("orig_local"), x.value("resp_local")
    inward = (1.0 - orig) * resp
    # Prevalence lowers the score of an outside server only: for inbound connections the site's own server may be
    # the command server of infected hosts elsewhere.
    rare = np.maximum(1.0 - ramp(x.count("dst_sources"), 1.5, 6), inward)
    # A source outside that connects at steady intervals for most of a day counts as much as an outbound beacon.
    # Inside, monitoring and clients of the site's own servers are regular too.
    way = orig * (1.0 - resp) + (0.5 + 0.5 * ramp(x.count("pair_age") / 3600.0, 6, 18)) * inward + 0.5 * orig * resp
    outward = way * (1.0 - x.value("resp_multicast"))
    paced = ramp(x.count("triple_gap_median"), 0.8, 4)
    hourly = 1.0 - 0.5 * ramp(x.count("triple_gap_median"), 300, 1_200)
    # Unanswered connections belong to the behaviour `calling`.
    answered = (1.0 - 0.6 * np.maximum(x.value("no_answer"), x.value("rejected"))) * (1.0 - x.value("is_icmp"))
    # What goes on for hours, or for hundreds of calls, is no page that reloads.
    lasting = 0.6 + 0.4 * np.maximum(ramp(x.count("pair_age") / 3600.0, 1, 6), ramp(x.count("triple_gaps"), 60, 240))
    # NTP, SNMP and look-ups are periodic by design, and push services; hundreds of look-ups of one length are less usual.
    alike = ramp(x.value("triple_size_steady"), 0.9, 1.0) * ramp(x.count("triple_gaps"), 60, 240)
    upkeep = 1.0 - x.value("port_infra") * np.where((x.value("is_dns") > 0) & (resp < 1), 0.8 - 0.4 * alike, 1.0)
    upkeep = upkeep * (1.0 - 0.5 * x.value("port_push"))
    # Password guessing from outside is steady too, and a behaviour of its own.
    upkeep = upkeep * (1.0 - 0.5 * x.value("port_login") * inward)
    # Much benign traffic is regular: 0.8 keeps this behaviour alone below an alert.
    regular = ramp(x.count("triple_gaps"), 6, 20) * timing * sizes
    return 0.8 * regular * rare * outward * paced * hourly * answered * lasting * upkeep


BEHAVIOUR = Behaviour(
    number=7,
    name="beacon",
    title="beacon",
    phrase="like a beacon",
    sentence="calls {target} on {service} every {triple_gap_median}",
    next_step="look up who owns {target}; read the TLS or HTTP rows of these uids; isolate the host if nobody knows the program",
    technique="T1071",
    shown=("triple_gap_median", "triple_gap_steady", "triple_size_steady"),
    measure=_measure,
    grouping=Grouping.SOURCE_TARGET_SERVICE,
)
