"""A large volume sent from inside to outside."""

from __future__ import annotations

import numpy as np

from mlids.features.behaviours.base import Behaviour, Grouping, Rows, ramp


def _measure(x: Rows) -> np.ndarray:
    outward = x.value("orig_local") * (1.0 - x.value("resp_local"))
    # A backup goes to the same place each day.
    familiar = 1.0 - 0.6 * ramp(x.count("pair_age") / 3600.0, 12, 36)
    return familiar * outward * ramp(x.value("src_out_1h"), np.log(2e8), np.log(2e9)) * ramp(x.value("orig_share"), 0.6, 0.9) * ramp(
        x.value("orig_bytes"), np.log(5e6), np.log(5e7)
    )  # fmt: skip


BEHAVIOUR = Behaviour(
    number=11,
    name="exfiltration",
    title="exfiltration",
    phrase="like exfiltration",
    sentence="sent {src_out_1h} in an hour, mostly to {target}",
    next_step="ask the owner of the host what was sent to {target}; block it if nobody knows",
    technique="T1048",
    shown=("src_out_1h", "orig_share"),
    measure=_measure,
    grouping=Grouping.SOURCE,
    label_pattern="exfil",
)
