"""Tables of the benign traffic of a synthetic site: kinds, shares, sizes, sources and destinations."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrafficKind:
    """One kind of benign traffic. Durations (seconds) and payload bytes are median and sigma of log-normal draws."""

    name: str
    share: float  # of the site's conns
    port: int
    proto: str
    service: str | None
    to: str  # pool of destinations, see Site.pools
    duration: tuple[float, float]
    orig_bytes: tuple[float, float]
    resp_bytes: tuple[float, float]
    # conn_state, history, share
    states: tuple[tuple[str, str, float], ...] = (("SF", "ShADadFf", 1.0),)
    by: str = "office"  # pool of sources
    clock: str = "office"  # office hours, or always


_TCP_ENDS = (
    ("SF", "ShADadFf", 0.86), ("S1", "ShADad", 0.02), ("RSTO", "ShADadFR", 0.05), ("RSTR", "ShADadfr", 0.03),
    ("S0", "S", 0.02), ("REJ", "Sr", 0.01), ("SH", "SF", 0.003), ("OTH", "DadA", 0.007),
)  # fmt: skip
_UDP_ENDS = (("SF", "Dd", 0.97), ("S0", "D", 0.03))

KINDS: tuple[TrafficKind, ...] = (
    TrafficKind("dns", 0.30, 53, "udp", "dns", "dns", (0.02, 1.2), (45, 0.4), (140, 0.8), _UDP_ENDS),
    TrafficKind("https", 0.27, 443, "tcp", "ssl", "web", (8, 1.9), (1_900, 1.3), (9_000, 1.9), _TCP_ENDS),
    TrafficKind("http", 0.04, 80, "tcp", "http", "web", (1.2, 1.7), (500, 0.9), (4_000, 1.8), _TCP_ENDS),
    TrafficKind("quic", 0.07, 443, "udp", "quic,ssl", "web", (20, 1.6), (6_000, 1.2), (30_000, 1.8), _UDP_ENDS),
    TrafficKind("smb", 0.04, 445, "tcp", "smb,gssapi", "files", (60, 1.8), (9_000, 1.8), (30_000, 2.2), _TCP_ENDS),
    TrafficKind("ldap", 0.03, 389, "tcp", "ldap_tcp", "directory", (2, 1.3), (900, 0.7), (2_500, 0.9), _TCP_ENDS),
    TrafficKind("kerberos", 0.02, 88, "tcp", "krb_tcp", "directory", (0.05, 0.8), (1_600, 0.3), (1_700, 0.3), _TCP_ENDS),
    TrafficKind("ntp", 0.02, 123, "udp", "ntp", "time", (0.03, 0.9), (48, 0.01), (48, 0.01), _UDP_ENDS, clock="always"),
    TrafficKind("imaps", 0.02, 993, "tcp", "ssl", "mail", (120, 1.6), (3_000, 1.0), (12_000, 1.7), _TCP_ENDS),
    TrafficKind("smtp", 0.01, 25, "tcp", "smtp", "mail", (2, 1.1), (30_000, 1.9), (700, 0.5), _TCP_ENDS, by="servers"),
    TrafficKind("ssh_admin", 0.004, 22, "tcp", "ssh", "servers", (300, 1.8), (7_000, 1.2), (9_000, 1.7), _TCP_ENDS, by="admins"),
    TrafficKind("rdp_admin", 0.002, 3389, "tcp", "rdp,ssl", "servers", (700, 1.3), (90_000, 1.4), (900_000, 1.5), _TCP_ENDS, by="admins"),
    TrafficKind("database", 0.03, 5432, "tcp", "postgresql", "database", (0.4, 1.8), (1_800, 1.4), (6_000, 1.9), _TCP_ENDS, by="servers", clock="always"),
    TrafficKind("meeting", 0.006, 3478, "udp", None, "web", (1_500, 0.9), (9e6, 1.2), (2e7, 1.1), _UDP_ENDS),
    TrafficKind("mqtt", 0.004, 8883, "tcp", "ssl", "cloud", (90, 2.2), (700, 0.9), (900, 0.9), (("SF", "ShADadFf", 0.5), ("OTH", "DdA", 0.4), ("RSTR", "ShADadr", 0.1))),
    TrafficKind("ntp_outside", 0.006, 123, "udp", "ntp", "time_outside", (0.05, 0.9), (48, 0.01), (48, 0.01), (("SF", "Dd", 0.7), ("S0", "D", 0.3)), clock="always"),
    TrafficKind("mdns", 0.02, 5353, "udp", "dns", "multicast", (40, 1.4), (400, 1.1), (0, 0.0), (("S0", "D", 1.0),)),
    TrafficKind("guest_web", 0.05, 443, "tcp", "ssl", "web", (6, 1.9), (1_700, 1.3), (9_500, 1.9), _TCP_ENDS, by="nat"),
    TrafficKind("ping", 0.008, 0, "icmp", None, "servers", (0.01, 1.0), (64, 0.1), (64, 0.1), (("OTH", "", 1.0),), by="monitor", clock="always"),
    TrafficKind("monitor", 0.03, 9100, "tcp", "http", "servers", (0.06, 0.5), (220, 0.1), (38_000, 0.3), _TCP_ENDS, by="monitor", clock="always"),
    TrafficKind("inbound_web", 0.03, 443, "tcp", "ssl", "public", (3, 1.7), (900, 1.1), (12_000, 1.7), _TCP_ENDS, by="internet", clock="always"),
)  # fmt: skip


@dataclass(frozen=True)
class StartupMessage:
    """A message that a host sends to its link or router when it starts. Addresses in capitals are placeholders."""

    orig: str
    resp: str
    ports: tuple[int, int]
    proto: str
    service: str | None
    orig_bytes: int
    times: float  # mean number per start
    answered: float = 0.0  # share that gets an answer


STARTUP_MESSAGES: tuple[StartupMessage, ...] = (
    StartupMessage("0.0.0.0", "255.255.255.255", (68, 67), "udp", "dhcp", 300, 1.2),  # noqa: S104 - a DHCP client without an address
    StartupMessage("HOST", "SERVER", (68, 67), "udp", "dhcp", 300, 0.8, 0.95),
    StartupMessage("::", "ff02::1:ff00:1", (135, 136), "icmp", None, 24, 1.0),
    StartupMessage("LINK", "ff02::2", (133, 134), "icmp", None, 16, 1.5),
    StartupMessage("LINK", "ff02::16", (143, 0), "icmp", None, 40, 2.0),
    StartupMessage("HOST", "224.0.0.251", (5353, 5353), "udp", "dns", 180, 2.5),
    StartupMessage("LINK", "ff02::fb", (5353, 5353), "udp", "dns", 180, 2.5),
    StartupMessage("LINK", "PEER", (5353, 5353), "udp", "dns", 120, 0.7),
    StartupMessage("HOST", "239.255.255.250", (0, 1900), "udp", None, 520, 1.5),
    StartupMessage("LINK", "ff02::c", (0, 1900), "udp", None, 500, 0.5),
    StartupMessage("HOST", "224.0.0.252", (0, 5355), "udp", "dns", 50, 1.0),
    StartupMessage("LINK", "ff02::1:3", (0, 5355), "udp", "dns", 50, 1.0),
    StartupMessage("HOST", "BROADCAST", (137, 137), "udp", "dns", 200, 1.2),
    StartupMessage("HOST", "BROADCAST", (138, 138), "udp", None, 200, 0.6),
    StartupMessage("HOST", "BROADCAST", (57621, 57621), "udp", None, 44, 0.2),
    StartupMessage("169.254.77.3", "224.0.0.251", (5353, 5353), "udp", "dns", 180, 0.05),
)
