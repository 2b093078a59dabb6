"""Random draws that synthetic traffic is made of: addresses, choices, times and sizes, all as arrays."""

from __future__ import annotations

import numpy as np

DAY_S = 86_400
# Relative activity by hour of day: office hours with a lunch break, a household's evenings, and no hours at all.
OFFICE = np.array([2, 1, 1, 1, 1, 2, 5, 22, 70, 95, 100, 96, 70, 85, 98, 96, 88, 62, 30, 15, 10, 7, 5, 3], float)
HOME = np.array([20, 8, 4, 2, 2, 3, 12, 30, 34, 26, 26, 28, 34, 32, 30, 34, 44, 62, 76, 92, 100, 96, 76, 44], float)
ALWAYS = np.ones(24)
_LARGEST = 5e11


def internet_addresses(n: int, rng: np.random.Generator) -> list[str]:
    """Return n random Internet addresses, none in a private or reserved range."""
    first = rng.choice([a for a in range(20, 190) if a not in {100, 127, 169, 172}], n)
    rest = rng.integers(1, 255, (n, 3))
    return [f"{a}.{b}.{c}.{d}" for a, (b, c, d) in zip(first, rest, strict=True)]


def internet_addresses6(n: int, rng: np.random.Generator) -> list[str]:
    """Return n random global IPv6 addresses."""
    parts = rng.integers(1, 0xFFFF, (n, 4))
    return [f"2{0x600 + a % 0x400:03x}:{b:x}:{c:x}::{d:x}" for a, b, c, d in parts]


def zipf_weights(n: int, rng: np.random.Generator, power: float) -> np.ndarray:
    """Return n weights 1, 1/2^power, 1/3^power, … in random order."""
    weights = 1.0 / np.arange(1, n + 1) ** power
    rng.shuffle(weights)
    return weights


def weighted_choice(weights: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n indices into `weights`, each with a probability proportional to its weight."""
    bounds = np.cumsum(weights) / weights.sum()
    return np.minimum(np.searchsorted(bounds, rng.random(n), side="right"), len(weights) - 1)


def draw_times(n: int, hourly: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return n seconds of day; `hourly` is the relative activity of each hour."""
    return 3600.0 * weighted_choice(hourly, n, rng) + rng.uniform(0, 3600, n)


def lognormal(shape: tuple[float, float], n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n draws of the given median and sigma, at most 5e11; zeros where the median is 0."""
    median, sigma = shape
    if median <= 0:
        return np.zeros(n)
    return np.minimum(median * np.exp(sigma * rng.standard_normal(n, np.float32)), _LARGEST)


def log_uniform(low: float, high: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n draws whose logarithms are uniform between those of `low` and `high`."""
    return np.exp(rng.uniform(np.log(low), np.log(high), n))


def within(group: np.ndarray) -> np.ndarray:
    """Return each element's place among the equal elements of a sorted array: 0, 1, 2, …"""
    return np.arange(len(group)) - np.searchsorted(group, group)
