"""A protocol that Zeek recognised and that few hosts of the site use."""

from __future__ import annotations

import numpy as np

from mlids.features.behaviours.base import Behaviour, Grouping, Rows, outward_share, ramp


def _measure(x: Rows) -> np.ndarray:
    rare = 1.0 - ramp(x.count("service_sources"), 2, 10)
    return 0.7 * x.value("odd_service") * rare * outward_share(x)


BEHAVIOUR = Behaviour(
    number=9,
    name="unusual_service",
    title="unusual protocol",
    phrase="an unusual protocol",
    sentence="speaks an unusual protocol with {target} on {service}",
    next_step="find the program that speaks this protocol",
    technique="T1071",
    shown=("service_sources", "service_triples"),
    measure=_measure,
    grouping=Grouping.SOURCE_TARGET_SERVICE,
)
