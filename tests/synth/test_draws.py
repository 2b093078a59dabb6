"""Draws have the ranges and shapes that they promise."""

from __future__ import annotations

import ipaddress

import numpy as np

from mlids.synth.draws import HOME, draw_times, internet_addresses, internet_addresses6, log_uniform, lognormal, within


def test_internet_addresses_are_global() -> None:
    rng = np.random.default_rng(1)
    for address in (*internet_addresses(500, rng), *internet_addresses6(500, rng)):
        assert ipaddress.ip_address(address).is_global, address


def test_within_counts_in_each_group() -> None:
    assert within(np.array([3, 3, 3, 5, 9, 9])).tolist() == [0, 1, 2, 0, 0, 1]


def test_sizes_and_times_have_their_ranges() -> None:
    rng = np.random.default_rng(2)
    assert 900 < np.median(lognormal((1_000, 1.0), 4_000, rng)) < 1_100 and not lognormal((0, 1), 5, rng).any()
    drawn = log_uniform(10, 1_000, 4_000, rng)
    assert drawn.min() >= 10 and drawn.max() <= 1_000 and 85 < np.median(drawn) < 118
    hours = np.bincount((draw_times(20_000, HOME, rng) // 3600).astype(int), minlength=24)
    assert hours.argmax() in {19, 20, 21} and hours[4] < 0.1 * hours.max()
