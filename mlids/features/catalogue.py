"""The flow and context features: name, group, kind, and how a person reads the value. Their order is part of the model's contract."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Feature:
    """One column of the feature matrix.

    `template` completes "this connection: …" with the value in place of `{}`. `kind` says how the value is
    stored: log (log1p of a number), share (0 to 1), flag (0 or 1), times (natural logarithm of a ratio).
    """

    name: str
    group: str  # flow | context | behaviour
    kind: str
    template: str

    def describe(self, value: float) -> str:
        """Return the feature's value in words."""
        if self.kind == "log":
            shown = math.expm1(min(value, 60.0))
            text = f"{shown:,.0f}" if shown >= 10 or shown == int(shown) else f"{shown:.2g}"
        elif self.kind == "share":
            text = f"{100 * value:.0f} %"
        elif self.kind == "flag":
            text = "yes" if value > 0.5 else "no"
        else:
            times = math.exp(min(value, 60.0))
            text = f"{times:,.0f}" if times >= 10 else f"{times:.2g}"
        return self.template.format(text)


def stored_log(numbers: np.ndarray) -> np.ndarray:
    """Return numbers from 0 on as the kind `log` stores them, float32: ln(1 + number).

    Computed in float64: NumPy's float32 logarithms differ in the last bit between processors.
    """
    return np.log(numbers.astype(np.float64) + 1.0).astype(np.float32)


def stored_number(logs: np.ndarray) -> np.ndarray:
    """Return the numbers of a feature of the kind `log`, float32; computed in float64, as `stored_log`."""
    return (np.exp(logs.astype(np.float64)) - 1.0).astype(np.float32)


def _flow(name: str, kind: str, template: str) -> Feature:
    return Feature(name, "flow", kind, template)


def _past(name: str, kind: str, template: str) -> Feature:
    return Feature(name, "context", kind, template)


FEATURES: tuple[Feature, ...] = (
    _flow("duration", "log", "lasted {} s"),
    _flow("no_duration", "flag", "a single packet or no duration: {}"),
    _flow("orig_bytes", "log", "sent {} bytes"),
    _flow("resp_bytes", "log", "received {} bytes"),
    _flow("orig_pkts", "log", "sent {} packets"),
    _flow("resp_pkts", "log", "received {} packets"),
    _flow("orig_share", "share", "{} of all bytes were sent"),
    _flow("orig_pkt_size", "log", "{} bytes per packet sent"),
    _flow("resp_pkt_size", "log", "{} bytes per packet received"),
    _flow("byte_rate", "log", "{} bytes per second"),
    _flow("missed_bytes", "log", "{} bytes missed in capture"),
    _flow("is_tcp", "flag", "TCP: {}"),
    _flow("is_udp", "flag", "UDP: {}"),
    _flow("is_icmp", "flag", "ICMP: {}"),
    _flow("no_answer", "flag", "no answer: {}"),
    _flow("rejected", "flag", "refused: {}"),
    _flow("completed", "flag", "normal start and end: {}"),
    _flow("was_reset", "flag", "reset: {}"),
    _flow("midstream", "flag", "seen in the middle only: {}"),
    _flow("history_length", "log", "{} letters of packet history"),
    _flow("orig_data", "flag", "originator sent data: {}"),
    _flow("resp_data", "flag", "responder sent data: {}"),
    _flow("retransmits", "flag", "retransmissions: {}"),
    _flow("service_known", "flag", "protocol recognised: {}"),
    _flow("is_dns", "flag", "DNS: {}"),
    _flow("is_web", "flag", "HTTP or TLS: {}"),
    _flow("odd_service", "flag", "a protocol seldom used for work: {}"),
    _flow("port_well_known", "flag", "port below 1024: {}"),
    _flow("port_web", "flag", "a web port: {}"),
    _flow("port_infra", "flag", "a port of network upkeep: {}"),
    _flow("port_mail", "flag", "a port of mail: {}"),
    _flow("port_push", "flag", "a port of push services: {}"),
    _flow("port_admin", "flag", "an administration port: {}"),
    _flow("port_login", "flag", "a port where passwords are tried: {}"),
    _flow("port_odd", "flag", "a high port without a usual service: {}"),
    _flow("tls_odd_port", "flag", "TLS on a port that it seldom has: {}"),
    _flow("http_odd_port", "flag", "HTTP on a port that it seldom has: {}"),
    _flow("orig_local", "flag", "from inside: {}"),
    _flow("resp_local", "flag", "to inside: {}"),
    _flow("resp_multicast", "flag", "to a multicast or broadcast address: {}"),
    _past("src_conns_5m", "log", "its source made {} connections in 5 min"),
    _past("src_conns_1h", "log", "its source made {} connections in 1 h"),
    _past("src_failed_5m", "share", "{} of its source's connections failed in 5 min"),
    _past("src_failed_1h", "share", "{} of its source's connections failed in 1 h"),
    _past("src_hosts_5m", "log", "its source contacted {} hosts in 5 min"),
    _past("src_hosts_1h", "log", "its source contacted {} hosts in 1 h"),
    _past("src_ports_5m", "log", "its source tried {} services in 5 min"),
    _past("src_ports_1h", "log", "its source tried {} services in 1 h"),
    _past("src_failed_hosts_1h", "log", "its source failed at {} hosts in 1 h"),
    _past("src_failed_ports_1h", "log", "its source failed at {} services in 1 h"),
    _past("src_odd_hosts_1d", "log", "its source met {} hosts on odd high ports in a day"),
    _past("src_odd_ports_1d", "log", "its source tried {} odd high ports in a day"),
    _past("src_fresh_1h", "log", "its source met {} hosts for the first time in 1 h"),
    _past("src_rate", "times", "its source makes {} × its usual number of connections"),
    _past("src_out_rate", "times", "its source sends {} × its usual volume"),
    _past("src_out_1h", "log", "its source sent {} bytes in 1 h"),
    _past("dst_conns_5m", "log", "its destination got {} connections in 5 min"),
    _past("dst_conns_1h", "log", "its destination got {} connections in 1 h"),
    _past("dst_failed_5m", "share", "{} of the connections to its destination failed in 5 min"),
    _past("dst_failed_1h", "share", "{} of the connections to its destination failed in 1 h"),
    _past("dst_sources_5m", "log", "{} sources came to its destination in 5 min"),
    _past("dst_sources_1h", "log", "{} sources came to its destination in 1 h"),
    _past("dst_sources", "log", "{} sources ever came to its destination"),
    _past("dst_rate", "times", "its destination gets {} × its usual number of connections"),
    _past("pair_conns_5m", "log", "{} connections between the two in 5 min"),
    _past("pair_conns_1h", "log", "{} connections between the two in 1 h"),
    _past("pair_failed_1h", "share", "{} of those between the two failed in 1 h"),
    _past("pair_ports_1h", "log", "{} services tried between the two in 1 h"),
    _past("pair_is_new", "flag", "the two had not met before: {}"),
    _past("pair_age", "log", "the two first met {} s ago"),
    _past("port_conns_1h", "log", "its source made {} connections to this service in 1 h"),
    _past("port_hosts_5m", "log", "its source tried this service on {} hosts in 5 min"),
    _past("port_hosts_1h", "log", "its source tried this service on {} hosts in 1 h"),
    _past("port_failed_hosts_1h", "log", "its source failed at {} hosts with this service in 1 h"),
    _past("port_failed_1h", "share", "{} of its source's connections to this service failed in 1 h"),
    _past("triple_conns_5m", "log", "{} connections to this very service in 5 min"),
    _past("triple_conns_1h", "log", "{} connections to this very service in 1 h"),
    _past("triple_total", "log", "{} connections to this very service so far"),
    _past("triple_gaps", "log", "{} calls with a pause before them"),
    _past("triple_gap_median", "log", "about {} s between them"),
    _past("triple_lasted", "log", "{} s in all on this very service"),
    _past("triple_failed", "share", "{} of all connections to this very service failed"),
    _past("triple_gap_steady", "share", "{} of the intervals between them near their median"),
    _past("triple_size_steady", "share", "{} of the sizes near their median"),
    _past("service_sources", "log", "{} sources ever used this service"),
    _past("service_triples", "log", "this service was used between {} pairs of hosts"),
)

BY_NAME: dict[str, Feature] = {f.name: f for f in FEATURES}
POSITION: dict[str, int] = {f.name: i for i, f in enumerate(FEATURES)}
