"""Members of a Windows domain, and what every client asks of its own network."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from mlids.synth.clients.flows import conns
from mlids.synth.clients.hosts import ClientDay
from mlids.synth.clients.profiles import CATALOG, CLDAP, DHCP, DNS, ENDPOINTS, FILES, KERBEROS, LDAP, NTP, RPC, SMB
from mlids.synth.draft import Draft
from mlids.synth.draws import log_uniform, within

# Exchange, mean number per visit of a domain controller.
_VISIT = ((CLDAP, 0.9), (KERBEROS, 1.6), (LDAP, 1.8), (ENDPOINTS, 0.7), (RPC, 0.9), (SMB, 0.35), (CATALOG, 0.12), (DNS, 1.5))


def domain(day: ClientDay, who: np.ndarray) -> Iterator[Draft]:
    """Yield members of a domain: logon and policy refreshes at domain controllers, and programs that ask LDAP all day."""
    rng, traits = day.rng(13), day.net.traits(13)
    n, controllers = len(day.net.hosts), pl.Series(day.net.directory)
    if not len(controllers):
        return
    preferred = traits.integers(0, len(controllers), n)
    high_port = traits.choice(np.arange(49_664, 49_680), len(controllers))
    host, begun = day.sessions(who, 6, rng)
    index, refresh = day.beats(who, traits.uniform(5_400, 7_200, n)[who], 0.05, rng)
    host, begun = np.concatenate([host, who, who[index]]), np.concatenate([begun, day.wake[who], refresh])
    logon = np.repeat([1.0, 3.0, 1.0], [len(host) - len(who) - len(index), len(who), len(index)])
    for exchange, mean in _VISIT:
        visit = np.repeat(np.arange(len(host)), rng.poisson(mean * logon))
        by, m = host[visit], len(visit)
        dc = np.where(rng.random(m) < 0.9, preferred[by], rng.integers(0, len(controllers), m))
        port = (
            np.where(rng.random(m) < 0.9, high_port[dc], traits.integers(49_152, 65_535)) if exchange is RPC else np.full(m, exchange.port)
        )
        yield conns(day, exchange, begun[visit] + rng.exponential(4, m), by, controllers.gather(dc), rng, resp_p=port)
    yield from _programs(day, who, controllers.gather(preferred), rng)
    yield from _file_shares(day, who, rng)


def _programs(day: ClientDay, who: np.ndarray, controllers: pl.Series, rng: np.random.Generator) -> Iterator[Draft]:
    """Yield programs that bind to LDAP for every user or request: dozens to hundreds of times an hour from some hosts."""
    traits = day.net.traits(14)
    n = len(day.net.hosts)
    some = traits.random(n) < 0.15
    every, same = log_uniform(12, 240, n, traits), log_uniform(0.5, 2, n, traits)
    who = who[some[who]]
    index, ts = day.beats(who, every[who], 0.3, rng)
    by = who[index]
    for exchange, part in ((LDAP, 0), (KERBEROS, 1)):
        mine = within(by) % 4 != 0 if part == 0 else within(by) % 6 == 0
        orig = exchange.orig_bytes[0] * same[by[mine]] * rng.uniform(0.97, 1.03, int(mine.sum()))
        yield conns(day, exchange, ts[mine], by[mine], controllers.gather(by[mine]), rng, orig_bytes=orig)


def _file_shares(day: ClientDay, who: np.ndarray, rng: np.random.Generator) -> Iterator[Draft]:
    if day.net.servers:
        host, begun = day.sessions(who, 4, rng)
        shares = pl.Series(day.net.servers[:3])
        yield conns(day, FILES, begun, host, shares.gather(rng.integers(0, len(shares), len(host))), rng)


def upkeep(day: ClientDay, who: np.ndarray) -> Iterator[Draft]:
    """Yield time and address upkeep: NTP to a few servers every 64 to 2,048 s, DHCP renewals, reverse look-ups."""
    rng, traits = day.rng(15), day.net.traits(15)
    n = len(day.net.hosts)
    outside = [*day.net.web[40:60], day.net.router]
    for _ in range(2):
        every = traits.choice([64.0, 256.0, 1_024.0, 2_048.0, 3_600.0, 10_000.0], n, p=[0.05, 0.1, 0.25, 0.2, 0.2, 0.2])
        server = traits.integers(0, len(outside), n)
        index, ts = day.beats(who, every[who], 0.03, rng)
        yield conns(day, NTP, ts, who[index], pl.Series(outside).gather(server[who[index]]), rng)
    index, ts = day.beats(who, traits.choice([300.0, 1_800.0, 3_600.0, 43_200.0], n, p=[0.06, 0.14, 0.4, 0.4])[who], 0.1, rng)
    m = len(index)
    yield conns(day, DHCP, ts, who[index], pl.Series([day.net.router]).gather(np.zeros(m, np.int64)), rng, orig_p=np.full(m, 68))
    index, ts = day.beats(who, log_uniform(300, 7_200, n, traits)[who], 0.2, rng)
    yield conns(day, DNS, ts, who[index], pl.Series(list(day.net.resolvers)).gather(np.zeros(len(index), np.int64)), rng)
