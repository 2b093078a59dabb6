"""Writes a synthetic site as a sensor's log folder in zeekctl's layout, with the labels of implanted attacks in a file of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from mlids.synth.attacks import SCENARIOS, AttackHosts
from mlids.synth.draft import CONN_NAMES, written_order
from mlids.synth.site import Site
from mlids.window import Window, day_window
from mlids.window import zone as zone_named
from mlids.zeek.types import ended
from mlids.zeek.writer import write_log


@dataclass(frozen=True)
class ImplantedAttack:
    """One implanted attack: its scenario, its start, its source addresses and the uids of its conns."""

    attack: str
    start: str  # ISO 8601, UTC
    sources: list[str]  # at most 20
    uids: list[str]


def attack_hosts(site: Site) -> AttackHosts:
    """Return the hosts that attacks at a synthetic site may use."""
    rng = np.random.default_rng([site.seed, 9])
    outside = [f"203.0.113.{n}" for n in rng.permutation(np.arange(2, 250))[:60]]
    return AttackHosts(site.office, site.servers, site.public, outside)


def attack_rows(
    site: Site, names: Sequence[str], window: Window, rng: np.random.Generator
) -> Iterator[tuple[pl.DataFrame, ImplantedAttack]]:
    """Yield the conns of each named attack. It starts at a random time of the window; conns past the window's end are dropped."""
    hosts = attack_hosts(site)
    span = (window.end - window.start).total_seconds()
    for name in names:
        start = window.start.timestamp() + rng.uniform(0.02, 0.75) * span
        frame = SCENARIOS[name](start, hosts, rng).frame(rng)
        frame = frame.filter(pl.col("ts") < window.end)
        began = datetime.fromtimestamp(start, UTC).isoformat(timespec="seconds")
        sources = frame["id.orig_h"].unique().sort().to_list()[:20]
        yield frame, ImplantedAttack(name, began, sources, frame["uid"].to_list())


def day_with_attacks(
    site: Site, day: date, flows: int, attacks: Sequence[str], zone: str = "UTC"
) -> tuple[pl.DataFrame, list[ImplantedAttack]]:
    """Return one day's conns in the order Zeek writes them, with a `label` column (null: benign), and the implanted attacks."""
    window = day_window(day, zone)
    rng = np.random.default_rng([site.seed, 2, day.toordinal()])
    parts = [site.day(day, flows)]
    implanted = []
    for frame, attack in attack_rows(site, attacks, window, rng):
        parts.append(frame)
        implanted.append(attack)
    rows = pl.concat(parts)
    # An archived day holds the conns that ended in it.
    left = (pl.lit(window.end) - pl.col("ts")).dt.total_microseconds() / 1e6 - 0.001
    within = pl.min_horizontal("duration", left).clip(0.0).round(6)
    rows = rows.with_columns(duration=pl.when(pl.col("duration").is_not_null()).then(within))
    return written_order(rows), implanted


def write_days(
    out: Path, site: Site, days: Sequence[date], *, flows: int, attacks_per_day: float = 1.0,
    form: str = "tsv", zone: str = "UTC", suffix: str = ".log.gz", dns: bool = True,
) -> Iterator[tuple[date, int, list[ImplantedAttack]]]:  # fmt: skip
    """Write whole days below `out/YYYY-MM-DD/`; yield each day, its number of conns and its implanted attacks.

    Scenarios are used in turn, so that two weeks hold every one of them at least once.
    """
    names = [name for name in SCENARIOS if name != "inbound_probes"]  # a site's background noise has many of these
    assigned = 0.0
    for number, day in enumerate(days):
        count = int(assigned + attacks_per_day) - int(assigned)
        today = [names[(int(assigned) + i) % len(names)] for i in range(count)]
        assigned += attacks_per_day
        rows, implanted = day_with_attacks(site, day, flows, today, zone)
        folder = out / day.isoformat()

        def write_hour(hour: tuple[datetime, datetime, pl.DataFrame], folder: Path = folder, number: int = number) -> None:
            start, end, part = hour
            span = f"{_local(start, zone)}-{_local(end, zone)}"
            logs = {"conn": part.select(CONN_NAMES)} | ({"dns": _dns(part, site.seed + number)} if dns else {})
            for log, frame in logs.items():
                write_log(folder / f"{log}.{span}{suffix}", frame, log=log, form=form, opened=start, closed=end)

        with ThreadPoolExecutor(2) as pool:  # one hour is compressed while the next is written
            list(pool.map(write_hour, _hours(rows, day_window(day, zone))))
        yield day, rows.height, implanted


def _local(when: datetime, zone: str) -> str:
    return when.astimezone(zone_named(zone)).strftime("%H:00:00")


def _hours(rows: pl.DataFrame, window: Window) -> Iterator[tuple[datetime, datetime, pl.DataFrame]]:
    """Yield start, end and rows of each hour of the window; the last hour has the rest of the rows."""
    ends = rows.select(ended()).to_series()
    start, at = window.start, 0
    while start < window.end:
        end = start + timedelta(hours=1)
        upto = int((ends < end).sum()) if end < window.end else rows.height
        yield start, end, rows.slice(at, upto - at)
        start, at = end, upto


def _dns(conns: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return the dns.log rows of a frame's DNS conns: one query each, long random names for `dns_tunnel` attacks."""
    rows = conns.filter(pl.col("service") == "dns", pl.col("id.resp_p") == 53)
    rng = np.random.default_rng([seed, 3])
    n = rows.height
    words = pl.Series(["www", "mail", "cdn", "api", "img", "login", "static", "update", "news", "files"])
    zones = pl.Series([f"example-{i}.com" for i in range(300)])
    ordinary = words.gather(rng.integers(0, len(words), n)) + "." + zones.gather(rng.integers(0, len(zones), n))
    encoded = rows["uid"].str.slice(1).str.to_lowercase() + rows["uid"].reverse().str.slice(1).str.to_lowercase() + ".t.example.net"
    tunnel = (rows["label"] == "dns_tunnel").fill_null(False)
    failed = pl.Series(rng.random(n) < 0.04)
    return rows.select(
        "ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto",
        trans_id=pl.Series(rng.integers(0, 65536, n), dtype=pl.UInt64),
        rtt=pl.col("duration"),
        query=pl.when(tunnel).then(encoded).otherwise(ordinary),
        qclass=pl.lit(1, pl.UInt64), qtype=pl.lit(1, pl.UInt64), qtype_name=pl.lit("A"),
        rcode=pl.when(failed).then(3).otherwise(0).cast(pl.UInt64),
        rcode_name=pl.when(failed).then(pl.lit("NXDOMAIN")).otherwise(pl.lit("NOERROR")),
        AA=pl.lit(False), rejected=pl.lit(False),
        answers=pl.when(~failed).then(pl.concat_list("id.resp_h")),
    )  # fmt: skip


def save_labels(path: Path, implanted: Sequence[ImplantedAttack]) -> None:
    """Append the implanted attacks to a JSON lines file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as out:
        for attack in implanted:
            out.write(json.dumps(asdict(attack)) + "\n")


def load_labels(path: Path) -> list[ImplantedAttack]:
    """Return the implanted attacks that `save_labels` wrote."""
    return [ImplantedAttack(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines() if line]
