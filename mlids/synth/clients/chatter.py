"""What hosts say to everybody on their link: name services, discovery and vendors' broadcasts, all unanswered."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from mlids.synth.clients.flows import conns
from mlids.synth.clients.hosts import ClientDay
from mlids.synth.clients.profiles import BROADCASTS, UNANSWERED_UDP, Broadcast, Exchange
from mlids.synth.draft import Draft
from mlids.synth.draws import lognormal

# UDP packets of one conn are at most a minute apart, so that shorter intervals become conns of many packets.
_UDP_TIMEOUT_S = 60.0
_PIECE_S = 1_500.0


def chatter(day: ClientDay, who: np.ndarray) -> Iterator[Draft]:
    """Yield mDNS, LLMNR, NetBIOS, SSDP, WS-Discovery, router messages and vendors' broadcasts."""
    rng, traits = day.rng(16), day.net.traits(16)
    n = len(day.net.hosts)
    for message in BROADCASTS:
        sends = traits.random(n) < message.common
        every, size = lognormal(message.every, n, traits), np.maximum(lognormal(message.size, n, traits), 1)
        mine = who[sends[who]]
        if len(mine):
            yield _messages(day, message, mine, every[mine], size[mine], rng)


def _messages(day: ClientDay, message: Broadcast, who: np.ndarray, every: np.ndarray, size: np.ndarray, rng: np.random.Generator) -> Draft:
    """Return one kind of message; what is repeated within a minute from one port belongs to one conn of limited length."""
    joined = (every < _UDP_TIMEOUT_S) & (message.orig_p > 0)
    gap = np.where(joined, np.maximum(_PIECE_S * rng.uniform(0.2, 1.2, len(who)), every), every)
    index, ts = day.beats(who, gap, 0.02 if joined.all() else 0.3, rng)
    m, per = len(index), joined[index]
    packets = np.where(per, np.maximum(gap[index] * 0.97 / every[index], 1).astype(np.int64), rng.integers(1, message.packets + 1, m))
    lasted = np.where(per, packets * every[index], rng.exponential(1.5, m) * (packets > 1))
    six = ":" in message.resp
    draft = conns(
        day, _exchange(message), ts, who[index], pl.Series([_address(day, message)]).gather(np.zeros(m, np.int64)), rng, duration=lasted,
        orig_bytes=size[index] * packets, orig_h=pl.Series(day.net.link if six else list(day.net.hosts)).gather(who[index]),
        resp_bytes=np.zeros(m), **({"orig_p": np.full(m, message.orig_p)} if message.orig_p else {}),
    )  # fmt: skip
    draft.orig_pkts, draft.resp_pkts = packets, np.zeros(m)
    draft.duration = np.where(packets > 1, np.maximum(lasted, 1e-4), np.nan)
    return draft


def _exchange(message: Broadcast) -> Exchange:
    ends = UNANSWERED_UDP if message.proto == "udp" else (("OTH", "", 1.0),)
    return Exchange(message.resp_p, message.proto, message.service, (0, 0), (0, 0), (0, 0), ends)


def _address(day: ClientDay, message: Broadcast) -> str:
    return {"BROADCAST": day.net.broadcast, "LIMITED": "255.255.255.255"}.get(message.resp, message.resp)
