"""The declared features: name, group and how a person reads the value. Order and names are the model's contract."""

from __future__ import annotations

from dataclasses import dataclass

# Raised whenever a feature is added, removed or computed otherwise; a model of another version is refused.
FEATURES_VERSION = 3


@dataclass(frozen=True)
class Feature:
    """One column of the feature matrix.

    `words` completes "this connection: …" with the value in place of `{}`. `kind` says how the stored
    value turns back into a number for people: log (log1p of it), share (0 to 1), flag (0 or 1), times (log of a ratio).
    """

    name: str
    group: str  # flow | context | behaviour
    kind: str
    words: str

    def say(self, value: float) -> str:
        """Return the feature's value in words."""
        import math

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
        return self.words.format(text)


def _flow(name: str, kind: str, words: str) -> Feature:
    return Feature(name, "flow", kind, words)


def _past(name: str, kind: str, words: str) -> Feature:
    return Feature(name, "context", kind, words)


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
    _flow("port_admin", "flag", "an administration port: {}"),
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
    _past("port_failed_1h", "share", "{} of its source's connections to this service failed in 1 h"),
    _past("triple_conns_5m", "log", "{} connections to this very service in 5 min"),
    _past("triple_conns_1h", "log", "{} connections to this very service in 1 h"),
    _past("triple_total", "log", "{} connections to this very service so far"),
    _past("triple_gap_mean", "log", "about {} s between them"),
    _past("triple_failed", "share", "{} of all connections to this very service failed"),
    _past("triple_gap_steady", "share", "intervals between them {} steady"),
    _past("triple_size_steady", "share", "sizes {} steady"),
    _past("service_sources", "log", "{} sources ever used this service"),
    _past("service_triples", "log", "this service was used between {} pairs of hosts"),
)

# How far a row and its past look like each named behaviour, in words (measured in `behaviours`).
TOLD = {
    "horizontal_scan": "like a horizontal scan",
    "vertical_scan": "like a vertical scan",
    "slow_scan": "like a slow scan",
    "inbound_probes": "a probe from outside",
    "flood": "like a flood",
    "brute_force": "like password guessing",
    "beacon": "like a beacon",
    "calling": "like calls that nobody answers",
    "unusual_service": "an unusual protocol",
    "dns_tunnel": "like a DNS tunnel",
    "exfiltration": "like exfiltration",
    "long_connection": "a long connection",
    "lateral_movement": "like lateral movement",
}
FEATURES += tuple(Feature(name, "behaviour", "share", f"{words}: {{}}") for name, words in TOLD.items())

NAMES: tuple[str, ...] = tuple(f.name for f in FEATURES)
BY_NAME: dict[str, Feature] = {f.name: f for f in FEATURES}
POSITION: dict[str, int] = {name: i for i, name in enumerate(NAMES)}
BEHAVIOUR_NAMES = tuple(TOLD)
BEHAVIOUR_COLUMNS = slice(len(FEATURES) - len(TOLD), len(FEATURES))
# The IsolationForest looks at the past alone. Left out are those that are wild on young hosts (rates
# against the usual) or mean nothing for few connections (gaps): leaving them in cost a third of the recall.
ISOLATION_COLUMNS: tuple[int, ...] = tuple(
    i for i, f in enumerate(FEATURES) if f.group == "context" and f.kind != "times" and not f.name.startswith("triple_gap")
)
# Where every attack in training was implanted, the RandomForest looks at the shape of what happened only: how
# large an attack is, and how fast, was invented with it, and a forest that leans on that finds half as much.
SHAPE_COLUMNS: tuple[int, ...] = tuple(i for i, f in enumerate(FEATURES) if f.group == "behaviour" or f.kind == "flag")
