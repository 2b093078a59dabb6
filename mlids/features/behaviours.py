"""Named behaviours, each 0 to 1, from the features of a row and its past. They speak in words and in ATT&CK."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mlids.features.spec import BEHAVIOUR_NAMES, BY_NAME, POSITION


class Rows:
    """Rows of features, asked for by name; several behaviours ask for the same."""

    def __init__(self, x: np.ndarray) -> None:
        self._x = x
        self._counts: dict[str, np.ndarray] = {}

    def value(self, name: str) -> np.ndarray:
        """Return a feature as it is stored."""
        return self._x[:, POSITION[name]]

    def count(self, name: str) -> np.ndarray:
        """Return a feature of the kind `log` as what was counted."""
        if name not in self._counts:
            self._counts[name] = np.expm1(self.value(name))
        return self._counts[name]


@dataclass(frozen=True)
class Behaviour:
    """A behaviour: its name, ATT&CK technique, the features that tell of it, and how it is measured."""

    name: str
    title: str
    technique: str
    shown: tuple[str, ...]
    measure: Callable[[Rows], np.ndarray]


def _ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 up to `low`, 1 from `high` on, straight in between."""
    return np.clip((values - low) / (high - low), 0.0, 1.0)


def _horizontal(x: Rows) -> np.ndarray:
    # A time or name service in vain is a list of dead servers, not a scan.
    return _ramp(x.count("port_hosts_1h"), 12, 50) * _ramp(x.value("port_failed_1h"), 0.3, 0.8) * (1.0 - x.value("port_infra"))


def _vertical(x: Rows) -> np.ndarray:
    return _ramp(x.count("pair_ports_1h"), 10, 30) * _ramp(x.value("pair_failed_1h"), 0.3, 0.7)


def _slow(x: Rows) -> np.ndarray:
    tried = np.maximum(x.count("src_hosts_1h"), x.count("src_ports_1h"))
    calm = 1.0 - _ramp(x.count("src_conns_5m"), 15, 60)
    went_nowhere = np.maximum(x.value("no_answer"), np.maximum(x.value("rejected"), x.value("was_reset")))
    return _ramp(tried, 8, 25) * _ramp(x.value("src_failed_1h"), 0.5, 0.9) * calm * went_nowhere


def _flood(x: Rows) -> np.ndarray:
    many = np.maximum(_ramp(x.count("dst_conns_5m"), 300, 1500), _ramp(x.count("triple_conns_5m"), 200, 1000))
    return many * _ramp(x.value("dst_failed_5m"), 0.5, 0.9)


def _brute_force(x: Rows) -> np.ndarray:
    answered = x.value("resp_data") * x.value("port_admin")
    alike = 0.5 + 0.5 * x.value("triple_size_steady")
    short = 1.0 - _ramp(x.count("duration"), 60, 600)
    return answered * _ramp(x.count("triple_conns_1h"), 15, 60) * alike * short


def _beacon(x: Rows) -> np.ndarray:
    timing = _ramp(x.value("triple_gap_steady"), 0.5, 0.85)
    sizes = _ramp(x.value("triple_size_steady"), 0.4, 0.85)
    inward = (1.0 - x.value("orig_local")) * x.value("resp_local")
    # Who else goes there tells something of a far server, nothing of the site's own: a beacon that comes in
    # may be a command server of somebody else's, standing here.
    rare = np.maximum(1.0 - _ramp(x.count("dst_sources_1h"), 1.5, 5), inward)
    # A visitor who comes by the clock for most of a day is worth as much as a call to the outside.
    way = x.value("orig_local") * (1.0 - x.value("resp_local")) + (0.5 + 0.5 * _ramp(x.count("pair_age") / 3600.0, 6, 18)) * inward
    outward = way * (1.0 - x.value("resp_multicast"))
    paced = _ramp(x.count("triple_gap_mean"), 4, 15)
    hourly = 1.0 - 0.5 * _ramp(x.count("triple_gap_mean"), 1_200, 3_600)
    # What nobody answers is told as such by `calling`.
    answered = (1.0 - 0.6 * np.maximum(x.value("no_answer"), x.value("rejected"))) * (1.0 - x.value("is_icmp"))
    lasting = 0.6 + 0.4 * _ramp(x.count("pair_age") / 3600.0, 1, 6)
    # Much that is harmless is regular too: by itself this stays below an alert. Time and names are asked for by the clock.
    regular = _ramp(x.count("triple_total"), 8, 24) * timing * sizes
    return 0.6 * regular * rare * outward * paced * hourly * answered * lasting * (1.0 - x.value("port_infra"))


def _inbound(x: Rows) -> np.ndarray:
    inward = (1.0 - x.value("orig_local")) * x.value("resp_local") * (1.0 - x.value("resp_multicast"))
    in_vain = np.maximum(x.value("no_answer"), np.maximum(x.value("rejected"), x.value("was_reset")))
    # The Internet's background reaches everybody: worth a line a host, no more.
    return 0.5 * inward * in_vain * (1.0 - _ramp(x.count("orig_bytes"), 1_000, 10_000))


def _outward(x: Rows) -> np.ndarray:
    """1 from inside to outside, less where both ends are on one side, 0 from outside to inside."""
    inside, far = x.value("orig_local"), 1.0 - x.value("resp_local")
    return inside * far + 0.6 * (inside * (1.0 - far) + (1.0 - inside) * far)


def _calling(x: Rows) -> np.ndarray:
    unanswered = x.value("is_tcp") * np.maximum(x.value("no_answer"), x.value("rejected")) * _ramp(x.value("triple_failed"), 0.5, 0.95)
    again = 0.3 * _ramp(x.count("triple_total"), 3, 10) + 0.7 * _ramp(x.value("triple_total"), np.log1p(10), np.log1p(600))
    one = 1.0 - _ramp(x.count("port_hosts_1h"), 3, 12)
    calm = 1.0 - _ramp(x.count("triple_conns_5m"), 100, 400)
    # Many sources that call in vain tell of a server that is down.
    rare = 1.0 - 0.7 * _ramp(x.count("dst_sources"), 3, 12)
    return 0.95 * unanswered * again * one * calm * rare * _outward(x)


def _unusual_service(x: Rows) -> np.ndarray:
    rare = 1.0 - _ramp(x.count("service_sources"), 2, 10)
    return 0.7 * x.value("odd_service") * rare * _outward(x)


def _dns_tunnel(x: Rows) -> np.ndarray:
    long_queries = _ramp(x.count("orig_pkt_size"), 105, 160)
    return x.value("is_dns") * long_queries * _ramp(x.count("triple_conns_1h"), 60, 300)


def _exfiltration(x: Rows) -> np.ndarray:
    outward = x.value("orig_local") * (1.0 - x.value("resp_local"))
    return outward * _ramp(x.value("src_out_1h"), np.log(2e8), np.log(2e9)) * _ramp(x.value("orig_share"), 0.6, 0.9) * _ramp(
        x.value("orig_bytes"), np.log(5e6), np.log(5e7)
    )  # fmt: skip


def _long(x: Rows) -> np.ndarray:
    # RITA's bands for long connections: 1, 4, 8, 12 h.
    return 0.5 * _ramp(x.count("duration") / 3600.0, 4, 12)


def _lateral(x: Rows) -> np.ndarray:
    inside = x.value("orig_local") * x.value("resp_local") * x.value("port_admin")
    # An administrator's rounds go to hosts met before.
    unknown = 1.0 - 0.8 * _ramp(x.count("pair_age") / 3600.0, 1, 4)
    return inside * unknown * _ramp(x.count("port_hosts_1h"), 4, 10)


BEHAVIOURS: tuple[Behaviour, ...] = (
    Behaviour("horizontal_scan", "horizontal scan", "T1046", ("port_hosts_1h", "port_failed_1h"), _horizontal),
    Behaviour("vertical_scan", "vertical scan", "T1046", ("pair_ports_1h", "pair_failed_1h"), _vertical),
    Behaviour("slow_scan", "slow scan", "T1046", ("src_hosts_1h", "src_ports_1h", "src_failed_1h"), _slow),
    Behaviour("inbound_probes", "probes from outside", "T1595", ("dst_sources_1h", "dst_failed_1h"), _inbound),
    Behaviour("flood", "flood", "T1498", ("dst_conns_5m", "dst_failed_5m"), _flood),
    Behaviour("brute_force", "brute force", "T1110", ("triple_conns_1h", "triple_size_steady"), _brute_force),
    Behaviour("beacon", "beacon", "T1071", ("triple_gap_mean", "triple_gap_steady", "triple_size_steady"), _beacon),
    Behaviour("calling", "unanswered calls", "T1071", ("triple_total", "triple_failed", "triple_gap_mean"), _calling),
    Behaviour("unusual_service", "unusual protocol", "T1071", ("service_sources", "service_triples"), _unusual_service),
    Behaviour("dns_tunnel", "DNS tunnel", "T1071.004", ("triple_conns_1h", "orig_pkt_size"), _dns_tunnel),
    Behaviour("exfiltration", "exfiltration", "T1048", ("src_out_1h", "orig_share"), _exfiltration),
    Behaviour("long_connection", "long connection", "T1571", ("duration",), _long),
    Behaviour("lateral_movement", "lateral movement", "T1021", ("port_hosts_1h", "port_failed_1h"), _lateral),
)
assert tuple(b.name for b in BEHAVIOURS) == BEHAVIOUR_NAMES, "every behaviour is a feature, in the same order"


def measure(x: np.ndarray) -> np.ndarray:
    """Return float32[n, len(BEHAVIOURS)], each 0 to 1, from the flow and context columns of a feature matrix."""
    told = np.empty((len(BEHAVIOURS), len(x)), np.float32)
    rows = Rows(x)
    for number, behaviour in enumerate(BEHAVIOURS):
        told[number] = behaviour.measure(rows)
    return told.T


def say(behaviour: Behaviour, row: np.ndarray) -> str:
    """Return the behaviour and what tells of it, in words."""
    told = "; ".join(BY_NAME[name].say(float(row[POSITION[name]])) for name in behaviour.shown)
    return f"{behaviour.title}: {told}"
