"""One source that calls many hosts on many odd high ports over a day: peers of a botnet, or of file sharing."""

from __future__ import annotations

import numpy as np

from mlids.features.behaviours.base import Behaviour, Grouping, Rows, ramp


def _measure(x: Rows) -> np.ndarray:
    outward = x.value("orig_local") * (1.0 - x.value("resp_local")) * (1.0 - x.value("resp_multicast"))
    many = ramp(x.count("src_odd_hosts_1d"), 10, 25) * ramp(x.count("src_odd_ports_1d"), 5, 10)
    # File sharing meets hundreds of peers within an hour; a botnet's list of peers is short, and is walked slowly.
    quiet = 1.0 - 0.6 * ramp(x.count("src_fresh_1h"), 60, 200)
    return 0.8 * x.value("port_odd") * outward * many * quiet


BEHAVIOUR = Behaviour(
    number=15,
    name="peer_to_peer",
    title="calls to many peers",
    phrase="like calls to peers",
    sentence="calls {src_odd_hosts_1d} peers on high ports in a day",
    next_step="ask whether a file-sharing program or a game runs there; a bot without either calls peers like this",
    technique="T1090.003",
    shown=("src_odd_hosts_1d", "src_odd_ports_1d"),
    measure=_measure,
    grouping=Grouping.SOURCE,
    label_pattern="peer.?to.?peer|p2p",
)
