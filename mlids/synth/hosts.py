"""Hosts that attacks may use, and draws that attacks have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl


@dataclass(frozen=True)
class AttackHosts:
    """Addresses that an attack may use: inside hosts, inside servers, the site's public addresses (may be empty), outside hosts.

    `infected` is the inside host that a profile's attack comes from; without it, any inside host.
    """

    inside: list[str]
    servers: list[str]
    public: list[str]
    outside: list[str]
    infected: str | None = None

    def source(self, rng: np.random.Generator) -> str:
        """Return the inside host that an attack comes from."""
        return self.infected or pick(self.inside, rng)


def pick(values: Sequence[str], rng: np.random.Generator) -> str:
    """Return one of the values."""
    return values[int(rng.integers(0, len(values)))]


def subnet_of(host: str) -> list[str]:
    """Return the 254 addresses of a host's /24, or as many with the same IPv6 prefix."""
    if ":" in host:
        return [f"{host.rsplit(':', 1)[0]}:{i:x}" for i in range(1, 255)]
    return [f"{host.rsplit('.', 1)[0]}.{i}" for i in range(1, 255)]


def internet_hosts(n: int, rng: np.random.Generator) -> pl.Series:
    """Return n random Internet addresses, none in a private range."""
    parts = rng.integers(1, 255, (n, 4))
    first = np.where(np.isin(parts[:, 0] % 223 + 1, [10, 127, 169, 172, 192]), 45, parts[:, 0] % 223 + 1)
    return pl.Series([f"{a}.{b}.{c}.{d}" for a, (_, b, c, d) in zip(first, parts, strict=True)])


def arrival_times(n: int, start: float, per_s: float, rng: np.random.Generator) -> np.ndarray:
    """Return n times in epoch seconds with exponential gaps, `per_s` a second."""
    return start + np.cumsum(rng.exponential(1.0 / per_s, n))


def log_uniform(low: float, high: float, rng: np.random.Generator) -> float:
    """Return a draw from a wide range: sizes depend on the attacker's tool, and no model should learn a typical one."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
