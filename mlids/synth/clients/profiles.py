"""Tables of the clients: exchanges, ways in which conns end, held services, and broadcast messages.

Ports and intervals are those that vendors and standards publish; sizes are rough medians. Sites differ from each other
by `tilted`: each draws its own shares of the ends.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

Ends = tuple[tuple[str, str, float], ...]  # conn_state, history, share

TCP_ENDS: Ends = (
    ("SF", "ShADadFf", 0.30), ("SF", "ShADadfF", 0.14), ("SF", "ShADadtFf", 0.06), ("SF", "ShADadFfR", 0.06), ("SF", "ShADdaFf", 0.05),
    ("SF", "ShADadTFf", 0.03), ("SF", "ShADadttfF", 0.03), ("SF", "ShADTadtfF", 0.03), ("SF", "ShADadtTFfR", 0.02), ("SF", "ShAFf", 0.01),
    ("RSTO", "ShADadR", 0.06), ("RSTO", "ShADadFR", 0.05), ("RSTO", "ShADadfR", 0.03), ("RSTO", "ShADdaR", 0.02), ("RSTR", "ShADadr", 0.03),
    ("RSTR", "ShADadFr", 0.02), ("RSTR", "ShADadtr", 0.01), ("S1", "ShADad", 0.02), ("S1", "ShADadt", 0.008), ("S2", "ShADadF", 0.004),
    ("S3", "ShADadf", 0.006), ("S0", "S", 0.008), ("REJ", "Sr", 0.002), ("SH", "F", 0.004), ("OTH", "DadA", 0.004), ("OTH", "R", 0.003),
    ("SF", "^dADFaf", 0.003), ("OTH", "^dADa", 0.003), ("RSTO", "ShR", 0.003),
)  # fmt: skip
# A client's conns that were opened in advance and never used.
UNUSED_ENDS: Ends = (("SF", "ShAFf", 0.5), ("SF", "ShAfFa", 0.2), ("RSTO", "ShAR", 0.2), ("S1", "ShA", 0.04), ("RSTR", "ShAFar", 0.06))
# What is held open for hours ends with the host's sleep, the other side's limit, or unseen.
HELD_ENDS: Ends = (
    ("SF", "ShADadFf", 0.2), ("SF", "ShADadtfF", 0.12), ("RSTO", "ShADadR", 0.16), ("RSTO", "ShADadtTR", 0.08), ("RSTR", "ShADadr", 0.08),
    ("S1", "ShADad", 0.12), ("S1", "ShADadtT", 0.06), ("S3", "ShADadf", 0.04), ("OTH", "DadA", 0.08), ("OTH", "^dADa", 0.06),
)  # fmt: skip
REGULAR_ENDS: Ends = (
    ("SF", "ShADadFf", 0.72), ("SF", "ShADadfF", 0.12), ("RSTO", "ShADadFR", 0.06), ("RSTR", "ShADadr", 0.04), ("SF", "ShADadtFf", 0.05),
    ("S0", "S", 0.006), ("S1", "ShADad", 0.004),
)  # fmt: skip
# Windows closes its conns to a domain controller in several ways, resets among them.
DOMAIN_ENDS: Ends = (
    ("SF", "ShADadFf", 0.34), ("SF", "ShADadfF", 0.14), ("RSTR", "ShADadFr", 0.14), ("RSTR", "ShADdarF", 0.08), ("RSTR", "ShADdFar", 0.08),
    ("RSTO", "ShADadR", 0.10), ("RSTO", "ShADdaR", 0.05), ("S1", "ShADad", 0.03), ("SF", "ShADdFaf", 0.04),
)  # fmt: skip
UDP_ENDS: Ends = (("SF", "Dd", 0.96), ("S0", "D", 0.035), ("SHR", "d", 0.005))
UNANSWERED_UDP: Ends = (("S0", "D", 1.0),)
DEAD_ENDS: Ends = (("S0", "S", 1.0),)
REFUSED_ENDS: Ends = (("REJ", "Sr", 0.9), ("RSTOS0", "SR", 0.02), ("REJ", "SrSr", 0.08))


@dataclass(frozen=True)
class Exchange:
    """One kind of conn. Durations (seconds) and payload bytes are median and sigma of log-normal draws."""

    port: int
    proto: str
    service: str | None
    duration: tuple[float, float]
    orig_bytes: tuple[float, float]
    resp_bytes: tuple[float, float]
    ends: Ends = TCP_ENDS


DNS = Exchange(53, "udp", "dns", (0.02, 1.3), (42, 0.22), (130, 0.7), UDP_ENDS)
HTTPS = Exchange(443, "tcp", "ssl", (1.2, 1.6), (1_700, 0.9), (7_500, 1.6))
HTTP = Exchange(80, "tcp", "http", (1.0, 2.0), (450, 0.9), (1_600, 2.0))
QUIC = Exchange(443, "udp", "quic,ssl", (3.0, 2.0), (6_500, 1.1), (20_000, 1.8), (("SF", "Dd", 0.99), ("S0", "D", 0.01)))
PRECONNECT = Exchange(443, "tcp", None, (4.0, 1.0), (0, 0), (0, 0), UNUSED_ENDS)
ATTEMPT = Exchange(443, "tcp", None, (0, 0), (0, 0), (0, 0), DEAD_ENDS)
DOWNLOAD = Exchange(443, "tcp", "ssl", (25, 1.5), (4_000, 1.2), (3e7, 1.9))
RANGES = Exchange(80, "tcp", "http", (6, 1.3), (900, 0.8), (6e6, 1.3))
TELEMETRY = Exchange(443, "tcp", "ssl", (0.6, 0.8), (1_500, 0.1), (4_500, 0.15), REGULAR_ENDS)
CHECK = Exchange(80, "tcp", "http", (0.15, 0.8), (120, 0.1), (300, 0.2), REGULAR_ENDS)
SYNC_POLL = Exchange(443, "tcp", "ssl", (60, 0.3), (1_100, 0.15), (900, 0.2), REGULAR_ENDS)
SYNC_UPLOAD = Exchange(443, "tcp", "ssl", (20, 1.4), (4e6, 2.0), (9_000, 0.9))
BACKUP = Exchange(443, "tcp", "ssl", (0, 0), (2.5e8, 1.7), (60_000, 1.2))
STUN = Exchange(3478, "udp", None, (0.4, 1.4), (120, 0.5), (130, 0.4), (("SF", "Dd", 0.8), ("S0", "D", 0.2)))
MEDIA = Exchange(3478, "udp", None, (1_500, 1.0), (6e7, 1.2), (1.2e8, 1.2), (("SF", "Dd", 0.98), ("SHR", "d", 0.02)))
PROBE = Exchange(0, "udp", None, (4.0, 0.9), (300, 0.5), (0, 0), UNANSWERED_UDP)
GAME = Exchange(0, "udp", None, (1_200, 1.0), (9e6, 1.0), (3e7, 1.0), (("SF", "Dd", 0.97), ("SHR", "d", 0.03)))
SERVER_QUERY = Exchange(0, "udp", None, (0.08, 0.7), (54, 0.15), (260, 0.6), (("SF", "Dd", 0.75), ("S0", "D", 0.25)))
LOBBY = Exchange(0, "tcp", None, (1_500, 1.2), (30_000, 1.1), (90_000, 1.2), HELD_ENDS)
DHT = Exchange(0, "udp", None, (0.25, 0.9), (110, 0.2), (290, 0.4), (("SF", "Dd", 0.45), ("S0", "D", 0.55)))
DHT_IN = Exchange(0, "udp", None, (0.02, 1.3), (115, 0.2), (300, 0.3), (("SF", "Dd", 0.85), ("S0", "D", 0.15)))
PEER = Exchange(0, "tcp", None, (40, 1.8), (1_500, 2.0), (1_200, 2.4))
PEER_UDP = Exchange(0, "udp", None, (60, 1.9), (2_500, 2.2), (2_000, 2.6), (("SF", "Dd", 0.4), ("S0", "D", 0.6)))
SCRAPE = Exchange(9100, "tcp", "http", (0.06, 0.5), (220, 0.05), (30_000, 0.15), REGULAR_ENDS)
SNMP = Exchange(161, "udp", "snmp", (0.03, 1.0), (90, 0.3), (140, 0.4), (("SF", "Dd", 0.97), ("S0", "D", 0.03)))
PING = Exchange(0, "icmp", None, (0.002, 1.0), (56, 0.2), (56, 0.2), (("OTH", "", 1.0),))
SSH = Exchange(22, "tcp", "ssh", (5, 2.0), (6_000, 1.3), (20_000, 2.0), REGULAR_ENDS)
DEV_SERVER = Exchange(8080, "tcp", "http", (0.2, 1.4), (700, 0.6), (3_000, 1.6), TCP_ENDS)
NTP = Exchange(123, "udp", "ntp", (0.03, 0.9), (48, 0.01), (48, 0.01), UDP_ENDS)
DHCP = Exchange(67, "udp", "dhcp", (0.01, 1.6), (300, 0.1), (310, 0.1), (("SF", "Dd", 0.93), ("S0", "D", 0.07)))
CLDAP = Exchange(389, "udp", "ldap_udp", (0.0006, 0.6), (230, 0.15), (200, 0.1), UDP_ENDS)
LDAP = Exchange(389, "tcp", "ldap_tcp", (0.06, 1.8), (2_600, 0.4), (3_600, 0.6), DOMAIN_ENDS)
CATALOG = replace(LDAP, port=3268)
KERBEROS = Exchange(88, "tcp", "krb_tcp", (0.004, 0.9), (1_650, 0.15), (1_750, 0.15), DOMAIN_ENDS)
ENDPOINTS = Exchange(135, "tcp", "dce_rpc", (1.0, 1.8), (500, 0.2), (640, 0.2), DOMAIN_ENDS)
RPC = Exchange(49_669, "tcp", "gssapi,dce_rpc", (0.6, 1.8), (3_700, 0.4), (1_900, 0.5), DOMAIN_ENDS)
SMB = Exchange(445, "tcp", "gssapi,smb,krb", (14, 1.8), (5_500, 0.8), (6_000, 1.6), DOMAIN_ENDS)
FILES = Exchange(445, "tcp", "gssapi,smb,krb", (2_000, 1.5), (90_000, 2.2), (400_000, 2.6), HELD_ENDS)


def tilted(ends: Ends, rng: np.random.Generator, sigma: float = 0.7) -> np.ndarray:
    """Return the shares of `ends` as one site has them: browsers, servers and operating systems close differently."""
    shares = np.array([e[2] for e in ends]) * np.exp(sigma * rng.standard_normal(len(ends)))
    return np.asarray(shares / shares.sum())


@dataclass(frozen=True)
class HeldService:
    """A service that a client stays in touch with: by one conn for hours, or by a new one every `every` seconds."""

    port: int
    service: str | None
    common: float  # share of the hosts that use it, where it is used at all
    held: float  # probability that it holds a conn
    every: tuple[float, float]
    orig_bytes: tuple[float, float]
    resp_bytes: tuple[float, float]
    own_server: bool = False  # each host has a server of its own


HELD_SERVICES: tuple[HeldService, ...] = (
    HeldService(5228, "ssl", 0.35, 0.9, (600, 1_700), (700, 2_500), (600, 9_000)),
    HeldService(5223, "ssl", 0.30, 0.9, (600, 1_800), (900, 3_500), (3_000, 6_000)),
    HeldService(5222, "xmpp", 0.10, 0.8, (60, 600), (600, 4_000), (1_500, 6_000)),
    HeldService(8883, "ssl", 0.12, 0.6, (25, 1_200), (400, 1_800), (600, 5_000)),
    HeldService(1883, "mqtt", 0.04, 0.6, (25, 300), (60, 700), (20, 400)),
    HeldService(443, "ssl", 0.40, 0.6, (25, 600), (500, 3_000), (500, 6_000)),
    HeldService(443, "ssl", 0.30, 0.1, (25, 900), (600, 6_000), (200, 6_000), own_server=True),
    HeldService(443, None, 0.05, 0.3, (30, 600), (90, 2_000), (60, 3_000), own_server=True),
    HeldService(80, "http", 0.12, 0.0, (30, 1_800), (150, 900), (120, 1_500), own_server=True),
    HeldService(8443, "ssl", 0.05, 0.4, (60, 1_800), (500, 3_000), (600, 5_000), own_server=True),
    HeldService(4070, None, 0.08, 0.8, (300, 1_800), (400, 4_000), (600, 9_000)),
)


@dataclass(frozen=True)
class Broadcast:
    """A message that hosts send to everybody, unanswered. `every` (seconds) and `size` (bytes a packet) are median and sigma."""

    resp: str  # BROADCAST, LIMITED or a multicast group
    orig_p: int  # 0: any
    resp_p: int
    service: str | None
    every: tuple[float, float]
    size: tuple[float, float]
    packets: int  # at most
    common: float  # share of the hosts that send it
    proto: str = "udp"


BROADCASTS: tuple[Broadcast, ...] = (
    Broadcast("224.0.0.251", 5353, 5353, "dns", (500, 1.0), (180, 0.7), 12, 0.7),
    Broadcast("ff02::fb", 5353, 5353, "dns", (500, 1.0), (180, 0.7), 12, 0.6),
    Broadcast("239.255.255.250", 0, 1900, None, (900, 1.0), (172, 0.1), 4, 0.5),
    Broadcast("239.255.255.250", 1900, 1900, None, (600, 0.8), (330, 0.2), 12, 0.2),
    Broadcast("ff02::c", 0, 1900, None, (1_500, 1.0), (180, 0.2), 4, 0.15),
    Broadcast("239.255.255.250", 0, 3702, None, (3_600, 1.0), (1_000, 0.2), 5, 0.2),
    Broadcast("224.0.0.252", 0, 5355, "dns", (1_800, 1.3), (24, 0.2), 2, 0.35),
    Broadcast("ff02::1:3", 0, 5355, "dns", (1_800, 1.3), (24, 0.2), 2, 0.35),
    Broadcast("BROADCAST", 137, 137, "dns", (2_000, 1.2), (50, 0.01), 6, 0.4),
    Broadcast("BROADCAST", 138, 138, None, (720, 0.3), (205, 0.05), 2, 0.3),
    Broadcast("BROADCAST", 57_621, 57_621, None, (30, 0.2), (44, 0.01), 1, 0.12),
    Broadcast("BROADCAST", 17_500, 17_500, None, (30, 0.1), (145, 0.2), 1, 0.08),
    Broadcast("LIMITED", 17_500, 17_500, None, (30, 0.1), (145, 0.2), 3, 0.08),
    Broadcast("LIMITED", 0, 10_001, None, (600, 0.9), (4, 0.1), 2, 0.06),
    Broadcast("BROADCAST", 0, 32_412, None, (60, 0.2), (21, 0.01), 2, 0.05),
    Broadcast("BROADCAST", 0, 32_414, None, (60, 0.2), (21, 0.01), 2, 0.05),
    Broadcast("LIMITED", 49_154, 6_666, None, (5, 0.1), (172, 0.1), 12, 0.05),
    Broadcast("LIMITED", 0, 9_999, None, (300, 0.6), (29, 0.1), 2, 0.05),
    Broadcast("LIMITED", 0, 20_002, None, (900, 0.4), (40, 0.2), 1, 0.05),
    Broadcast("BROADCAST", 0, 8_612, None, (400, 0.5), (16, 0.01), 3, 0.08),
    Broadcast("BROADCAST", 0, 22_222, None, (400, 0.5), (16, 0.01), 3, 0.04),
    Broadcast("BROADCAST", 0, 15_600, None, (60, 0.1), (35, 0.01), 1, 0.08),
    Broadcast("239.255.255.251", 0, 10_101, None, (120, 0.4), (240, 0.2), 1, 0.03),
    Broadcast("224.0.0.1", 8, 0, None, (125, 0.1), (8, 0.01), 1, 0.03, "icmp"),
    Broadcast("ff02::1", 134, 133, None, (400, 0.5), (64, 0.2), 1, 0.1, "icmp"),
    Broadcast("ff02::2", 133, 134, None, (3_000, 0.9), (16, 0.1), 3, 0.5, "icmp"),
    Broadcast("ff02::16", 143, 0, None, (900, 0.9), (40, 0.3), 4, 0.5, "icmp"),
)  # fmt: skip
