"""A deterministic office network: who talks to whom, when, and how much. Benign, but not tame.

Every draw comes from the seed and the day, so a day is the same however often and in whatever order
days are made. The benign side holds what fools simple rules: regular polling, a monitoring host that
touches everything, nightly backups, a NAT gateway, Internet background noise that looks like scans.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

import numpy as np
import polars as pl

from mlids.synth.draft import Draft, text, written_order
from mlids.synth.traffic import GREETINGS, KINDS, Kind

_DAY_S = 86_400
# Relative activity by hour: an office with a lunch dip and a quiet night.
_OFFICE = np.array([2, 1, 1, 1, 1, 2, 5, 22, 70, 95, 100, 96, 70, 85, 98, 96, 88, 62, 30, 15, 10, 7, 5, 3], float)
_ALWAYS = np.ones(24)


class Site:
    """A made-up site. The same seed gives the same site, and each of its days the same rows."""

    def __init__(self, seed: int = 7, *, hosts: int = 180, servers: int = 14, name: str = "hq") -> None:
        if hosts < 10 or servers < 8 or hosts > 50_000:
            raise ValueError("a site has 10 to 50,000 hosts and at least 8 servers")
        self.seed, self.name = seed, name
        rng = np.random.default_rng([seed, 0])
        net = int(rng.integers(1, 200))
        self.office = [f"10.{net}.{10 + i // 240}.{10 + i % 240}" for i in range(hosts)]
        self.office6 = [f"fd00:{net:x}::{0x1000 + i:x}" for i in range(hosts // 4)]
        self.servers = [f"10.{net}.1.{10 + i}" for i in range(servers)]
        self.public = [f"198.51.100.{10 + i}" for i in range(4)]
        self.monitor = [f"10.{net}.1.5"]
        self.nat = [f"10.{net}.250.1"]
        self.backup = f"10.{net}.1.250"
        self.web = _outside(4_000, rng)
        self.pools: dict[str, list[str]] = {
            "office": self.office + self.office6,
            "admins": self.office[:4],
            "servers": self.servers,
            "monitor": self.monitor,
            "nat": self.nat,
            "internet": _outside(20_000, rng),
            "web": self.web,
            "dns": [*self.servers[:2]],
            "directory": [*self.servers[2:4]],
            "files": [*self.servers[4:6]],
            "mail": [self.servers[6]],
            "database": [self.servers[7]],
            "time": [self.servers[0], *_outside(3, rng)],
            "cloud": _outside(12, rng),
            "time_outside": _outside(40, rng),
            "multicast": ["224.0.0.251", "239.255.255.250", "ff02::fb"],
            "public": self.public,
        }
        # Some hosts work a lot, some hardly: who is who is part of the site.
        self._weights = {name: _zipf(len(p), rng, 0.6 if name in {"office", "internet"} else 1.0) for name, p in self.pools.items()}
        self._pollers = rng.choice(hosts, size=max(hosts // 3, 3), replace=False)
        self._poll_every = rng.choice([300.0, 600.0, 900.0, 1800.0, 3600.0], size=len(self._pollers))
        self._poll_to = rng.choice(10, size=len(self._pollers))

    def day(self, day: date, flows: int = 20_000) -> pl.DataFrame:
        """Return about `flows` benign conns of one UTC day, in the order Zeek writes them."""
        return written_order(pl.concat(list(self._parts(day, flows))))

    def _parts(self, day: date, flows: int) -> Iterator[pl.DataFrame]:
        start = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
        rng = np.random.default_rng([self.seed, 1, day.toordinal()])
        weekend = day.weekday() >= 5
        wanted = flows * (0.25 if weekend else 1.0) * rng.uniform(0.92, 1.08)
        for kind in KINDS:
            n = int(wanted * kind.share * rng.uniform(0.85, 1.15))
            if n:
                yield self._kind(kind, n, start, weekend, rng).frame(rng)
        yield self._polling(start, flows, rng).frame(rng)
        yield self._noise(int(flows * 0.03), start, rng).frame(rng)
        yield self._backups(start, rng).frame(rng)
        yield self._in_vain(max(int(flows * 0.003), 4), start, rng).frame(rng)
        yield self._lookups(max(int(flows * 0.02), 40), start, rng).frame(rng)
        yield from (d.frame(rng) for d in self._arrivals(max(flows // 1_000, 6), start, weekend, rng))

    def _kind(self, kind: Kind, n: int, start: float, weekend: bool, rng: np.random.Generator) -> Draft:
        clock = _ALWAYS if kind.clock == "always" or weekend else _OFFICE
        ts, by, to = self._who_and_when(kind, n, start, clock, rng)
        duration = _lognormal(kind.duration, n, rng)
        orig, resp = _lognormal(kind.orig_bytes, n, rng), _lognormal(kind.resp_bytes, n, rng)
        chosen = _choose(np.array([s[2] for s in kind.states]), n, rng)
        state = pl.Series([s[0] for s in kind.states]).gather(chosen)
        history = pl.Series([s[1] or None for s in kind.states], dtype=pl.String).gather(chosen)
        silent = np.isin(state.to_numpy(), ["S0", "REJ", "SH"]) & (kind.name != "mdns")
        resp = np.where(silent, 0, resp)
        orig = np.where(silent & (kind.proto == "tcp"), 0, orig)
        single = silent & (rng.random(n) < 0.7)
        orig_pkts = np.maximum(np.ceil(orig / 1_200) + (3 if kind.proto == "tcp" else 0), 1)
        resp_pkts = np.maximum(np.ceil(resp / 1_300) + (2 if kind.proto == "tcp" else 0), 1)
        return Draft(
            ts=ts,
            orig_h=pl.Series(self.pools[kind.by]).gather(by),
            orig_p=rng.integers(1024, 65535, n) if kind.proto != "icmp" else np.full(n, 8),
            resp_h=pl.Series(self.pools[kind.to]).gather(to),
            resp_p=np.full(n, kind.port),
            proto=text(kind.proto, n),
            service=_service(kind.service, silent, rng),
            duration=np.where(single, np.nan, duration),
            orig_bytes=orig,
            resp_bytes=resp,
            conn_state=state,
            history=history,
            orig_pkts=np.where(silent, np.minimum(orig_pkts, 3), orig_pkts),
            resp_pkts=np.where(silent, (state == "REJ").cast(pl.Int64).to_numpy(), resp_pkts),
        )

    def _who_and_when(
        self, kind: Kind, n: int, start: float, clock: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return time, source and destination of each conn. A web page is many connections at once, often to one server."""
        if kind.to != "web":
            by, to = _choose(self._weights[kind.by], n, rng), _choose(self._weights[kind.to], n, rng)
            return start + _times(n, clock, rng), by, to
        sizes = np.minimum(np.ceil(rng.lognormal(0.7, 1.1, n)), 120).astype(np.int64)
        sessions = int(np.searchsorted(np.cumsum(sizes), n)) + 1
        visit = np.repeat(np.arange(sessions), sizes[:sessions])[:n]
        within = np.arange(n) - np.searchsorted(visit, visit)
        begun = start + _times(sessions, clock, rng)
        ts = begun[visit] + within * rng.exponential(0.4, sessions)[visit] * rng.uniform(0, 2, n)
        by, main = _choose(self._weights[kind.by], sessions, rng)[visit], _choose(self._weights[kind.to], sessions, rng)[visit]
        return ts, by, np.where(rng.random(n) < 0.6, main, _choose(self._weights[kind.to], n, rng))

    def _polling(self, start: float, flows: int, rng: np.random.Generator) -> Draft:
        """Update and telemetry clients: regular as a beacon, but towards well-known servers."""
        scale = max(20_000 / max(flows, 1), 1.0)
        ts, who, to = [], [], []
        for host, every, target in zip(self._pollers, self._poll_every, self._poll_to, strict=True):
            steps = np.arange(rng.uniform(0, every), _DAY_S, every * scale)
            ts.append(start + steps + rng.normal(0, 0.03 * every, len(steps)))
            who.append(np.full(len(steps), host))
            to.append(np.full(len(steps), target))
        when = np.clip(np.concatenate(ts), start, start + _DAY_S - 1)
        n = len(when)
        return Draft(
            ts=when,
            orig_h=pl.Series(self.office).gather(np.concatenate(who)),
            orig_p=rng.integers(1024, 65535, n),
            resp_h=pl.Series(self.web).gather(np.concatenate(to)),
            resp_p=np.full(n, 443),
            proto=text("tcp", n),
            service=text("ssl", n),
            duration=_lognormal((0.4, 0.5), n, rng),
            orig_bytes=_lognormal((1_100, 0.25), n, rng),
            resp_bytes=_lognormal((4_500, 0.5), n, rng),
            conn_state=text("SF", n),
            history=text("ShADadFf", n),
            orig_pkts=rng.integers(8, 14, n),
            resp_pkts=rng.integers(7, 15, n),
        )

    def _noise(self, n: int, start: float, rng: np.random.Generator) -> Draft:
        """The Internet's background: single probes from everywhere to the public addresses."""
        refused = rng.random(n) < 0.6
        return Draft(
            ts=start + _times(n, _ALWAYS, rng),
            orig_h=pl.Series(_outside(max(n // 2, 1), rng)).gather(rng.integers(0, max(n // 2, 1), n)),
            orig_p=rng.integers(1024, 65535, n),
            resp_h=pl.Series(self.public).gather(rng.integers(0, len(self.public), n)),
            resp_p=rng.choice([22, 23, 80, 443, 445, 3389, 5060, 6379, 8080, 8443, 9200, 2323], n),
            proto=text("tcp", n),
            service=text(None, n),
            duration=np.where(refused, rng.exponential(0.02, n), np.nan),
            orig_bytes=np.zeros(n),
            resp_bytes=np.zeros(n),
            conn_state=pl.Series(np.where(refused, "REJ", "S0")),
            history=pl.Series(np.where(refused, "Sr", "S")),
            orig_pkts=np.ones(n),
            resp_pkts=refused.astype(int),
        )

    def _in_vain(self, n: int, start: float, rng: np.random.Generator) -> Draft:
        """Clients whose server is down: the same call again and again, a few dozen times, then peace."""
        calls = np.repeat(np.arange(n), rng.integers(2, 45, n))[:n]
        within = np.arange(n) - np.searchsorted(calls, calls)
        every = np.exp(rng.uniform(np.log(1), np.log(90), n))
        to = np.where(rng.random(n) < 0.7, rng.integers(0, len(self.web), n), -1)[calls]
        targets = [*self.web, self.servers[-1]]
        ts = start + rng.uniform(0, _DAY_S, n)[calls] + within * every[calls] * rng.uniform(0.7, 1.3, n)
        refused = (rng.random(n) < 0.2)[calls]
        return Draft(
            ts=np.minimum(ts, start + _DAY_S - 1),
            orig_h=pl.Series(self.office).gather(rng.integers(0, len(self.office), n)[calls]),
            orig_p=rng.integers(1024, 65535, n),
            resp_h=pl.Series(targets).gather(np.where(to < 0, len(targets) - 1, to)),
            resp_p=rng.choice([80, 443, 8080, 8883, 5222, 993, 53], n)[calls],
            proto=text("tcp", n),
            service=text(None, n),
            duration=np.where(refused, rng.exponential(0.05, n), 3.1 + rng.uniform(0, 0.1, n)),
            orig_bytes=np.zeros(n),
            resp_bytes=np.zeros(n),
            conn_state=pl.Series(np.where(refused, "REJ", "S0")),
            history=pl.Series(np.where(refused, "Sr", "S")),
            orig_pkts=rng.integers(1, 4, n)[calls],
            resp_pkts=refused.astype(int),
        )

    def _lookups(self, n: int, start: float, rng: np.random.Generator) -> Draft:
        """Names asked for in bursts: a page's dozens, a mail filter's hundreds, a device that asks again and again."""
        bursts = np.repeat(np.arange(n), np.minimum(np.ceil(rng.lognormal(3.6, 1.1, n)), 500).astype(np.int64))[:n]
        within = np.arange(n) - np.searchsorted(bursts, bursts)
        every = np.exp(rng.uniform(np.log(0.05), np.log(20), n))
        ts = start + rng.uniform(0, _DAY_S, n)[bursts] + within * every[bursts] * rng.uniform(0.6, 1.4, n)
        asking = [*self.servers, *self.office, *self.nat]
        resolvers = [*self.pools["dns"], *self.pools["time_outside"][:3]]
        silent = rng.random(n) < np.where(rng.random(n) < 0.15, 0.7, 0.02)[bursts]
        return Draft(
            ts=np.minimum(ts, start + _DAY_S - 1),
            orig_h=pl.Series(asking).gather(rng.integers(0, len(asking), n)[bursts]),
            orig_p=rng.integers(1024, 65535, n),
            resp_h=pl.Series(resolvers).gather(rng.integers(0, len(resolvers), n)[bursts]),
            resp_p=np.full(n, 53),
            proto=text("udp", n),
            service=text("dns", n),
            duration=np.where(silent, np.nan, _lognormal((0.03, 1.3), n, rng)),
            orig_bytes=np.clip(_lognormal((40, 0.3), n, rng), 22, 105),
            resp_bytes=np.where(silent, 0, _lognormal((150, 0.8), n, rng)),
            conn_state=pl.Series(np.where(silent, "S0", "SF")),
            history=pl.Series(np.where(silent, "D", "Dd")),
            orig_pkts=np.ones(n),
            resp_pkts=(~silent).astype(int),
        )

    def _arrivals(self, n: int, start: float, weekend: bool, rng: np.random.Generator) -> Iterator[Draft]:
        """Hosts that come up say so to everybody on their link; nobody answers a multicast."""
        who = rng.integers(0, len(self.office), n)
        at = start + _times(n, _ALWAYS if weekend else _OFFICE, rng)
        office = pl.Series(self.office)
        link = pl.Series([f"fe80::{0x1000 + i:x}:ff:fe00:{i:x}" for i in range(len(self.office))])
        names = {"SERVER": self.servers[0], "BROADCAST": f"{self.servers[0].rsplit('.', 1)[0]}.255"}
        for g in GREETINGS:
            each = np.repeat(np.arange(n), rng.poisson(g.times, n))
            m = len(each)
            hosts, peers = who[each], rng.integers(0, len(self.office), m)
            answered = rng.random(m) < g.answered
            pkts = rng.integers(1, 4, m)
            orig = {"HOST": office.gather(hosts), "LINK": link.gather(hosts)}.get(g.orig, text(g.orig, m))
            icmp, silent = g.proto == "icmp", "OTH" if g.proto == "icmp" else "S0"
            yield Draft(
                ts=np.minimum(at[each] + rng.exponential(6.0, m), start + _DAY_S - 1),
                orig_h=orig,
                orig_p=np.full(m, g.ports[0]) if g.ports[0] else rng.integers(1024, 65535, m),
                resp_h=link.gather(peers) if g.resp == "PEER" else text(names.get(g.resp, g.resp), m),
                resp_p=np.full(m, g.ports[1]),
                proto=text(g.proto, m),
                service=text(g.service, m),
                duration=np.where((pkts > 1) | answered, rng.exponential(1.5, m), np.nan),
                orig_bytes=np.full(m, g.orig_bytes) * pkts,
                resp_bytes=np.where(answered, g.orig_bytes, 0),
                conn_state=pl.Series(np.where(answered, "SF", silent)),
                history=text(None, m) if icmp else pl.Series(np.where(answered, "Dd", "D")),
                orig_pkts=pkts,
                resp_pkts=answered.astype(int),
            )

    def _backups(self, start: float, rng: np.random.Generator) -> Draft:
        """Every server pushes a few large streams to the backup host at night."""
        n = 3 * len(self.servers)
        size = _lognormal((3e9, 0.8), n, rng)
        return Draft(
            ts=start + np.sort(rng.uniform(3_600, 4 * 3_600, n)),
            orig_h=pl.Series(self.servers).gather(np.arange(n) % len(self.servers)),
            orig_p=rng.integers(1024, 65535, n),
            resp_h=text(self.backup, n),
            resp_p=np.full(n, 22),
            proto=text("tcp", n),
            service=text("ssh", n),
            duration=size / rng.uniform(4e7, 9e7, n),
            orig_bytes=size,
            resp_bytes=size * 0.003,
            conn_state=text("SF", n),
            history=text("ShADadFf", n),
            orig_pkts=np.ceil(size / 1_400),
            resp_pkts=np.ceil(size / 2_900),
        )


def _outside(n: int, rng: np.random.Generator) -> list[str]:
    """Return n Internet addresses, none in a private or reserved range."""
    first = rng.choice([a for a in range(20, 190) if a not in {100, 127, 169, 172}], n)
    rest = rng.integers(1, 255, (n, 3))
    return [f"{a}.{b}.{c}.{d}" for a, (b, c, d) in zip(first, rest, strict=True)]


def _zipf(n: int, rng: np.random.Generator, power: float) -> np.ndarray:
    weights = 1.0 / np.arange(1, n + 1) ** power
    rng.shuffle(weights)
    return weights


def _choose(weights: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    cuts = np.cumsum(weights) / weights.sum()
    return np.minimum(np.searchsorted(cuts, rng.random(n), side="right"), len(weights) - 1)


def _times(n: int, hourly: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return 3600.0 * _choose(hourly, n, rng) + rng.uniform(0, 3600, n)


def _lognormal(shape: tuple[float, float], n: int, rng: np.random.Generator) -> np.ndarray:
    median, sigma = shape
    if median <= 0:
        return np.zeros(n)
    return np.minimum(median * np.exp(sigma * rng.standard_normal(n, np.float32)), 5e11)


def _service(name: str | None, silent: np.ndarray, rng: np.random.Generator) -> pl.Series:
    """Zeek names no service where nothing was said, and misses it now and then."""
    unknown = silent | (rng.random(len(silent)) < 0.015)
    return pl.select(pl.when(pl.Series(~unknown)).then(pl.lit(name, pl.String))).to_series()
