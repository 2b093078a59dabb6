"""Video calls, games and BitTorrent: many or large conns to high ports."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from mlids.synth.clients.flows import conns
from mlids.synth.clients.hosts import ClientDay, each_own
from mlids.synth.clients.profiles import (
    DHT,
    DHT_IN,
    GAME,
    HTTPS,
    LOBBY,
    MEDIA,
    PEER,
    PEER_UDP,
    PROBE,
    SERVER_QUERY,
    STUN,
    TELEMETRY,
    UDP_ENDS,
    Exchange,
)
from mlids.synth.clients.web import lookups
from mlids.synth.draft import Draft
from mlids.synth.draws import internet_addresses, log_uniform, weighted_choice, within, zipf_weights

_MEDIA_PORTS = np.array([3478, 3479, 3480, 3481, 8801, 19_302, 19_305, 19_309])


def calls(day: ClientDay, who: np.ndarray) -> Iterator[Draft]:
    """Yield video calls: signalling over TLS, STUN, unanswered checks of the other side's addresses, and media of megabytes."""
    rng = day.rng(10)
    host, begun = day.sessions(who, 2.5, rng)
    n = len(host)
    relay = pl.Series(day.net.cloud[:20]).gather(rng.integers(0, 20, n))
    lasts = log_uniform(120, 6_000, n, rng)
    direct = rng.random(n) < 0.35
    port = np.where(direct, rng.integers(50_000, 60_000, n), rng.choice(_MEDIA_PORTS, n))
    peer = pl.Series(internet_addresses(max(n, 1), rng)).head(n)
    yield lookups(day, begun, host, 1.0, rng)
    yield conns(day, HTTPS, begun, host, relay, rng, duration=lasts * rng.uniform(0.8, 1.1, n))
    call = np.repeat(np.arange(n), rng.integers(2, 10, n))
    yield conns(
        day,
        STUN,
        begun[call] + rng.exponential(1.5, len(call)),
        host[call],
        relay.gather(call),
        rng,
        resp_p=rng.choice(_MEDIA_PORTS[:6], len(call)),
    )
    call = np.repeat(np.arange(n), rng.integers(1, 4, n))
    media = pl.select(pl.when(pl.Series(direct)).then(peer).otherwise(relay)).to_series().gather(call)
    share = rng.uniform(0.3, 1, len(call))
    yield conns(
        day, MEDIA, begun[call] + rng.uniform(2, 6, len(call)), host[call], media, rng, resp_p=port[call], duration=lasts[call] * share,
        orig_bytes=lasts[call] * log_uniform(1e4, 2e5, len(call), rng), resp_bytes=lasts[call] * log_uniform(1e4, 4e5, len(call), rng),
    )  # fmt: skip
    call = np.repeat(np.arange(n), rng.integers(0, 8, n))
    private = np.array([f"192.168.{a}.{b}" for a, b in rng.integers(0, 250, (len(call), 2)) + 2], object)
    candidate = np.where(rng.random(len(call)) < 0.5, private, peer.gather(call).to_numpy())
    yield conns(
        day,
        PROBE,
        begun[call] + rng.uniform(1, 4, len(call)),
        host[call],
        pl.Series(candidate, dtype=pl.String),
        rng,
        resp_p=rng.integers(49_152, 65_535, len(call)),
    )


def games(day: ClientDay, who: np.ndarray) -> Iterator[Draft]:
    """Yield games: queries of a list of servers, one UDP conn for a match, a lobby over TCP, heartbeats, other players."""
    rng, traits = day.rng(11), day.net.traits(11)
    n = len(day.net.hosts)
    home_port = traits.choice([27_015, 27_016, 27_020, 27_036, 3_074, 30_000, 34_567, 7_777, 39_000], n)
    host, begun = day.sessions(who, 1.6, rng)
    m = len(host)
    servers = internet_addresses(60, traits)
    listed = np.repeat(np.arange(m), rng.geometric(0.04, m))
    to = pl.Series(servers).gather(rng.integers(0, 60, len(listed)))
    yield conns(
        day,
        SERVER_QUERY,
        begun[listed] + rng.exponential(6, len(listed)),
        host[listed],
        to,
        rng,
        resp_p=27_015 + rng.integers(0, 36, len(listed)),
    )
    match = np.repeat(np.arange(m), rng.integers(1, 5, m))
    ts = begun[match] + 30 + within(match) * rng.uniform(600, 1_800, m)[match]
    lasts = rng.uniform(300, 1_700, len(match))
    to = pl.Series(servers).gather(rng.integers(0, 60, len(match)))
    yield conns(
        day,
        GAME,
        ts,
        host[match],
        to,
        rng,
        resp_p=home_port[host[match]],
        duration=lasts,
        orig_bytes=lasts * log_uniform(2e3, 2e4, len(match), rng),
    )
    yield conns(day, LOBBY, begun, host, pl.Series(servers[:6]).gather(rng.integers(0, 6, m)), rng, resp_p=rng.integers(27_015, 27_051, m))
    beat = Exchange(0, "udp", None, (0.06, 0.5), (36, 0.05), (40, 0.05), UDP_ENDS)
    index, ts = day.beats(who, traits.choice([30.0, 60.0, 300.0], n)[who], 0.01, rng)
    by = who[index]
    yield conns(day, beat, ts, by, each_own(n, servers[6:12], traits).gather(by), rng, resp_p=home_port[by])
    other = np.repeat(np.arange(m), rng.integers(0, 12, m))
    to = pl.Series(internet_addresses(max(len(other), 1), rng)).head(len(other))
    yield conns(
        day,
        SERVER_QUERY,
        begun[other] + rng.exponential(60, len(other)),
        host[other],
        to,
        rng,
        resp_p=np.where(rng.random(len(other)) < 0.5, 3_074, rng.integers(30_000, 40_000, len(other))),
    )


def bittorrent(day: ClientDay, who: np.ndarray) -> Iterator[Draft]:
    """Yield BitTorrent: hundreds of peers on random high ports, most in vain, DHT packets, a few long transfers, trackers."""
    rng, traits = day.rng(12), day.net.traits(12)
    own_port = np.where(traits.random(len(day.net.hosts)) < 0.4, 6_881, traits.integers(10_000, 62_000, len(day.net.hosts)))
    host, begun = day.sessions(who, 1.2, rng)
    m = len(host)
    if not m:
        return
    peers, lasts = internet_addresses(900, rng), log_uniform(900, 14_000, m, rng)
    port, weight = np.where(rng.random(900) < 0.15, 6_881, rng.integers(1_025, 65_000, 900)), zipf_weights(900, rng, 0.5)
    yield from _dht(day, host, begun, lasts, own_port, rng)
    for exchange, many in ((PEER, 140), (PEER_UDP, 220)):
        job = np.repeat(np.arange(m), rng.poisson(many * np.minimum(lasts / 4_000, 2), m))
        which = weighted_choice(weight, len(job), rng)
        ts = begun[job] + rng.uniform(0, 1, len(job)) ** 2 * lasts[job]
        fixed = {} if exchange is PEER else {"orig_p": own_port[host[job]]}
        for ends, share in (_TRIED, 0.72), (exchange.ends, 0.28):
            mine = rng.random(len(job)) < share
            kind = Exchange(
                0,
                exchange.proto,
                "bittorrent" if ends is exchange.ends and exchange is PEER else None,
                exchange.duration,
                exchange.orig_bytes,
                exchange.resp_bytes,
                ends if exchange is PEER else exchange.ends,
            )
            yield conns(
                day,
                kind,
                ts[mine],
                host[job][mine],
                pl.Series(peers).gather(which[mine]),
                rng,
                resp_p=port[which[mine]],
                **{k: v[mine] for k, v in fixed.items()},
            )
    long = np.repeat(np.arange(m), rng.integers(2, 9, m))
    which, size = rng.integers(0, 900, len(long)), log_uniform(1e7, 4e9, len(long), rng)
    up = rng.random(len(long)) < 0.3
    yield conns(
        day, PEER, begun[long] + rng.exponential(100, len(long)), host[long], pl.Series(peers).gather(which), rng, resp_p=port[which],
        duration=lasts[long] * rng.uniform(0.2, 1, len(long)), orig_bytes=np.where(up, size, size * 0.01), resp_bytes=np.where(up, size * 0.01, size),
    )  # fmt: skip
    tracker = np.repeat(np.arange(m), np.maximum(lasts / 1_800, 1).astype(np.int64))
    yield conns(
        day, TELEMETRY, begun[tracker] + within(tracker) * 1_800, host[tracker], pl.Series(day.net.cloud[30:34]).gather(tracker % 4), rng
    )


_TRIED = (("S0", "S", 0.82), ("REJ", "Sr", 0.1), ("RSTO", "ShR", 0.03), ("SF", "ShAFf", 0.05))


def _dht(
    day: ClientDay, host: np.ndarray, begun: np.ndarray, lasts: np.ndarray, own_port: np.ndarray, rng: np.random.Generator
) -> Iterator[Draft]:
    """Yield packets of the distributed hash table, outward and inward, answered or not."""
    for exchange, many in ((DHT, 700), (DHT_IN, 120)):
        job = np.repeat(np.arange(len(host)), rng.poisson(many * np.minimum(lasts / 4_000, 2), len(host)))
        n = len(job)
        ts, by = begun[job] + rng.uniform(0, lasts[job]), host[job]
        far = pl.Series(internet_addresses(n // 2 + 1, rng)).gather(rng.integers(0, n // 2 + 1, n))
        far_port = np.where(rng.random(n) < 0.15, 6_881, rng.integers(1_025, 65_000, n))
        if exchange is DHT:
            yield conns(day, DHT, ts, by, far, rng, orig_p=own_port[by], resp_p=far_port)
        else:
            yield conns(day, DHT_IN, ts, by, pl.Series(day.net.hosts).gather(by), rng, orig_h=far, orig_p=far_port, resp_p=own_port[by])
