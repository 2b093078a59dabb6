"""Drafts of what follows an intrusion: commands on other inside hosts, queries that carry data, uploads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from mlids.synth.draft import Draft, joined
from mlids.synth.hosts import AttackHosts, log_uniform, pick, subnet_of
from mlids.synth.profiles.base import MAX_ROWS, Span
from mlids.synth.profiles.channel import RESET_ENDS, Channel, conns
from mlids.synth.profiles.pace import Calls


@dataclass(frozen=True)
class RemoteExecution:
    """One inside host runs commands on others: for each target and command a conn over every channel, in order.

    `targets` and `commands` are ranges; a channel without ports uses one high port for each target, as DCE-RPC does.
    `wait` is seconds between targets.
    """

    steps: tuple[Channel, ...]
    targets: tuple[int, int] = (2, 12)
    commands: tuple[int, int] = (1, 8)
    wait: tuple[float, float] = (5, 600)
    failed: tuple[float, float] = (0.0, 0.3)  # share of targets that do not answer
    to_servers: bool = False

    def __call__(self, span: Span, hosts: AttackHosts, rng: np.random.Generator) -> Draft:
        """Return the conns of one instance."""
        orig = hosts.source(rng)
        chosen = self._chosen(orig, hosts, rng)
        commands = int(rng.integers(self.commands[0], self.commands[1] + 1))
        commands = min(max(commands, -(-8 // (len(chosen) * len(self.steps)))), MAX_ROWS // (len(chosen) * len(self.steps)) or 1)
        wait = min(log_uniform(*self.wait, rng), 0.8 * span.seconds / (len(chosen) * commands))
        n = len(chosen) * commands
        at = span.start + rng.uniform(0, 0.2) * span.seconds + np.cumsum(wait * rng.lognormal(0, 0.5, n))
        target = np.repeat(np.arange(len(chosen)), commands)
        silent = (rng.random(len(chosen)) < rng.uniform(*self.failed))[target]
        parts = []
        for number, step in enumerate(self.steps):
            high = rng.integers(49_152, 49_152 + 600, len(chosen)) if not step.ports else np.full(len(chosen), step.port(rng))
            rows = ~silent if number else np.ones(n, bool)  # a host that does not answer gets the first step only
            if rows.any():
                calls = Calls(at[rows] + number * rng.uniform(0.01, 0.3), ~silent[rows], rng.random(int(rows.sum())) < 0.2)
                parts.append(conns(step, calls, orig, pl.Series(chosen).gather(target[rows]), high[target[rows]], rng))
        return joined(parts)

    def _chosen(self, orig: str, hosts: AttackHosts, rng: np.random.Generator) -> list[str]:
        others = [h for h in (hosts.servers if self.to_servers else (*hosts.inside, *hosts.servers)) if h != orig]
        others = others or [h for h in subnet_of(orig) if h != orig]
        count = int(rng.integers(self.targets[0], self.targets[1] + 1))
        return [others[i] for i in rng.permutation(len(others))[:count]]


SMB = Channel((445,), "gssapi,smb,ntlm", (2_000, 40_000), (1_500, 20_000), (0.3, 15), ends=RESET_ENDS)
ENDPOINT_MAPPER = Channel((135,), "dce_rpc", (300, 1_500), (250, 900), (0.05, 25), ends=RESET_ENDS)
DCE_RPC = Channel((), "dce_rpc", (1_500, 30_000), (1_500, 60_000), (0.02, 30), ends=RESET_ENDS)


@dataclass(frozen=True)
class Tunnel:
    """Queries that carry data. Tools that keep one socket leave few conns of very many queries, others one conn a query.

    `query` and `answer` are payload bytes of one message, `per_s` queries a second, `idle` seconds between queries
    while nothing is sent. `one_socket` is the chance that the tool keeps its socket, for `lasts` seconds at a time.
    """

    query: tuple[float, float]
    answer: tuple[float, float]
    per_s: tuple[float, float]
    one_socket: float
    lasts: tuple[float, float] = (30, 2_000)
    spread: float = 0.6

    def __call__(self, span: Span, hosts: AttackHosts, rng: np.random.Generator) -> Draft:
        """Return the conns of one instance."""
        orig = hosts.source(rng)
        resolver = pick([h for h in hosts.servers if h != orig] or hosts.outside, rng) if rng.random() < 0.5 else pick(hosts.outside, rng)
        per_s = log_uniform(*self.per_s, rng)
        kept = rng.random() < self.one_socket
        n = int(rng.integers(6, 25)) if kept else int(rng.integers(80, MAX_ROWS + 1))
        lasted = np.minimum(log_uniform(*self.lasts, rng) * rng.lognormal(0, 0.5, n), 0.9 * span.seconds / n) if kept else np.zeros(n)
        per_s = per_s if kept else max(per_s, 1.2 * n / span.seconds)
        gaps = lasted + rng.exponential(1 / per_s, n) if kept else rng.exponential(1 / per_s, n)
        ts = span.start + rng.uniform(0, max(span.seconds - gaps.sum(), 0)) + np.concatenate([[0.0], np.cumsum(gaps)[:-1]])
        channel = Channel((53,), "dns", self.query, self.answer, (0.01, 0.4), "udp", spread=self.spread, task=(1, 2))
        draft = conns(channel, Calls(ts, np.ones(n, bool), np.zeros(n, bool)), orig, pl.Series([resolver] * n), np.full(n, 53), rng)
        if kept:
            queries = np.maximum(np.floor(lasted * per_s * rng.uniform(0.6, 1.0, n)), 2)
            draft.duration, draft.orig_pkts, draft.resp_pkts = np.maximum(lasted, 0.05), queries, queries
            draft.orig_bytes, draft.resp_bytes = draft.orig_bytes * queries, draft.resp_bytes * queries
        return draft


@dataclass(frozen=True)
class Upload:
    """Data carried out in conns of unequal sizes. `total` is bytes, `conns` their number, `rate` bytes a second."""

    channel: Channel
    total: tuple[float, float]
    conns: tuple[int, int]
    rate: tuple[float, float] = (1e5, 1.2e7)
    wait: tuple[float, float] = (1, 60)  # seconds between conns

    def __call__(self, span: Span, hosts: AttackHosts, rng: np.random.Generator) -> Draft:
        """Return the conns of one instance."""
        n = int(rng.integers(self.conns[0], self.conns[1] + 1))
        rate = log_uniform(*self.rate, rng)
        wait = min(log_uniform(*self.wait, rng), 0.3 * span.seconds / n)
        total = min(log_uniform(*self.total, rng), 0.5 * span.seconds * rate)
        sizes = np.ceil(rng.dirichlet(np.full(n, 2.0)) * total) + 1
        lasted = sizes / rate * rng.lognormal(0, 0.1, n)
        gaps = lasted + rng.exponential(wait, n)
        ts = span.start + rng.uniform(0, max(span.seconds - gaps.sum(), 0)) + np.concatenate([[0.0], np.cumsum(gaps)[:-1]])
        resp, port = pl.Series([pick(hosts.outside, rng)] * n), np.full(n, self.channel.port(rng))
        draft = conns(self.channel, Calls(ts, np.ones(n, bool), np.zeros(n, bool)), hosts.source(rng), resp, port, rng, lossy=False)
        draft.orig_bytes = draft.orig_bytes + sizes
        draft.orig_pkts = draft.orig_pkts + np.ceil(sizes / 1_380)
        draft.resp_pkts = draft.resp_pkts + np.ceil(sizes / 2_800)
        draft.duration = draft.duration + lasted
        return draft
