"""Benign devices that resemble what attacks do: a printer and a NAS with certificates of their own, and a phone with odd ports.

Sites with intrusions have them (see `archive.day_with_attacks`); their other rows are made as those of all benign conns.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import polars as pl

from mlids.synth.draws import DAY_S, OFFICE, draw_times
from mlids.synth.profiles.channel import Channel, conns
from mlids.synth.profiles.pace import Calls
from mlids.synth.site import Site

_PRINT = Channel((443, 631), "ssl", (900, 9_000), (1_500, 6_000), (0.2, 4), spread=0.9)
_NAS = Channel((5001,), "ssl", (800, 60_000), (4_000, 900_000), (1, 90), spread=0.9)
_PHONE = Channel((5228, 5242, 4244, 8883), "ssl", (600, 4_000), (800, 9_000), (20, 900), spread=0.6)


def printer(site: Site) -> str:
    """Return the address of the printer."""
    return f"{site.servers[0].rsplit('.', 2)[0]}.240.9"


def nas(site: Site) -> str:
    """Return the address of the NAS."""
    return f"{site.servers[0].rsplit('.', 2)[0]}.240.20"


def phone(site: Site) -> str:
    """Return the address of the phone."""
    return f"{site.servers[0].rsplit('.', 2)[0]}.240.77"


def device_conns(site: Site, day: date) -> pl.DataFrame:
    """Return the conns of the devices on a UTC day, with a `label` column of nulls, in no order."""
    rng = np.random.default_rng([site.seed, 32, day.toordinal()])
    start, users = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp(), np.random.default_rng([site.seed, 33])
    frames = []
    for address, channel, hosts, each in ((printer(site), _PRINT, 9, 5), (nas(site), _NAS, 6, 8)):
        for host in users.choice(site.office, min(hosts, len(site.office)), replace=False):
            n = int(rng.poisson(each)) + 1
            calls = Calls(np.sort(start + draw_times(n, OFFICE, rng)), np.ones(n, bool), np.zeros(n, bool))
            draft = conns(channel, calls, str(host), pl.Series([address] * n), np.full(n, channel.ports[0]), rng, lossy=False)
            frames.append(draft.frame(rng))
    for port in _PHONE.ports:
        calls = Calls(
            np.arange(start + rng.uniform(0, 900), start + DAY_S - 1, rng.uniform(900, 1_900)), np.ones(0, bool), np.ones(0, bool)
        )
        n, server = len(calls.ts), site.web[int(users.integers(0, len(site.web)))]
        calls = Calls(calls.ts, np.ones(n, bool), np.zeros(n, bool))
        frames.append(conns(_PHONE, calls, phone(site), pl.Series([server] * n), np.full(n, port), rng, lossy=False).frame(rng))
    return pl.concat(frames)
