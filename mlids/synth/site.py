"""A synthetic office network: its hosts and the benign conns of each day.

Every draw depends on the seed and the day only, so that a day has the same rows in whatever order days are
generated. The benign traffic contains what causes false alerts of simple rules: regular polling, a monitoring
host that contacts every server, nightly backups, a NAT gateway, and Internet background noise that looks like scans.
A quarter of it is what single clients do (`synth/clients`): as many of them as fit, each at its own rate.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

import numpy as np
import polars as pl

from mlids.synth.clients.hosts import ClientHosts
from mlids.synth.clients.network import HABITS, ClientTraffic
from mlids.synth.draft import Draft, text, written_order
from mlids.synth.draws import ALWAYS, DAY_S, OFFICE, draw_times, internet_addresses, log_uniform, lognormal, weighted_choice, zipf_weights
from mlids.synth.traffic import KINDS, STARTUP_MESSAGES, TrafficKind

_CLIENT_SHARE = 0.25


class Site:
    """A synthetic site. The same seed gives the same hosts, and the same rows for each day.

    Raises ValueError for fewer than 10 or more than 50,000 hosts, or fewer than 8 servers.
    """

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
        self.web = internet_addresses(4_000, rng)
        self.pools: dict[str, list[str]] = {
            "office": self.office + self.office6,
            "admins": self.office[:4],
            "servers": self.servers,
            "monitor": self.monitor,
            "nat": self.nat,
            "internet": internet_addresses(20_000, rng),
            "web": self.web,
            "dns": [*self.servers[:2]],
            "directory": [*self.servers[2:4]],
            "files": [*self.servers[4:6]],
            "mail": [self.servers[6]],
            "database": [self.servers[7]],
            "time": [self.servers[0], *internet_addresses(3, rng)],
            "cloud": internet_addresses(12, rng),
            "time_outside": internet_addresses(40, rng),
            "multicast": ["224.0.0.251", "239.255.255.250", "ff02::fb"],
            "public": self.public,
        }
        # How active each host is, which is a property of the site.
        self._weights = {name: zipf_weights(len(p), rng, 0.6 if name in {"office", "internet"} else 1.0) for name, p in self.pools.items()}
        self._pollers = rng.choice(hosts, size=max(hosts // 3, 3), replace=False)
        self._poll_every = rng.choice([300.0, 600.0, 900.0, 1800.0, 3600.0], size=len(self._pollers))
        self._poll_to = rng.choice(10, size=len(self._pollers))
        self.clients = ClientTraffic(self._client_hosts(net), HABITS["office"])

    def _client_hosts(self, net: int) -> ClientHosts:
        six = [f"fd00:{net:x}::{0x1000 + i:x}" for i in range(len(self.office))]
        return ClientHosts(
            self.seed, self.office, six, self.pools["dns"], f"10.{net}.10.1", office=True,
            servers=[*self.pools["files"], *self.servers[6:8]], directory=self.pools["directory"],
        )  # fmt: skip

    def day(self, day: date, flows: int = 20_000) -> pl.DataFrame:
        """Return about `flows` benign conns of one UTC day, in the order Zeek writes them."""
        return written_order(pl.concat(list(self._parts(day, flows))))

    def _parts(self, day: date, flows: int) -> Iterator[pl.DataFrame]:
        start = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
        rng = np.random.default_rng([self.seed, 1, day.toordinal()])
        weekend = day.weekday() >= 5
        most = _CLIENT_SHARE * flows
        wanted = (flows - self.clients.plan(most)[1]) * (0.25 if weekend else 1.0) * rng.uniform(0.92, 1.08)
        yield from (rows for _, rows in self.clients.parts(day, most))
        for kind in KINDS:
            n = int(wanted * kind.share * rng.uniform(0.85, 1.15))
            if n:
                yield self._kind(kind, n, start, weekend, rng).frame(rng)
        yield self._polling(start, flows, rng).frame(rng)
        yield self._background_noise(int(flows * 0.03), start, rng).frame(rng)
        yield self._backups(start, rng).frame(rng)
        yield self._failed_retries(max(int(flows * 0.003), 4), start, rng).frame(rng)
        yield self._dns_bursts(max(int(flows * 0.02), 40), start, rng).frame(rng)
        yield from (d.frame(rng) for d in self._host_startups(max(flows // 1_000, 6), start, weekend, rng))

    def _kind(self, kind: TrafficKind, n: int, start: float, weekend: bool, rng: np.random.Generator) -> Draft:
        clock = ALWAYS if kind.clock == "always" or weekend else OFFICE
        ts, by, to = self._times_and_hosts(kind, n, start, clock, rng)
        duration = lognormal(kind.duration, n, rng)
        orig, resp = lognormal(kind.orig_bytes, n, rng), lognormal(kind.resp_bytes, n, rng)
        chosen = weighted_choice(np.array([s[2] for s in kind.states]), n, rng)
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

    def _times_and_hosts(
        self, kind: TrafficKind, n: int, start: float, clock: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return start time, source and destination index of each conn. One visit of a web page opens many conns at once."""
        if kind.to != "web":
            by, to = weighted_choice(self._weights[kind.by], n, rng), weighted_choice(self._weights[kind.to], n, rng)
            return start + draw_times(n, clock, rng), by, to
        sizes = np.minimum(np.ceil(rng.lognormal(0.7, 1.1, n)), 120).astype(np.int64)
        sessions = int(np.searchsorted(np.cumsum(sizes), n)) + 1
        visit = np.repeat(np.arange(sessions), sizes[:sessions])[:n]
        within = np.arange(n) - np.searchsorted(visit, visit)
        begun = start + draw_times(sessions, clock, rng)
        ts = begun[visit] + within * rng.exponential(0.4, sessions)[visit] * rng.uniform(0, 2, n)
        by, main = (
            weighted_choice(self._weights[kind.by], sessions, rng)[visit],
            weighted_choice(self._weights[kind.to], sessions, rng)[visit],
        )
        return ts, by, np.where(rng.random(n) < 0.6, main, weighted_choice(self._weights[kind.to], n, rng))

    def _polling(self, start: float, flows: int, rng: np.random.Generator) -> Draft:
        """Return the conns of update and telemetry clients: as regular as a beacon, to servers that many hosts use."""
        scale = max(20_000 / max(flows, 1), 1.0)
        ts, who, to = [], [], []
        for host, every, target in zip(self._pollers, self._poll_every, self._poll_to, strict=True):
            steps = np.arange(rng.uniform(0, every), DAY_S, every * scale)
            ts.append(start + steps + rng.normal(0, 0.03 * every, len(steps)))
            who.append(np.full(len(steps), host))
            to.append(np.full(len(steps), target))
        when = np.clip(np.concatenate(ts), start, start + DAY_S - 1)
        n = len(when)
        return Draft(
            ts=when,
            orig_h=pl.Series(self.office).gather(np.concatenate(who)),
            orig_p=rng.integers(1024, 65535, n),
            resp_h=pl.Series(self.web).gather(np.concatenate(to)),
            resp_p=np.full(n, 443),
            proto=text("tcp", n),
            service=text("ssl", n),
            duration=lognormal((0.4, 0.5), n, rng),
            orig_bytes=lognormal((1_100, 0.25), n, rng),
            resp_bytes=lognormal((4_500, 0.5), n, rng),
            conn_state=text("SF", n),
            history=text("ShADadFf", n),
            orig_pkts=rng.integers(8, 14, n),
            resp_pkts=rng.integers(7, 15, n),
        )

    def _background_noise(self, n: int, start: float, rng: np.random.Generator) -> Draft:
        """Return Internet background noise: single probes from many sources to the public addresses."""
        refused = rng.random(n) < 0.6
        return Draft(
            ts=start + draw_times(n, ALWAYS, rng),
            orig_h=pl.Series(internet_addresses(max(n // 2, 1), rng)).gather(rng.integers(0, max(n // 2, 1), n)),
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

    def _failed_retries(self, n: int, start: float, rng: np.random.Generator) -> Draft:
        """Return the conns of clients whose server is down: the same attempt 2 to 44 times."""
        client = np.repeat(np.arange(n), rng.integers(2, 45, n))[:n]
        within = np.arange(n) - np.searchsorted(client, client)
        every = log_uniform(1, 90, n, rng)
        to = np.where(rng.random(n) < 0.7, rng.integers(0, len(self.web), n), -1)[client]
        targets = [*self.web, self.servers[-1]]
        ts = start + rng.uniform(0, DAY_S, n)[client] + within * every[client] * rng.uniform(0.7, 1.3, n)
        refused = (rng.random(n) < 0.2)[client]
        return Draft(
            ts=np.minimum(ts, start + DAY_S - 1),
            orig_h=pl.Series(self.office).gather(rng.integers(0, len(self.office), n)[client]),
            orig_p=rng.integers(1024, 65535, n),
            resp_h=pl.Series(targets).gather(np.where(to < 0, len(targets) - 1, to)),
            resp_p=rng.choice([80, 443, 8080, 8883, 5222, 993, 53], n)[client],
            proto=text("tcp", n),
            service=text(None, n),
            duration=np.where(refused, rng.exponential(0.05, n), 3.1 + rng.uniform(0, 0.1, n)),
            orig_bytes=np.zeros(n),
            resp_bytes=np.zeros(n),
            conn_state=pl.Series(np.where(refused, "REJ", "S0")),
            history=pl.Series(np.where(refused, "Sr", "S")),
            orig_pkts=rng.integers(1, 4, n)[client],
            resp_pkts=refused.astype(int),
        )

    def _dns_bursts(self, n: int, start: float, rng: np.random.Generator) -> Draft:
        """Return DNS queries in bursts: dozens for a web page, hundreds for a mail filter, repeats of one device."""
        burst = np.repeat(np.arange(n), np.minimum(np.ceil(rng.lognormal(3.6, 1.1, n)), 500).astype(np.int64))[:n]
        within = np.arange(n) - np.searchsorted(burst, burst)
        every = log_uniform(0.05, 20, n, rng)
        ts = start + rng.uniform(0, DAY_S, n)[burst] + within * every[burst] * rng.uniform(0.6, 1.4, n)
        clients = [*self.servers, *self.office, *self.nat]
        resolvers = [*self.pools["dns"], *self.pools["time_outside"][:3]]
        silent = rng.random(n) < np.where(rng.random(n) < 0.15, 0.7, 0.02)[burst]
        return Draft(
            ts=np.minimum(ts, start + DAY_S - 1),
            orig_h=pl.Series(clients).gather(rng.integers(0, len(clients), n)[burst]),
            orig_p=rng.integers(1024, 65535, n),
            resp_h=pl.Series(resolvers).gather(rng.integers(0, len(resolvers), n)[burst]),
            resp_p=np.full(n, 53),
            proto=text("udp", n),
            service=text("dns", n),
            duration=np.where(silent, np.nan, lognormal((0.03, 1.3), n, rng)),
            orig_bytes=np.clip(lognormal((40, 0.3), n, rng), 22, 105),
            resp_bytes=np.where(silent, 0, lognormal((150, 0.8), n, rng)),
            conn_state=pl.Series(np.where(silent, "S0", "SF")),
            history=pl.Series(np.where(silent, "D", "Dd")),
            orig_pkts=np.ones(n),
            resp_pkts=(~silent).astype(int),
        )

    def _host_startups(self, n: int, start: float, weekend: bool, rng: np.random.Generator) -> Iterator[Draft]:
        """Yield the messages that hosts send when they start: DHCP, neighbour discovery, multicast and broadcast name services."""
        who = rng.integers(0, len(self.office), n)
        at = start + draw_times(n, ALWAYS if weekend else OFFICE, rng)
        office = pl.Series(self.office)
        link = pl.Series([f"fe80::{0x1000 + i:x}:ff:fe00:{i:x}" for i in range(len(self.office))])
        names = {"SERVER": self.servers[0], "BROADCAST": f"{self.servers[0].rsplit('.', 1)[0]}.255"}
        for message in STARTUP_MESSAGES:
            each = np.repeat(np.arange(n), rng.poisson(message.times, n))
            m = len(each)
            hosts, peers = who[each], rng.integers(0, len(self.office), m)
            answered = rng.random(m) < message.answered
            pkts = rng.integers(1, 4, m)
            orig = {"HOST": office.gather(hosts), "LINK": link.gather(hosts)}.get(message.orig, text(message.orig, m))
            icmp, silent = message.proto == "icmp", "OTH" if message.proto == "icmp" else "S0"
            yield Draft(
                ts=np.minimum(at[each] + rng.exponential(6.0, m), start + DAY_S - 1),
                orig_h=orig,
                orig_p=np.full(m, message.ports[0]) if message.ports[0] else rng.integers(1024, 65535, m),
                resp_h=link.gather(peers) if message.resp == "PEER" else text(names.get(message.resp, message.resp), m),
                resp_p=np.full(m, message.ports[1]),
                proto=text(message.proto, m),
                service=text(message.service, m),
                duration=np.where((pkts > 1) | answered, rng.exponential(1.5, m), np.nan),
                orig_bytes=np.full(m, message.orig_bytes) * pkts,
                resp_bytes=np.where(answered, message.orig_bytes, 0),
                conn_state=pl.Series(np.where(answered, "SF", silent)),
                history=text(None, m) if icmp else pl.Series(np.where(answered, "Dd", "D")),
                orig_pkts=pkts,
                resp_pkts=answered.astype(int),
            )

    def _backups(self, start: float, rng: np.random.Generator) -> Draft:
        """Return the nightly backups: three large uploads of every server to the backup host."""
        n = 3 * len(self.servers)
        size = lognormal((3e9, 0.8), n, rng)
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


def _service(name: str | None, silent: np.ndarray, rng: np.random.Generator) -> pl.Series:
    """Return the service column: unset where no payload was sent, and in 1.5 % of the other conns."""
    unknown = silent | (rng.random(len(silent)) < 0.015)
    return pl.select(pl.when(pl.Series(~unknown)).then(pl.lit(name, pl.String))).to_series()
