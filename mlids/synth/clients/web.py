"""Browsing, downloads, cloud storage and name crawlers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import polars as pl

from mlids.synth.clients.flows import conns
from mlids.synth.clients.hosts import ClientDay, each_own
from mlids.synth.clients.profiles import (
    ATTEMPT,
    DNS,
    DOWNLOAD,
    HTTP,
    HTTPS,
    PRECONNECT,
    QUIC,
    RANGES,
    SYNC_POLL,
    SYNC_UPLOAD,
    UNANSWERED_UDP,
)
from mlids.synth.draft import Draft
from mlids.synth.draws import log_uniform, lognormal, within

_MOST_CONNS = 70


def lookups(day: ClientDay, ts: np.ndarray, who: np.ndarray, share: float, rng: np.random.Generator) -> Draft:
    """Return the DNS look-ups before a share of conns: address types A and AAAA, sometimes HTTPS, just before the conn."""
    asked = np.flatnonzero(rng.random(len(ts)) < share)
    asked = np.repeat(asked, rng.choice([1, 2, 3], len(asked), p=[0.3, 0.5, 0.2]))
    resolver = pl.Series(day.net.resolvers).gather(np.where(rng.random(len(asked)) < 0.85, 0, len(day.net.resolvers) - 1))
    return conns(day, DNS, ts[asked] - rng.exponential(0.08, len(asked)) - 0.005, who[asked], resolver, rng)


def browsing(day: ClientDay, who: np.ndarray) -> Iterator[Draft]:
    """Yield visits of pages: one site and bursts of conns to a few of many CDN addresses, with look-ups before them."""
    rng, traits = day.rng(0), day.net.traits(0)
    quic, old, unused = traits.uniform(0, 0.4), traits.uniform(0, 0.06), traits.uniform(0.01, 0.1)
    host, begun = day.sessions(who, 4.5, rng)
    pages = rng.geometric(0.12, len(host))
    page = np.repeat(np.arange(len(host)), pages)
    at = begun[page] + within(page) * rng.exponential(50, len(page))
    each = np.minimum(np.ceil(rng.lognormal(1.5, 0.9, len(page))), _MOST_CONNS).astype(np.int64)
    visit = np.repeat(np.arange(len(page)), each)
    ts = at[visit] + rng.exponential(rng.lognormal(-0.7, 0.8, len(page))[visit])
    by, n = host[page][visit], len(visit)
    main = day.net.sites(len(page), rng).gather(visit)
    to = pl.select(pl.when(pl.Series(rng.random(n) < 0.3)).then(main).otherwise(day.net.caches(n, rng))).to_series()
    yield lookups(day, ts, by, 0.45, rng)
    kind = rng.random(n)
    bounds = np.cumsum([quic, old, unused])
    for exchange, low, high in (
        (QUIC, 0.0, bounds[0]),
        (HTTP, bounds[0], bounds[1]),
        (PRECONNECT, bounds[1], bounds[2]),
        (HTTPS, bounds[2], 1.0),
    ):
        mine = (kind >= low) & (kind < high)
        yield conns(
            day,
            exchange,
            ts[mine],
            by[mine],
            to.filter(mine),
            rng,
            **({} if exchange is PRECONNECT else {"duration": _kept(mine.sum(), rng)}),
        )
    yield from _broken_six(day, ts, by, to, rng)


def _kept(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return how long a browser's conns last: the exchange alone, until a keep-alive limit, or minutes to hours."""
    brief = lognormal((0.8, 1.2), n, rng)
    limit = rng.choice([5.0, 15.0, 60.0, 65.0, 115.0, 120.0, 180.0, 240.0, 300.0], n) + lognormal((0.4, 1.0), n, rng)
    return np.choose(rng.choice(3, n, p=[0.5, 0.42, 0.08]), [brief, limit, lognormal((500, 1.0), n, rng)])


def _broken_six(day: ClientDay, ts: np.ndarray, who: np.ndarray, to: pl.Series, rng: np.random.Generator) -> Iterator[Draft]:
    """Yield attempts over IPv6 where it does not work: the browser tries both and keeps what answers first."""
    if day.net.six_broken:
        tried = rng.random(len(ts)) < 0.08
        six = pl.Series(day.net.cdn[-20:]).gather(rng.integers(0, 20, int(tried.sum())))
        yield conns(day, ATTEMPT, ts[tried] - 0.05, who[tried], six, rng)


def updates(day: ClientDay, who: np.ndarray) -> Iterator[Draft]:
    """Yield downloads of updates, packages and videos: a few large conns, or many ranges of one file over port 80."""
    rng = day.rng(1)
    host, begun = day.sessions(who, 2.5, rng)
    parts = np.where(rng.random(len(host)) < 0.4, rng.geometric(0.06, len(host)), rng.geometric(0.5, len(host)))
    job = np.repeat(np.arange(len(host)), parts)
    ts = begun[job] + within(job) * rng.exponential(8, len(host))[job]
    server = day.net.caches(len(host), rng).gather(job)
    ranged = (parts > 4)[job]
    yield lookups(day, begun, host, 0.9, rng)
    for exchange, mine in ((RANGES, ranged), (DOWNLOAD, ~ranged)):
        size = lognormal(exchange.resp_bytes, int(mine.sum()), rng)
        lasted = np.maximum(size / log_uniform(3e5, 3e7, len(size), rng), 0.1)
        yield conns(
            day,
            exchange,
            ts[mine],
            host[job][mine],
            server.filter(mine),
            rng,
            resp_bytes=size,
            duration=lasted,
            orig_bytes=300 + size * 0.0004,
        )


def cloud_sync(day: ClientDay, who: np.ndarray) -> Iterator[Draft]:
    """Yield cloud storage: a poll that the server holds for about a minute, again and again, and uploads in groups."""
    rng, traits = day.rng(2), day.net.traits(2)
    n = len(day.net.hosts)
    every, server = traits.choice([30.0, 60.0, 90.0, 240.0, 600.0], n), each_own(n, day.net.cloud[:8], traits)
    index, ts = day.beats(who, every[who], 0.03, rng)
    by = who[index]
    yield conns(day, SYNC_POLL, ts, by, server.gather(by), rng, duration=every[by] * rng.uniform(0.6, 0.99, len(by)))
    host, begun = day.sessions(who, 4, rng)
    job = np.repeat(np.arange(len(host)), rng.geometric(0.25, len(host)))
    size = lognormal(SYNC_UPLOAD.orig_bytes, len(job), rng)
    ts = begun[job] + within(job) * rng.exponential(15, len(job))
    target = pl.Series(day.net.cloud[:8]).gather(rng.integers(0, 8, len(job)))
    yield conns(
        day, SYNC_UPLOAD, ts, host[job], target, rng, orig_bytes=size, duration=np.maximum(size / log_uniform(2e5, 8e6, len(job), rng), 0.3)
    )
    yield lookups(day, ts, host[job], 0.4, rng)


def crawler(day: ClientDay, who: np.ndarray) -> Iterator[Draft]:
    """Yield name crawlers: thousands of look-ups in a few hours, at a steady rate, a part of them without an answer."""
    rng, traits = day.rng(3), day.net.traits(3)
    n = len(day.net.hosts)
    a_second, silent = log_uniform(0.5, 6, n, traits), traits.uniform(0, 0.25, n)
    several = traits.random(n) < 0.4
    count = np.minimum(a_second[who] * rng.uniform(1, 4, len(who)) * 3600, 30_000).astype(np.int64)
    by = np.repeat(who, count)
    ts = rng.uniform(day.wake[who], np.maximum(day.sleep[who] - 4 * 3600, day.wake[who] + 1))[np.repeat(np.arange(len(who)), count)]
    ts = ts + within(by) / a_second[by] * rng.uniform(0.9, 1.1, len(by))
    outside = [*day.net.resolvers, *day.net.web[:3]]
    resolver = pl.Series(outside).gather(np.where(several[by], rng.integers(0, len(outside), len(by)), 0))
    lost = rng.random(len(by)) < silent[by]
    for exchange, mine in ((DNS, ~lost), (replace(DNS, ends=UNANSWERED_UDP), lost)):
        yield conns(day, exchange, ts[mine], by[mine], resolver.filter(mine), rng)
