"""Unanswered or refused connections from outside: the Internet's background scanning."""

from __future__ import annotations

import numpy as np

from mlids.features.behaviours.base import Behaviour, Grouping, Rows, ramp


def _measure(x: Rows) -> np.ndarray:
    inward = (1.0 - x.value("orig_local")) * x.value("resp_local") * (1.0 - x.value("resp_multicast"))
    failed = np.maximum(x.value("no_answer"), np.maximum(x.value("rejected"), x.value("was_reset")))
    # Background scanning reaches every public address: 0.5 keeps it below an alert.
    return 0.5 * inward * failed * (1.0 - ramp(x.count("orig_bytes"), 1_000, 10_000))


BEHAVIOUR = Behaviour(
    number=4,
    name="inbound_probes",
    title="probes from outside",
    phrase="a probe from outside",
    sentence="probes {target} from outside",
    next_step="nothing, unless something answered",
    technique="T1595",
    shown=("dst_sources_1h", "dst_failed_1h"),
    measure=_measure,
    grouping=Grouping.SENSOR,
    label_pattern="external-attack|inbound",
)
