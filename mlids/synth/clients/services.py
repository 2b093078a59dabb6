"""Services that clients stay in touch with, regular jobs, and servers that no longer answer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from mlids.synth.clients.flows import conns
from mlids.synth.clients.hosts import ClientDay, each_own
from mlids.synth.clients.profiles import (
    BACKUP,
    CHECK,
    DEAD_ENDS,
    DEV_SERVER,
    HELD_ENDS,
    HELD_SERVICES,
    PING,
    REFUSED_ENDS,
    REGULAR_ENDS,
    SCRAPE,
    SNMP,
    SSH,
    TELEMETRY,
    Exchange,
)
from mlids.synth.clients.web import lookups
from mlids.synth.draft import Draft
from mlids.synth.draws import DAY_S, log_uniform, lognormal


def heartbeats(day: ClientDay, who: np.ndarray) -> Iterator[Draft]:
    """Yield push services and heartbeats: a conn held for hours, or a new one every 25 s to 30 min with equal sizes."""
    rng, traits = day.rng(4), day.net.traits(4)
    n = len(day.net.hosts)
    for number, service in enumerate(HELD_SERVICES):
        uses, held = traits.random(n) < service.common, traits.random(n) < service.held
        server = each_own(n, day.net.cloud[20:] if service.own_server else day.net.cloud[8 + number : 10 + number], traits)
        every = log_uniform(*service.every, n, traits)
        sizes = [log_uniform(*service.orig_bytes, n, traits), log_uniform(*service.resp_bytes, n, traits)]
        jitter, spread = traits.choice([0.002, 0.02, 0.08], n), traits.choice([0.0, 0.01, 0.06], n)
        stays, comes = who[(uses & held)[who]], who[(uses & ~held)[who]]
        exchange = Exchange(service.port, "tcp", service.service, (0.5, 0.7), (0, 0), (0, 0), REGULAR_ENDS)
        index, ts = day.beats(comes, every[comes], jitter[comes], rng)
        by = comes[index]
        orig, resp = (size[by] * (1 + spread[by] * rng.standard_normal(len(by))) for size in sizes)
        yield conns(day, exchange, ts, by, server.gather(by), rng, orig_bytes=orig, resp_bytes=resp)
        yield _held(
            day, stays, Exchange(service.port, "tcp", service.service, (0, 0), (0, 0), (0, 0), HELD_ENDS), every, sizes, server, rng
        )


def _held(
    day: ClientDay, who: np.ndarray, exchange: Exchange, every: np.ndarray, sizes: list[np.ndarray], server: pl.Series, rng: np.random.Generator
) -> Draft:  # fmt: skip
    """Return conns that last for hours with a keep-alive packet now and then; a new one follows the last."""
    lasts = log_uniform(1_200, 40_000, len(who), rng)
    index, ts = day.beats(who, lasts, 0.15, rng)
    by = who[index]
    duration = np.minimum(lasts[index] * rng.uniform(0.5, 0.98, len(by)), DAY_S - np.clip(ts, 0, DAY_S))
    alive = duration / np.maximum(every[by], 60) * rng.uniform(30, 120, len(by))
    return conns(
        day, exchange, ts, by, server.gather(by), rng, duration=duration, orig_bytes=sizes[0][by] + alive,
        resp_bytes=sizes[1][by] + alive * rng.uniform(0.5, 2, len(by)),
    )  # fmt: skip


def telemetry(day: ClientDay, who: np.ndarray) -> Iterator[Draft]:
    """Yield telemetry and licence checks every few minutes to servers that many hosts use, and connectivity checks."""
    rng, traits = day.rng(5), day.net.traits(5)
    n = len(day.net.hosts)
    for exchange, low, high in ((TELEMETRY, 120, 3_600), (TELEMETRY, 600, 7_200), (CHECK, 60, 1_800)):
        every, server = log_uniform(low, high, n, traits), each_own(n, day.net.cloud[:12], traits)
        size = log_uniform(0.4, 3, n, traits)
        index, ts = day.beats(who, every[who], traits.choice([0.01, 0.1]), rng)
        by = who[index]
        orig, resp = (lognormal(s, len(by), rng) * size[by] for s in (exchange.orig_bytes, exchange.resp_bytes))
        yield conns(day, exchange, ts, by, server.gather(by), rng, orig_bytes=orig, resp_bytes=resp)
        yield lookups(day, ts, by, 0.25, rng)


def backups(day: ClientDay, who: np.ndarray) -> Iterator[Draft]:
    """Yield backup agents: a short poll every few minutes, and large uploads every 1 to 24 hours, to one outside address."""
    rng, traits = day.rng(6), day.net.traits(6)
    n = len(day.net.hosts)
    every, server = traits.choice([3_600.0, 14_400.0, 43_200.0, 86_400.0], n), each_own(n, day.net.cloud[12:], traits)
    port, scale = traits.choice([443, 443, 443, 22, 8443], n), log_uniform(0.1, 10, n, traits)
    index, ts = day.beats(who, every[who], 0.02, rng, always=True)
    index = np.repeat(index, 3)
    by, ts = who[index], np.repeat(ts, 3) + rng.exponential(60, len(index))
    size = lognormal(BACKUP.orig_bytes, len(by), rng) * scale[by]
    lasted = np.maximum(size / log_uniform(5e5, 2e7, len(by), rng), 1.0)
    yield conns(day, BACKUP, ts, by, server.gather(by), rng, orig_bytes=size, duration=lasted, resp_p=port[by])
    index, ts = day.beats(who, log_uniform(120, 1_800, n, traits)[who], 0.02, rng, always=True)
    yield conns(day, TELEMETRY, ts, who[index], server.gather(who[index]), rng)


def monitoring(day: ClientDay, who: np.ndarray) -> Iterator[Draft]:
    """Yield hosts that poll inside hosts every 30 to 300 s, on one port or several; some of these are off."""
    rng, traits = day.rng(7), day.net.traits(7)
    n, targets = len(day.net.hosts), [*day.net.servers, day.net.router, *day.net.hosts[:4]][:7]
    every, many = traits.choice([30.0, 60.0, 300.0, 300.0, 600.0], n), traits.random(n) < 0.25
    seen = traits.random((n, len(targets))) < 0.6
    down = traits.random(len(targets)) < 0.08
    ports = traits.permutation(np.array([9100, 80, 443, 22, 445, 3306, 5432, 8080, 9090, 631]))
    host, target = np.nonzero(seen[who])
    for number, port in enumerate((*ports[: 1 + 5 * int(many[who].any())], 161, 0)):
        exchange = {161: SNMP, 0: PING}.get(int(port), Exchange(int(port), "tcp", SCRAPE.service, *_SCRAPED, REGULAR_ENDS))
        used = (number == 0) | many[who][host] & (number < 6 if number else True) & (traits.random(len(host)) < 0.6)
        pair = np.flatnonzero(used)
        index, ts = day.beats(who[host[pair]], every[who[host[pair]]], 0.004, rng, always=True)
        pair = pair[index]
        for dead in (False, True):
            mine = down[target[pair]] == dead
            kind = (
                exchange if not dead or exchange.proto != "tcp" else Exchange(exchange.port, "tcp", None, (0, 0), (0, 0), (0, 0), DEAD_ENDS)
            )
            yield conns(day, kind, ts[mine], who[host[pair][mine]], pl.Series(targets).gather(target[pair][mine]), rng)


_SCRAPED = (SCRAPE.duration, SCRAPE.orig_bytes, SCRAPE.resp_bytes)


def development(day: ClientDay, who: np.ndarray) -> Iterator[Draft]:
    """Yield a developer's conns: SSH sessions to a few servers, pulls over SSH in groups, and test servers on odd ports."""
    rng, traits = day.rng(8), day.net.traits(8)
    inside = [*day.net.servers, *day.net.hosts] or [day.net.router]
    own = [*traits.choice(inside, min(3, len(inside)), replace=False), *day.net.cloud[40:43]]
    host, begun = day.sessions(who, 10, rng)
    job = np.repeat(np.arange(len(host)), rng.geometric(0.3, len(host)))
    server = pl.Series(own).gather(rng.integers(0, len(own), len(host))).gather(job)
    yield conns(day, SSH, begun[job] + rng.exponential(20, len(job)), host[job], server, rng)
    host, begun = day.sessions(who, 5, rng)
    job = np.repeat(np.arange(len(host)), rng.geometric(0.04, len(host)))
    port = traits.choice([3000, 5000, 8000, 8080, 8888, 9000, 5432, 6379], 3)[rng.integers(0, 3, len(host))][job]
    server = pl.Series(own[:2]).gather(rng.integers(0, 2, len(host)) % len(own[:2])).gather(job)
    yield conns(day, DEV_SERVER, begun[job] + rng.exponential(300, len(job)), host[job], server, rng, resp_p=port)


def dead_servers(day: ClientDay, who: np.ndarray) -> Iterator[Draft]:
    """Yield clients of one server that is off: a printer, an old update server; up to 300 attempts an hour for hours."""
    rng, traits = day.rng(9), day.net.traits(9)
    n = len(day.net.hosts)
    every, refused = log_uniform(10, 900, n, traits), traits.random(n) < 0.3
    inside = traits.random(n) < 0.5
    spare = f"{day.net.hosts[0].rsplit('.', 1)[0]}.{traits.integers(251, 255)}"
    port = np.where(inside, traits.choice([9100, 631, 515, 445, 80, 8080], n), traits.choice([443, 80, 8080, 8443, 1883, 993, 7680], n))
    to = pl.Series([spare]).gather(np.zeros(n, np.int64)).zip_with(pl.Series(inside), each_own(n, day.net.cloud[50:], traits))
    hours = log_uniform(0.3, 24, n, traits)
    index, ts = day.beats(who, every[who], traits.choice([0.01, 0.1]), rng)
    keep = ts < (day.wake[who] + 3_600 * hours[who])[index]
    by, ts = who[index[keep]], ts[keep]
    for ends, mine in ((REFUSED_ENDS, refused[by]), (DEAD_ENDS, ~refused[by])):
        exchange = Exchange(0, "tcp", None, (0, 0), (0, 0), (0, 0), ends)
        yield conns(day, exchange, ts[mine], by[mine], to.gather(by[mine]), rng, resp_p=port[by[mine]])
