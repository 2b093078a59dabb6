"""Drafts of one host and many others: peers, mail servers, scanned hosts, floods, guessed passwords."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from mlids.synth.attacks import probes
from mlids.synth.draft import Draft, joined
from mlids.synth.hosts import AttackHosts, arrival_times, internet_hosts, log_uniform, pick, subnet_of
from mlids.synth.profiles.base import MAX_ROWS, Span
from mlids.synth.profiles.channel import SERVER_ENDS, Channel, conns
from mlids.synth.profiles.pace import Calls


def _some(n: tuple[int, int], rng: np.random.Generator) -> int:
    return int(rng.integers(n[0], n[1] + 1))


@dataclass(frozen=True)
class Peers:
    """A bot that asks its peers in rounds, most of them gone: datagrams, and TCP to those that answer.

    `ports` is the range of the peers' ports, one for each peer, or a single port that all have in common.
    `message` and `answer` are payload bytes, `silent` the share of peers that never answers.
    """

    peers: tuple[int, int]
    ports: tuple[int, int] | int
    message: tuple[float, float]
    answer: tuple[float, float]
    silent: tuple[float, float] = (0.4, 0.97)
    cycle: tuple[float, float] = (300, 2_400)  # seconds between rounds
    tcp: tuple[float, float] = (0.0, 0.25)  # share of conns
    own_port: float = 0.7  # chance that all datagrams leave from one port

    def __call__(self, span: Span, hosts: AttackHosts, rng: np.random.Generator) -> Draft:
        """Return the conns of one instance."""
        orig, n = hosts.source(rng), _some(self.peers, rng)
        names = internet_hosts(n, rng)
        ports = np.full(n, self.ports) if isinstance(self.ports, int) else rng.integers(*self.ports, n)
        alive = rng.random(n) >= rng.uniform(*self.silent)
        ts, peer = self._rounds(span, n, rng)
        tcp = rng.random(len(ts)) < rng.uniform(*self.tcp)
        parts = []
        for proto, rows in (("udp", ~tcp), ("tcp", tcp)):
            if rows.any():
                at = peer[rows]
                calls = Calls(ts[rows], alive[at] & (rng.random(len(at)) < 0.9), rng.random(len(at)) < (0.1 if proto == "tcp" else 0.0))
                channel = Channel((1,), None, self.message, self.answer, (0.05, 1.5), proto, spread=0.4, ends=SERVER_ENDS)
                parts.append(conns(channel, calls, orig, names.gather(at), ports[at], rng, lossy=False))
        if not tcp.all() and rng.random() < self.own_port:
            parts[0].orig_p = np.full(len(parts[0].ts), int(rng.integers(1_024, 30_000)))
        return joined(parts)

    def _rounds(self, span: Span, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return time and peer of each conn."""
        a_round = max(int(n * rng.uniform(0.1, 0.6)), 8)
        cycle = min(log_uniform(*self.cycle, rng), span.seconds / 4)
        rounds = int(np.clip(span.seconds / cycle, 3, MAX_ROWS // a_round)) if a_round * 3 <= MAX_ROWS else 1
        begin = span.start + rng.uniform(0, max(span.seconds - rounds * cycle, 0.0))
        size = min(rounds * a_round, MAX_ROWS)
        at = np.arange(size) // a_round
        ts = begin + at * cycle + rng.exponential(cycle * rng.uniform(0.01, 0.3), size)
        order = np.argsort(ts)
        return ts[order], rng.integers(0, n, size)[order]


@dataclass(frozen=True)
class SpamRun:
    """Mail to many servers in quick succession: many silent, some refuse, some take a mail or hang up after the greeting."""

    ports: tuple[int, ...] = (25,)
    servers: tuple[int, int] = (40, 300)
    per_s: tuple[float, float] = (0.2, 8)
    silent: tuple[float, float] = (0.2, 0.95)
    service: str = "smtp"

    def __call__(self, span: Span, hosts: AttackHosts, rng: np.random.Generator) -> Draft:
        """Return the conns of one instance."""
        n = int(rng.integers(120, MAX_ROWS + 1))
        per_s = max(log_uniform(*self.per_s, rng), 2 * n / span.seconds)
        ts = arrival_times(n, span.start + rng.uniform(0, 0.5) * span.seconds, per_s, rng)
        names = internet_hosts(_some(self.servers, rng), rng)
        at = rng.integers(0, len(names), n)
        quiet = rng.random(len(names)) < rng.uniform(*self.silent)
        mail = Channel(self.ports, self.service, (600, 12_000), (300, 900), (0.5, 6), spread=0.5, ends=SERVER_ENDS, task=(1_000, 40_000))
        orig, ports = hosts.source(rng), rng.choice(self.ports, n)
        calls = Calls(ts, ~quiet[at], rng.random(n) < 0.1)
        draft = conns(mail, calls, orig, names.gather(at), ports, rng, lossy=False)
        hung_up = calls.answered & (rng.random(n) < rng.uniform(0.1, 0.6))  # a greeting, and no mail: the host is listed
        draft.orig_bytes = np.where(hung_up, 0, draft.orig_bytes)
        draft.orig_pkts = np.where(hung_up, 4, draft.orig_pkts)
        draft.resp_bytes = np.where(hung_up, rng.integers(40, 300, n), draft.resp_bytes)
        draft.resp_pkts = np.where(hung_up, 4, draft.resp_pkts)
        return draft


@dataclass(frozen=True)
class Sweep:
    """Probes of many hosts or ports. `per_s` is probes a second; `of`: internet, inside, subnet or host (then many ports)."""

    of: str
    ports: tuple[int, ...] = ()
    shares: tuple[float, ...] | None = None
    per_s: tuple[float, float] = (0.5, 50)
    probes: tuple[int, int] = (80, MAX_ROWS)
    open_share: tuple[float, float] = (0.0, 0.06)

    def __call__(self, span: Span, hosts: AttackHosts, rng: np.random.Generator) -> Draft:
        """Return the conns of one instance."""
        n, orig = _some(self.probes, rng), hosts.source(rng)
        per_s = max(log_uniform(*self.per_s, rng), 1.5 * n / span.seconds)
        ts = arrival_times(n, span.start + rng.uniform(0, max(1 - 1.2 * n / per_s / span.seconds, 0)) * span.seconds, per_s, rng)
        targets = self._targets(n, orig, hosts, rng)
        if self.of == "host":
            ports = rng.permutation(np.unique(np.concatenate([self.ports, rng.integers(1, 40_000, n)])))[: len(ts)].astype(int)
        else:
            ports = rng.choice(self.ports, n, p=self.shares) if self.shares else np.full(n, rng.choice(self.ports))
        return probes("", ts, orig, targets, ports, rng.uniform(*self.open_share), rng)

    def _targets(self, n: int, orig: str, hosts: AttackHosts, rng: np.random.Generator) -> pl.Series:
        match self.of:
            case "internet":
                return internet_hosts(n, rng)
            case "host":
                return pl.Series([pick([h for h in (*hosts.servers, *hosts.inside) if h != orig] or subnet_of(orig)[:1], rng)] * n)
            case "inside":
                near = [*hosts.inside, *hosts.servers, *subnet_of(orig)]
            case _:
                near = subnet_of(pick(hosts.inside, rng))
        near = [h for h in dict.fromkeys(near) if h != orig]
        return pl.Series([near[i % len(near)] for i in range(n)])


@dataclass(frozen=True)
class Flood:
    """Many conns to one outside service in a short time: half-open, or datagrams of one size."""

    ports: tuple[int, ...] = (80, 443)
    udp: bool = False
    spoofed: float = 0.0  # chance of a source of its own for each conn
    per_s: tuple[float, float] = (40, 600)

    def __call__(self, span: Span, hosts: AttackHosts, rng: np.random.Generator) -> Draft:
        """Return the conns of one instance."""
        n = int(rng.integers(300, MAX_ROWS + 1))
        ts = arrival_times(n, span.start + rng.uniform(0, 0.9) * span.seconds, log_uniform(*self.per_s, rng), rng)
        channel = Channel(self.ports, None, (40, 1_200), (1, 1), proto="udp" if self.udp else "tcp", spread=0.0, any_port=0.4)
        inward = bool(hosts.public) and self.spoofed > 0 and rng.random() < self.spoofed
        target = pl.Series([pick(hosts.public if inward else hosts.outside, rng)] * n)
        calls = Calls(ts, np.zeros(n, bool), np.zeros(n, bool))
        port = np.full(n, channel.port(rng))
        draft = conns(channel, calls, hosts.source(rng), target, port, rng, lossy=False)
        return replace(draft, orig_h=internet_hosts(n, rng)) if inward else draft


@dataclass(frozen=True)
class Guessing:
    """Password guessing: similar completed sessions of one service."""

    channel: Channel
    per_s: tuple[float, float] = (0.2, 12)
    tries: tuple[int, int] = (80, MAX_ROWS)

    def __call__(self, span: Span, hosts: AttackHosts, rng: np.random.Generator) -> Draft:
        """Return the conns of one instance."""
        n = _some(self.tries, rng)
        per_s = max(log_uniform(*self.per_s, rng), 1.5 * n / span.seconds)
        ts = arrival_times(n, span.start + rng.uniform(0, 0.3) * span.seconds, per_s, rng)
        outside = bool(hosts.public) and rng.random() < 0.4
        orig = pick(hosts.outside, rng) if outside else hosts.source(rng)
        targets = [h for h in (hosts.public if outside else hosts.servers) if h != orig] or subnet_of(orig)
        calls = Calls(ts, rng.random(n) < 0.97, np.zeros(n, bool))
        target = pl.Series([pick(targets, rng)] * n)
        return conns(self.channel, calls, orig, target, np.full(n, self.channel.port(rng)), rng, lossy=False)
