"""Drafts of implants that call a server: by short calls, by long sessions, or by datagrams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from mlids.synth.draft import Draft, joined, text
from mlids.synth.hosts import AttackHosts, log_uniform, pick, subnet_of
from mlids.synth.profiles.base import MAX_ROWS, DraftOf, Span
from mlids.synth.profiles.channel import Channel, Ends, conns
from mlids.synth.profiles.pace import Calls, Pace

DOWNLOAD = Channel((80, 443, 8000, 8080), "http", (90, 400), (60_000, 3_000_000), (0.2, 12), spread=0.0)
SESSION_ENDS: Ends = (
    ("SF", "ShADadFf", 0.35),
    ("RSTR", "ShADadr", 0.3),
    ("RSTO", "ShADadR", 0.2),
    ("S1", "ShADad", 0.1),
    ("S3", "ShADadf", 0.05),
)


def one_call(at: float) -> Calls:
    """Return a single answered call."""
    return Calls(np.array([at]), np.array([True]), np.array([False]))


def neighbour(host: str, hosts: AttackHosts, rng: np.random.Generator) -> str:
    """Return another inside host."""
    others = [h for h in (*hosts.inside, *hosts.servers) if h != host] or [h for h in subnet_of(host) if h != host]
    return pick(others, rng)


@dataclass(frozen=True)
class Beacon:
    """Short calls at a pace, to one server or to several.

    With `turn`, an implant goes on to the next server after a few calls; else it falls back to the next one when a
    server does not answer. `stage` is a download before the first call, with a chance of one half. `inside`: the
    server is another inside host, which passes the calls on.
    """

    pace: Pace
    channel: Channel
    servers: int = 1
    turn: bool = False
    stage: Channel | None = None
    inside: bool = False
    lossy: bool = True

    def __call__(self, span: Span, hosts: AttackHosts, rng: np.random.Generator) -> Draft:
        """Return the conns of one instance."""
        orig = hosts.source(rng)
        calls = self.pace.calls(span, rng, MAX_ROWS - 1)
        n = int(rng.integers(1, self.servers + 1)) if self.servers > 1 else 1
        names = [neighbour(orig, hosts, rng) if self.inside else pick(hosts.outside, rng) for _ in range(n)]
        ports = np.array([self.channel.port(rng) for _ in range(n)] if self.turn else [self.channel.port(rng)] * n)
        at = self._server(calls, n, rng)
        parts = [conns(self.channel, calls, orig, pl.Series(names).gather(at), ports[at], rng, lossy=self.lossy)]
        if self.stage is not None and rng.random() < 0.5:
            resp, port = pick([*names, *hosts.outside], rng), self.stage.port(rng)
            first = one_call(max(span.start, calls.ts[0] - rng.uniform(2, 120)))
            parts.append(conns(self.stage, first, orig, text(resp, 1), np.array([port]), rng, lossy=False))
        return joined(parts)

    def _server(self, calls: Calls, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return which server each call goes to, int[calls]."""
        if self.turn:
            return np.cumsum(rng.random(len(calls.ts)) < rng.uniform(0.1, 1.0)) % n
        down = np.flatnonzero(~calls.answered)
        return np.where(calls.ts > calls.ts[down[len(down) // 2]], 1 % n, 0) if len(down) else np.zeros(len(calls.ts), int)


@dataclass(frozen=True)
class Sessions:
    """Long connections with keep-alives, after each of which the client connects anew, often in vain at first.

    `lasts` and `pause` are seconds, scaled down in short captures; `keepalive` is seconds between messages of
    `message` bytes up and down; `tries` is the mean number of unanswered connections before a session. `fewest`
    sessions there are at least.
    """

    ports: tuple[int, ...]
    lasts: tuple[float, float]
    keepalive: tuple[float, float]
    message: tuple[float, float] = (1, 60)
    service: str | None = None
    pause: tuple[float, float] = (1, 60)
    tries: float = 2.0
    every_try: tuple[float, float] = (2, 60)
    any_port: float = 0.3
    servers: int = 1
    inside: bool = False
    hello: tuple[float, float] = (60, 3_000)
    task: float = 0.2  # share of sessions with a command's output or a file
    fewest: int = 8
    ends: Ends = SESSION_ENDS

    def __call__(self, span: Span, hosts: AttackHosts, rng: np.random.Generator) -> Draft:
        """Return the conns of one instance."""
        orig = hosts.source(rng)
        starts, lasted, tries = self._times(span, rng)
        names = [neighbour(orig, hosts, rng) if self.inside else pick(hosts.outside, rng) for _ in range(self.servers)]
        port = Channel(self.ports, None, (1, 1), (1, 1), any_port=self.any_port).port(rng)
        calls = Calls(
            np.concatenate([starts, tries]), np.arange(len(starts) + len(tries)) < len(starts), np.zeros(len(starts) + len(tries), bool)
        )
        resp = pl.Series(names).gather(rng.integers(0, len(names), len(calls.ts)))
        channel = Channel((port,), self.service, self.hello, self.hello, ends=self.ends)
        draft = conns(channel, calls, orig, resp, np.full(len(calls.ts), port), rng)
        self._fill(draft, lasted, len(starts), rng)
        return joined([draft])

    def _times(self, span: Span, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return starts and lengths of sessions, and the times of unanswered tries."""
        scale = min(1.0, span.seconds / (self.fewest * (np.sqrt(self.lasts[0] * self.lasts[1]) + self.pause[1])))
        typical = log_uniform(*self.lasts, rng) * scale
        lasted = np.minimum(typical * rng.lognormal(0, rng.uniform(0.1, 0.9), 60), span.seconds / 2)
        tries = rng.poisson(self.tries * rng.uniform(0.0, 2.0), 60)
        gap = log_uniform(*self.every_try, rng) * max(scale, 0.05)
        pause = np.exp(rng.uniform(np.log(self.pause[0]), np.log(self.pause[1]), 60)) * max(scale, 0.05)
        starts = span.start + rng.uniform(0, 0.1) * span.seconds + np.concatenate([[0.0], np.cumsum(lasted + pause + tries * gap)[:-1]])
        kept = np.flatnonzero(starts < span.end)
        starts = starts[kept]
        again = [s - gap * np.arange(1, k + 1) * rng.uniform(0.95, 1.05, k) for s, k in zip(starts, tries[kept], strict=True)]
        waiting = np.concatenate([np.zeros(0), *again])
        waiting = waiting[waiting >= span.start][: MAX_ROWS - len(starts)]
        return starts, lasted[kept], waiting

    def _fill(self, draft: Draft, lasted: np.ndarray, n: int, rng: np.random.Generator) -> None:
        """Give the first n conns of a draft the length and the bytes of sessions."""
        beats = np.maximum(lasted / log_uniform(*self.keepalive, rng), 1.0)
        up, down = log_uniform(*self.message, rng), log_uniform(*self.message, rng)
        seen_o, seen_r = draft.orig_pkts[:n] > 0, draft.resp_pkts[:n] > 0  # a capture may miss one direction
        work = np.where(rng.random(n) < self.task, np.exp(rng.uniform(np.log(1e3), np.log(3e6), n)), 0.0)
        draft.duration[:n] = lasted
        draft.orig_bytes[:n] = np.where(seen_o, draft.orig_bytes[:n] + np.round(beats * up + work), 0)
        draft.resp_bytes[:n] = np.where(seen_r, draft.resp_bytes[:n] + np.round(beats * down), 0)
        draft.orig_pkts[:n] = np.where(seen_o, draft.orig_pkts[:n] + np.ceil(beats * max(up / 1_380, 1)) + np.ceil(work / 1_380), 0)
        draft.resp_pkts[:n] = np.where(seen_r, draft.resp_pkts[:n] + np.ceil(beats * max(down / 1_380, 1)), 0)


@dataclass(frozen=True)
class Both:
    """Several drafts of one infected host, which share its server: a control channel and what else the implant does."""

    parts: Sequence[DraftOf]

    def __call__(self, span: Span, hosts: AttackHosts, rng: np.random.Generator) -> Draft:
        """Return the conns of all parts, thinned so that together they are at most MAX_ROWS."""
        few = replace(hosts, infected=hosts.source(rng), outside=[pick(hosts.outside, rng)])
        drafts = [part(span, few, rng) for part in self.parts]
        most = MAX_ROWS // len(drafts)
        return joined([first_rows(d, most) for d in drafts])


def first_rows(draft: Draft, n: int) -> Draft:
    """Return the first n conns of a draft."""
    columns: dict[str, Any] = {name: column[:n] for name, column in vars(draft).items() if isinstance(column, (np.ndarray, pl.Series))}
    return replace(draft, **columns)
