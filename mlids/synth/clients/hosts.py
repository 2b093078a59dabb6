"""The hosts of a client network, the addresses they contact, and when they are awake on a day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field

import numpy as np
import polars as pl

from mlids.synth.clients.profiles import Ends, tilted
from mlids.synth.draws import (
    DAY_S,
    HOME,
    OFFICE,
    draw_times,
    internet_addresses,
    internet_addresses6,
    weighted_choice,
    within,
    zipf_weights,
)

_WEB, _CDN, _CDN6, _CLOUD = 1_500, 240, 60, 60


@dataclass
class ClientHosts:
    """Hosts of one network by index (0 to n − 1), and what they contact. All of it depends on the seed only."""

    seed: int
    hosts: Sequence[str]
    hosts6: Sequence[str]  # as many
    resolvers: Sequence[str]
    router: str
    _: KW_ONLY
    office: bool = False  # active in office hours, and mostly off at weekends; else as a household
    servers: Sequence[str] = ()  # inside, other than the hosts
    directory: Sequence[str] = ()  # domain controllers
    web: list[str] = field(init=False)
    cdn: list[str] = field(init=False)  # the last _CDN6 have IPv6 addresses
    cloud: list[str] = field(init=False)
    always_on: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng([self.seed, 20])
        n = len(self.hosts)
        self.web, self.cloud = internet_addresses(_WEB, rng), internet_addresses(_CLOUD, rng)
        self.cdn = internet_addresses(_CDN - _CDN6, rng) + internet_addresses6(_CDN6, rng)
        self.always_on = rng.random(n) < rng.uniform(0.05, 0.3) if self.office else rng.random(n) < rng.uniform(0.15, 0.7)
        self._web_weights, self._cdn_weights = zipf_weights(_WEB, rng, 0.9), zipf_weights(_CDN, rng, 0.8)
        six = rng.choice([0.0, 0.3, 1.0])  # share of the CDN's weight that its IPv6 addresses keep
        self._cdn_weights[-_CDN6:] *= six
        self.link = [f"fe80::{self.seed % 0xFFFF:x}:{i:x}ff:fe00:{0x100 + i:x}" for i in range(n)]
        self.broadcast = f"{self.hosts[0].rsplit('.', 1)[0]}.255"
        self.six_broken = bool(rng.random() < 0.25)  # IPv6 is announced and does not work
        self._shares: dict[Ends, np.ndarray] = {}

    def traits(self, kind: int) -> np.random.Generator:
        """Return the generator of what hosts keep from day to day in one kind of client."""
        return np.random.default_rng([self.seed, 21, kind])

    def shares(self, ends: Ends) -> np.ndarray:
        """Return how often each of `ends` occurs in this network."""
        if ends not in self._shares:
            number = [ord(c) for end in ends[:3] for c in end[1]]
            self._shares[ends] = tilted(ends, np.random.default_rng([self.seed, 22, len(ends), *number]))
        return self._shares[ends]

    def sources(self, who: np.ndarray, resp_h: pl.Series) -> pl.Series:
        """Return the source address of each conn: a host's IPv6 address towards an IPv6 destination."""
        four = pl.Series(self.hosts).gather(who)
        six = resp_h.str.contains(":", literal=True)
        if not six.any():
            return four
        return pl.select(pl.when(six).then(pl.Series(self.hosts6).gather(who)).otherwise(four)).to_series()

    def sites(self, n: int, rng: np.random.Generator) -> pl.Series:
        """Return n web servers, popular ones more often."""
        return pl.Series(self.web).gather(weighted_choice(self._web_weights, n, rng))

    def caches(self, n: int, rng: np.random.Generator) -> pl.Series:
        """Return n addresses of content delivery networks, popular ones more often."""
        return pl.Series(self.cdn).gather(weighted_choice(self._cdn_weights, n, rng))


class ClientDay:
    """One UTC day of a client network. Times are seconds of the day."""

    def __init__(self, net: ClientHosts, start: float, number: int, weekend: bool) -> None:
        self.net, self.start, self.number = net, start, number
        rng = np.random.default_rng([net.seed, 23, number])
        n = len(net.hosts)
        self.clock = OFFICE if net.office else HOME
        hours = np.sort(draw_times(2 * n, self.clock, rng).reshape(n, 2), axis=1)
        self.wake = np.where(net.always_on, 0.0, np.minimum(hours[:, 0], DAY_S / 2))
        self.sleep = np.where(net.always_on, DAY_S, np.maximum(hours[:, 1], self.wake + 4 * 3600))
        self.activity = rng.lognormal(0, 0.4, n)
        if weekend and net.office:
            off = ~net.always_on & (rng.random(n) < 0.75)
            self.sleep, self.activity = np.where(off, self.wake, self.sleep), np.where(off, 0.0, 0.5 * self.activity)

    def rng(self, kind: int) -> np.random.Generator:
        """Return the generator of one kind of client on this day."""
        return np.random.default_rng([self.net.seed, 24, self.number, kind])

    def sessions(self, who: np.ndarray, per_host: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return host and start of about `per_host` sessions of each host of `who`, in its waking hours, sorted by host."""
        host = np.repeat(who, rng.poisson(per_host * self.activity[who]))
        at = draw_times(len(host), self.clock, rng)
        wake, sleep = self.wake[host], self.sleep[host]
        return host, np.where((at < wake) | (at > sleep), rng.uniform(wake, sleep), at)

    def beats(
        self, who: np.ndarray, every: np.ndarray, jitter: np.ndarray | float, rng: np.random.Generator, *, always: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (index into `who`, time) of regular events every `every` seconds; `jitter` is a share of `every`."""
        wake, sleep = (np.zeros(len(who)), np.full(len(who), float(DAY_S))) if always else (self.wake[who], self.sleep[who])
        phase = rng.uniform(0, 1, len(who)) * np.minimum(every, sleep - wake)
        times = np.maximum((sleep - wake - phase) / every, 0).astype(np.int64)
        index = np.repeat(np.arange(len(who)), times)
        step = every[index]
        spread = (np.broadcast_to(jitter, len(who))[index]) * step * rng.standard_normal(len(index))
        return index, (wake + phase)[index] + within(index) * step + spread


def each_own(n: int, pool: Sequence[str], rng: np.random.Generator) -> pl.Series:
    """Return an address of `pool` for each of n hosts."""
    return pl.Series(list(pool)).gather(rng.integers(0, len(pool), n))
