"""Attack scenarios as conns: the rows that a scan, a brute force or a beacon leaves in Zeek's conn.log.

Each scenario takes a start time (epoch seconds), the hosts it may use and a random generator, so that it can
be implanted into a synthetic site and into a real site's own traffic. Rates, sizes, jitter and answers are
drawn for each attack.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

from mlids.synth.draft import Draft, text
from mlids.synth.hosts import AttackHosts, arrival_times, internet_hosts, log_uniform, pick, subnet_of

SCANNED_ADMIN_PORTS = np.array([22, 135, 139, 445, 3389, 5985])
COMMON_PORTS = np.array([21, 22, 23, 25, 53, 80, 110, 111, 135, 139, 143, 443, 445, 993, 1433, 1723, 3306, 3389, 5432, 5900, 8080, 8443])


def probes(
    label: str, ts: np.ndarray, orig: str, resp_h: pl.Series, resp_p: np.ndarray, open_share: float, rng: np.random.Generator
) -> Draft:
    """Return TCP probes: most unanswered or refused, `open_share` of them answered and then closed."""
    n = len(ts)
    kind = rng.random(n)
    refuse = open_share + (1 - open_share) * rng.uniform(0.1, 0.9)
    is_open, refused = kind < open_share, (kind >= open_share) & (kind < refuse)
    state = np.where(is_open, rng.choice(["RSTO", "SF"], n), np.where(refused, "REJ", "S0"))
    duration = np.where(is_open, rng.exponential(0.2, n), np.where(refused, rng.exponential(0.01, n), np.nan))
    retried = (state == "S0") & (rng.random(n) < 0.3)
    return Draft(
        ts=ts,
        orig_h=text(orig, n),
        orig_p=rng.integers(1024, 65535, n),
        resp_h=resp_h,
        resp_p=resp_p,
        proto=text("tcp", n),
        service=text(None, n),
        duration=np.where(retried, rng.uniform(1, 3.2, n), duration),
        orig_bytes=np.zeros(n),
        resp_bytes=np.where(is_open, rng.integers(0, 60, n), 0),
        conn_state=pl.Series(state),
        history=pl.Series(np.where(is_open, "ShAR", np.where(refused, "Sr", "S"))),
        orig_pkts=np.where(is_open, 3, np.where(retried, 2, 1)),
        resp_pkts=np.where(is_open, 1, refused.astype(int)),
        label=label,
    )


def _scanner_and_targets(hosts: AttackHosts, rng: np.random.Generator) -> tuple[str, list[str]]:
    """Return a scanner and the hosts it may scan: an inside host and a subnet, or an outside host and the public addresses."""
    if rng.random() < 0.7 or not hosts.public:
        orig = pick(hosts.inside, rng)
        return orig, subnet_of(pick(hosts.inside, rng))
    return pick(hosts.outside, rng), hosts.public


def horizontal_scan(start: float, hosts: AttackHosts, rng: np.random.Generator) -> Draft:
    """One source tries one port on many hosts, of a subnet or of the Internet (worm)."""
    orig, subnet = _scanner_and_targets(hosts, rng)
    port = int(rng.choice([22, 23, 80, 445, 1433, 2323, 3389, 5555, 6379, 8080]))
    if rng.random() < 0.3:
        n = int(rng.integers(150, 1_200))
        targets = internet_hosts(n, rng)
        orig = pick(hosts.inside, rng)
    else:
        candidates = subnet if len(subnet) > 30 else [*subnet, *hosts.inside]
        n = min(int(rng.integers(60, 400)), 4 * len(candidates))
        order = np.concatenate([rng.permutation(len(candidates)) for _ in range(n // len(candidates) + 1)])[:n]
        targets = pl.Series(candidates).gather(order)
    return probes(
        "horizontal_scan", arrival_times(n, start, rng.uniform(0.5, 50), rng), orig, targets, np.full(n, port), rng.uniform(0, 0.08), rng
    )


def inbound_probes(start: float, hosts: AttackHosts, rng: np.random.Generator) -> Draft:
    """Internet background noise: many sources, each with a few probes of one reachable host."""
    n = int(rng.integers(60, 500))
    sources = internet_hosts(max(n // int(rng.integers(1, 8)), 4), rng)
    target = text(pick(hosts.public or hosts.servers, rng), n)
    ports = np.where(rng.random(n) < 0.6, rng.choice(COMMON_PORTS, n), rng.integers(1, 65_000, n))
    found = probes(
        "inbound_probes", arrival_times(n, start, 1 / rng.uniform(2, 120), rng), sources[0], target, ports, rng.uniform(0, 0.05), rng
    )
    found.orig_h = sources.gather(rng.integers(0, len(sources), n))
    udp = rng.random(n) < rng.uniform(0, 0.3)
    known = np.isin(ports, [53, 123, 161, 1900, 5060])
    found.proto = pl.Series(np.where(udp, "udp", "tcp"))
    found.conn_state = pl.Series(np.where(udp, "S0", found.conn_state.to_numpy()))
    found.history = pl.Series(np.where(udp, "D", found.history.to_numpy()))
    found.resp_pkts = np.where(udp, 0, found.resp_pkts)
    found.resp_p = np.where(udp & ~known, rng.choice([53, 69, 123, 161, 389, 1434, 1900, 5060, 11211], n), ports)
    found.orig_bytes = np.where(udp, rng.integers(20, 450, n), found.orig_bytes)
    found.duration = np.where(udp & (rng.random(n) < 0.5), rng.exponential(0.5, n), found.duration)
    return found


def vertical_scan(start: float, hosts: AttackHosts, rng: np.random.Generator) -> Draft:
    """One source tries many ports of one host."""
    orig, subnet = _scanner_and_targets(hosts, rng)
    n = int(rng.integers(100, 900))
    ports = rng.permutation(np.unique(np.concatenate([COMMON_PORTS, rng.integers(1, 20_000, n)])))[:n]
    target = text(pick([*hosts.servers, *hosts.public] or subnet, rng), len(ports))
    return probes(
        "vertical_scan", arrival_times(len(ports), start, rng.uniform(2, 100), rng), orig, target, ports, rng.uniform(0, 0.05), rng
    )


def slow_scan(start: float, hosts: AttackHosts, rng: np.random.Generator) -> Draft:
    """A scan of inside hosts with one probe every 30 to 180 seconds."""
    orig = pick(hosts.inside, rng)
    n = int(rng.integers(60, 160))
    targets = pl.Series(hosts.inside + hosts.servers).gather(rng.integers(0, len(hosts.inside) + len(hosts.servers), n))
    ports = rng.choice(COMMON_PORTS, n) if rng.random() < 0.5 else np.full(n, rng.choice(SCANNED_ADMIN_PORTS))
    return probes("slow_scan", arrival_times(n, start, 1 / rng.uniform(30, 180), rng), orig, targets, ports, 0.05, rng)


def syn_flood(start: float, hosts: AttackHosts, rng: np.random.Generator) -> Draft:
    """Many half-open connections to one service, from one bot or from spoofed sources."""
    n = int(rng.integers(800, 3_000))
    target = pick(hosts.public or hosts.servers, rng)
    ts = arrival_times(n, start, rng.uniform(50, 600), rng)
    port = int(rng.choice([80, 443, 53, 25]))
    flood = probes("syn_flood", ts, pick(hosts.inside, rng), text(target, n), np.full(n, port), 0.0, rng)
    if rng.random() < 0.5:  # spoofed
        flood.orig_h = internet_hosts(n, rng)
    else:
        flood.resp_h = text(pick(hosts.outside, rng), n)
    answered = rng.random(n) < 0.3
    flood.conn_state = pl.Series(np.where(answered, "SH", "S0"))
    flood.history = pl.Series(np.where(answered, "SF", "S"))
    flood.resp_pkts = np.zeros(n)
    flood.orig_pkts = np.where(answered, 2, 1)
    flood.duration = np.where(answered, rng.exponential(0.5, n), np.nan)
    return flood


def brute_force(start: float, hosts: AttackHosts, rng: np.random.Generator) -> Draft:
    """Password guessing against SSH, RDP or telnet: many short, similar, completed sessions."""
    ssh = rng.random() < 0.6
    port, service = (22, "ssh") if ssh else (3389, "rdp,ssl")
    named: str | None = service
    if not ssh and rng.random() < 0.4:  # telnet, as on cameras and routers
        port, named = int(rng.choice([23, 2323])), None
    n = int(rng.integers(80, 600))
    outside = bool(hosts.public) and rng.random() < 0.5
    ts = arrival_times(n, start, rng.uniform(0.2, 6), rng)
    tries = rng.integers(1, 4, n)
    orig_bytes = log_uniform(200, 6_000, rng) + tries * rng.integers(20, 180, n)
    resp_bytes = log_uniform(200, 9_000, rng) + tries * rng.integers(20, 120, n)
    slow = log_uniform(0.2, 4, rng)
    dropped = rng.random(n) < 0.15
    return Draft(
        ts=ts,
        orig_h=text(pick(hosts.outside if outside else hosts.inside, rng), n),
        orig_p=rng.integers(1024, 65535, n),
        resp_h=text(pick(hosts.public if outside else hosts.servers, rng), n),
        resp_p=np.full(n, port),
        proto=text("tcp", n),
        service=text(named, n),
        duration=slow * tries * rng.uniform(0.6, 1.4, n),
        orig_bytes=orig_bytes,
        resp_bytes=resp_bytes,
        conn_state=pl.Series(np.where(dropped, "RSTO", "SF")),
        history=pl.Series(np.where(dropped, "ShAdDaR", "ShAdDaFf")),
        orig_pkts=9 + tries * 3,
        resp_pkts=8 + tries * 2,
        label="brute_force",
    )


def beacon(start: float, hosts: AttackHosts, rng: np.random.Generator) -> Draft:
    """Command-and-control traffic at an interval with jitter, to one server that no other host contacts."""
    every = float(rng.choice([20, 30, 60, 120, 300])) * rng.uniform(0.8, 1.2)
    jitter = rng.uniform(0.02, 0.3)
    n = int(np.clip(rng.uniform(4, 10) * 3600 / every, 24, 900))
    ts = start + np.cumsum(every * (1 + jitter * rng.uniform(-1, 1, n)))
    base, answer, lasts = log_uniform(60, 20_000, rng), log_uniform(0.1, 4, rng), log_uniform(0.05, 40, rng)
    spread = rng.uniform(0.0, 0.15)
    busy = rng.random(n) < 0.04  # responses that carry a task
    tls = rng.random() < 0.6
    return Draft(
        ts=ts,
        orig_h=text(pick(hosts.inside, rng), n),
        orig_p=rng.integers(1024, 65535, n),
        resp_h=text(pick(hosts.outside, rng), n),
        resp_p=np.full(n, int(rng.choice([443, 80, 8080, 4444, 8443, 2222, 9001]))),
        proto=text("tcp", n),
        service=text("ssl" if tls else "http", n),
        duration=lasts * rng.lognormal(0, 0.35, n),
        orig_bytes=base * (1 + spread * rng.uniform(0, 1, n)),
        resp_bytes=np.where(busy, rng.integers(5_000, 90_000, n), base * answer * (1 + spread * rng.uniform(0, 1, n))),
        conn_state=text("SF", n),
        history=text("ShADadFf", n),
        orig_pkts=np.full(n, 5 + int(base // 1_300)) + busy * 20,
        resp_pkts=4 + int(base * answer // 1_300) + busy * 40,
        label="beacon",
    )


def callback_retries(start: float, hosts: AttackHosts, rng: np.random.Generator) -> Draft:
    """A bot that retries a command-and-control server which is down most of the time; some attempts succeed and last."""
    n = int(rng.integers(20, 900))
    every = log_uniform(2, 240, rng)
    ts = start + np.cumsum(every * rng.lognormal(0, rng.uniform(0.05, 0.8), n))
    answered = rng.random(n) < rng.choice([0.0, 0.02, 0.2])
    refused = ~answered & (rng.random() < 0.25)
    irc = rng.random() < 0.3
    packets = rng.integers(1, 4)
    lasted = np.where(
        answered, rng.lognormal(3, 2, n), np.where(refused, rng.exponential(0.1, n), 3.1 * (packets - 1) + rng.uniform(0, 0.2, n))
    )
    talk = rng.integers(80, 900, n)
    return Draft(
        ts=ts,
        orig_h=text(pick(hosts.inside, rng), n),
        orig_p=rng.integers(1024, 65535, n),
        resp_h=text(pick(hosts.outside, rng), n),
        resp_p=np.full(n, int(rng.choice([443, 80, 23, 6667, 4444, 1024 + int(rng.integers(0, 40_000))]))),
        proto=text("tcp", n),
        service=pl.Series([("irc" if irc else None) if a else None for a in answered], dtype=pl.String),
        duration=np.where((packets == 1) & ~answered, np.nan, lasted),
        orig_bytes=np.where(answered, talk, 0),
        resp_bytes=np.where(answered, talk * rng.uniform(0.3, 3, n), 0),
        conn_state=pl.Series(np.where(answered, rng.choice(["SF", "S1", "S3", "RSTR"], n), np.where(refused, "REJ", "S0"))),
        history=pl.Series(np.where(answered, "ShADadFf", np.where(refused, "Sr", "S"))),
        orig_pkts=np.where(answered, 4 + talk // 120, packets),
        resp_pkts=np.where(answered, 4 + talk // 150, refused.astype(int)),
        label="calling",
    )


def dns_tunnel(start: float, hosts: AttackHosts, rng: np.random.Generator) -> Draft:
    """Data encoded in query names: long DNS queries in quick succession to one resolver."""
    n = int(rng.integers(300, 1_500))
    return Draft(
        ts=arrival_times(n, start, rng.uniform(0.3, 8), rng),
        orig_h=text(pick(hosts.inside, rng), n),
        orig_p=rng.integers(1024, 65535, n),
        resp_h=text(pick(hosts.servers if rng.random() < 0.4 else hosts.outside, rng), n),
        resp_p=np.full(n, 53),
        proto=text("udp", n),
        service=text("dns", n),
        duration=rng.lognormal(-2.6, 0.7, n),
        orig_bytes=rng.integers(110, 250, n),
        resp_bytes=rng.integers(150, 480, n),
        conn_state=text("SF", n),
        history=text("Dd", n),
        orig_pkts=np.ones(n),
        resp_pkts=np.ones(n),
        label="dns_tunnel",
    )


def exfiltration(start: float, hosts: AttackHosts, rng: np.random.Generator) -> Draft:
    """Large uploads from one inside host to one outside host, in 2 to 29 conns."""
    n = int(rng.integers(2, 30))
    total = rng.uniform(3e8, 2e10)
    sizes = rng.dirichlet(np.full(n, 2.0)) * total
    seconds = sizes / rng.uniform(5e5, 1.2e7)
    return Draft(
        ts=start + np.concatenate([[0.0], np.cumsum(seconds[:-1] + rng.exponential(20, n - 1))]),
        orig_h=text(pick(hosts.inside, rng), n),
        orig_p=rng.integers(1024, 65535, n),
        resp_h=text(pick(hosts.outside, rng), n),
        resp_p=np.full(n, int(rng.choice([443, 22, 21, 8443]))),
        proto=text("tcp", n),
        service=text(str(rng.choice(["ssl", "ssh"])), n),
        duration=seconds,
        orig_bytes=sizes,
        resp_bytes=sizes * rng.uniform(0.001, 0.02),
        conn_state=text("SF", n),
        history=text("ShADadFf", n),
        orig_pkts=np.ceil(sizes / 1_380),
        resp_pkts=np.ceil(sizes / 2_800),
        label="exfiltration",
    )


def lateral_movement(start: float, hosts: AttackHosts, rng: np.random.Generator) -> Draft:
    """One inside host logs in to several others over administration ports."""
    orig = pick(hosts.inside, rng)
    others = [h for h in hosts.inside if h != orig]
    others = others if len(others) >= 8 else [h for h in subnet_of(orig) if h != orig]
    targets = rng.permutation(len(others))[: int(rng.integers(8, 30))]
    n = len(targets) * int(rng.integers(2, 5))
    port = int(rng.choice(SCANNED_ADMIN_PORTS))
    failed = rng.random(n) < 0.25
    return Draft(
        ts=arrival_times(n, start, 1 / rng.uniform(3, 40), rng),
        orig_h=text(orig, n),
        orig_p=rng.integers(1024, 65535, n),
        resp_h=pl.Series(others).gather(np.resize(targets, n)),
        resp_p=np.full(n, port),
        proto=text("tcp", n),
        service=pl.Series([None if f else ("ssh" if port == 22 else "smb,gssapi,ntlm") for f in failed], dtype=pl.String),
        duration=np.where(failed, np.nan, rng.lognormal(1.2, 1.0, n)),
        orig_bytes=np.where(failed, 0, rng.lognormal(8.3, 0.9, n)),
        resp_bytes=np.where(failed, 0, rng.lognormal(8.0, 1.0, n)),
        conn_state=pl.Series(np.where(failed, "S0", "SF")),
        history=pl.Series(np.where(failed, "S", "ShADadFf")),
        orig_pkts=np.where(failed, 2, rng.integers(12, 60, n)),
        resp_pkts=np.where(failed, 0, rng.integers(10, 50, n)),
        label="lateral_movement",
    )


SCENARIOS: dict[str, Callable[[float, AttackHosts, np.random.Generator], Draft]] = {
    "horizontal_scan": horizontal_scan,
    "vertical_scan": vertical_scan,
    "slow_scan": slow_scan,
    "inbound_probes": inbound_probes,
    "syn_flood": syn_flood,
    "brute_force": brute_force,
    "beacon": beacon,
    "calling": callback_retries,
    "dns_tunnel": dns_tunnel,
    "exfiltration": exfiltration,
    "lateral_movement": lateral_movement,
}
