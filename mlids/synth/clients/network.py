"""Networks of clients of several kinds: a laptop, a home, an office with a domain, a laboratory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl

from mlids.synth.clients.chatter import chatter
from mlids.synth.clients.domain import domain, upkeep
from mlids.synth.clients.hosts import ClientDay, ClientHosts
from mlids.synth.clients.peers import bittorrent, calls, games
from mlids.synth.clients.sensor import Sensor, as_seen, draw_sensor
from mlids.synth.clients.services import backups, dead_servers, development, heartbeats, monitoring, telemetry
from mlids.synth.clients.web import browsing, cloud_sync, crawler, updates
from mlids.synth.draft import Draft, written_order


@dataclass(frozen=True)
class ClientKind:
    """One kind of client: how it is drawn, and about how many conns a host with it has on a working day."""

    draw: Callable[[ClientDay, np.ndarray], Iterator[Draft]]
    conns_a_day: int


CLIENT_KINDS: dict[str, ClientKind] = {
    "browsing": ClientKind(browsing, 550),
    "domain": ClientKind(domain, 350),
    "chatter": ClientKind(chatter, 700),
    "upkeep": ClientKind(upkeep, 200),
    "updates": ClientKind(updates, 20),
    "cloud_sync": ClientKind(cloud_sync, 600),
    "crawler": ClientKind(crawler, 15_000),
    "heartbeats": ClientKind(heartbeats, 370),
    "telemetry": ClientKind(telemetry, 550),
    "backups": ClientKind(backups, 200),
    "monitoring": ClientKind(monitoring, 4_000),
    "development": ClientKind(development, 150),
    "dead_servers": ClientKind(dead_servers, 250),
    "calls": ClientKind(calls, 25),
    "games": ClientKind(games, 450),
    "bittorrent": ClientKind(bittorrent, 1_200),
}

# By kind of network: the range from which the share of hosts with each kind of client is drawn.
Habits = Mapping[str, tuple[float, float]]
_EVERYONE: dict[str, tuple[float, float]] = {
    "browsing": (0.6, 1.0), "updates": (0.4, 1.0), "heartbeats": (0.5, 1.0), "telemetry": (0.4, 1.0), "upkeep": (0.5, 1.0), "chatter": (0.4, 1.0),
}  # fmt: skip
HABITS: dict[str, Habits] = {
    "laptop": _EVERYONE | {
        "browsing": (1.0, 1.0), "cloud_sync": (0.3, 0.8), "calls": (0.3, 0.8), "dead_servers": (0.3, 0.6), "development": (0.2, 0.5),
        "games": (0.1, 0.4), "bittorrent": (0.1, 0.4), "backups": (0.1, 0.4),
    },
    "home": _EVERYONE | {
        "cloud_sync": (0.1, 0.5), "calls": (0.1, 0.4), "games": (0.1, 0.5), "bittorrent": (0.0, 0.25), "backups": (0.0, 0.3),
        "dead_servers": (0.1, 0.4), "monitoring": (0.0, 0.06),
    },
    "office": _EVERYONE | {
        "domain": (0.8, 1.0), "cloud_sync": (0.1, 0.6), "calls": (0.1, 0.5), "backups": (0.0, 0.15), "monitoring": (0.0, 0.05),
        "dead_servers": (0.05, 0.3), "crawler": (0.0, 0.02), "development": (0.0, 0.1), "games": (0.0, 0.02), "bittorrent": (0.0, 0.03),
    },
    "laboratory": _EVERYONE | {
        "crawler": (0.2, 0.7), "development": (0.5, 1.0), "backups": (0.2, 0.6), "monitoring": (0.2, 0.7), "dead_servers": (0.2, 0.6),
        "cloud_sync": (0.0, 0.4), "bittorrent": (0.0, 0.4), "domain": (0.0, 0.4), "calls": (0.0, 0.3),
    },
}  # fmt: skip
# Smallest and largest number of hosts, and the share of the networks that have domain controllers.
_SIZES = {"laptop": (1, 1, 0.0), "home": (5, 12, 0.0), "office": (8, 24, 1.0), "laboratory": (1, 4, 0.4)}


class ClientTraffic:
    """The client conns of some hosts. The same seed and hosts give the same rows for each day, whatever the order of days.

    `most` limits the conns of a day: then a part of the hosts has a part of the kinds, each at its own rate.
    """

    def __init__(self, net: ClientHosts, habits: Habits, sensor: Sensor | None = None) -> None:
        self.net, self._sensor = net, sensor
        rng = np.random.default_rng([net.seed, 26])
        n = len(net.hosts)
        shares = {kind: rng.uniform(*habits.get(kind, (0.0, 0.0))) for kind in CLIENT_KINDS}
        self._has = {kind: rng.permutation(np.flatnonzero(rng.random(n) < shares[kind])) for kind in CLIENT_KINDS}

    def plan(self, most: float | None = None) -> tuple[dict[str, np.ndarray], int]:
        """Return the hosts (indices) of each kind of client, and about how many conns they have on a working day.

        Where `most` does not hold them all, each kind gets its first host before any gets its second.
        """
        if most is None:
            return self._has, sum(len(who) * CLIENT_KINDS[kind].conns_a_day for kind, who in self._has.items())
        left, taken = most, dict.fromkeys(CLIENT_KINDS, 0)
        for place in range(max(map(len, self._has.values()))):
            for kind, who in self._has.items():
                rate = CLIENT_KINDS[kind].conns_a_day
                if place < len(who) and taken[kind] == place and rate <= min(left, most / 4):
                    left, taken[kind] = left - rate, place + 1
        return {kind: who[: taken[kind]] for kind, who in self._has.items()}, int(most - left)

    def parts(self, day: date, most: float | None = None) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield each kind of client and its rows of a UTC day, with a `label` column of nulls (benign), in no order."""
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        today = ClientDay(self.net, start.timestamp(), day.toordinal(), day.weekday() >= 5)
        inside = (pl.col("ts") >= start) & (pl.col("ts") < start + timedelta(days=1))
        for number, (kind, hosts) in enumerate(self.plan(most)[0].items()):
            who = np.sort(hosts)
            if not len(who):
                continue
            rng = np.random.default_rng([self.net.seed, 27, day.toordinal(), number])
            frames = [draft.frame(rng) for draft in CLIENT_KINDS[kind].draw(today, who) if len(draft.ts)]
            if frames:
                rows = pl.concat(frames).filter(inside)
                if most is not None:
                    rows = _some_hours(rows, int(1.5 * len(who) * CLIENT_KINDS[kind].conns_a_day), rng)
                yield kind, rows if self._sensor is None else as_seen(rows, self._sensor, rng, today.start)


def _some_hours(rows: pl.DataFrame, most: int, rng: np.random.Generator) -> pl.DataFrame:
    """Return at most `most` rows that follow each other in time: of clients that have far more conns than usual, some hours."""
    if rows.height <= most:
        return rows
    return rows.sort("ts", maintain_order=True).slice(int(rng.integers(0, rows.height - most)), most)


class ClientNetwork(ClientTraffic):
    """A synthetic network of clients alone, of one of the kinds of HABITS, behind a sensor with faults of its own."""

    def __init__(self, seed: int, kind: str) -> None:
        rng = np.random.default_rng([seed, 28])
        low, high, with_domain = _SIZES[kind]
        n, net = int(rng.integers(low, high + 1)), f"192.168.{rng.integers(0, 255)}"
        prefix = str(rng.choice([f"fd{rng.integers(16, 256):02x}:{seed % 0xFFFF:x}", "2001:db8"]))
        last = rng.permutation(np.arange(10, 250))
        domain_there = rng.random() < with_domain
        directory = [f"{net}.{2 + i}" for i in range(2)] if domain_there else []
        resolvers = directory or [str(rng.choice([f"{net}.1", "9.9.9.9", "8.8.4.4"])), "1.1.1.1"]
        super().__init__(
            ClientHosts(
                seed, [f"{net}.{last[i]}" for i in range(n)], [f"{prefix}::{last[i]:x}" for i in range(n)], resolvers, f"{net}.1",
                office=kind == "office", servers=[f"{net}.{4 + i}" for i in range(4 if kind == "office" else 1)], directory=directory,
            ),
            HABITS[kind], draw_sensor(seed),
        )  # fmt: skip

    def day(self, day: date) -> pl.DataFrame:
        """Return the conns of one UTC day, in the order Zeek writes them."""
        return written_order(pl.concat([rows for _, rows in self.parts(day)]))
