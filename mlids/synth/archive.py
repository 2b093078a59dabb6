"""Writes a synthetic site as a sensor's log folder in zeekctl's layout, with the labels of implanted attacks in a file of their own."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import repeat
from pathlib import Path

import numpy as np
import polars as pl

from mlids.synth.draft import CONN_NAMES, written, written_order
from mlids.synth.hosts import AttackHosts
from mlids.synth.intrusions import INTRUSIONS, profile_named
from mlids.synth.ordinary.day import OTHER_LOGS, DayLogs, hourly
from mlids.synth.ordinary.devices import device_conns
from mlids.synth.profiles.base import Logs, Profile, Span
from mlids.synth.profiles.registry import CLASSES, kept_aside, pick_kept_aside
from mlids.synth.site import Site
from mlids.window import Window, day_window
from mlids.window import zone as zone_named
from mlids.zeek.types import DNS
from mlids.zeek.writer import write_log

_NO_DNS = pl.DataFrame(schema={c.name: c.dtype for c in DNS})


@dataclass(frozen=True)
class ImplantedAttack:
    """One attack in a synthetic site: its class, its start, its source addresses, the uids of its conns, and its profile."""

    attack: str
    start: str  # ISO 8601, UTC
    sources: list[str]  # at most 20
    uids: list[str]
    profile: str = ""


def attack_hosts(site: Site) -> AttackHosts:
    """Return the hosts that attacks at a synthetic site may use."""
    rng = np.random.default_rng([site.seed, 9])
    outside = [f"203.0.113.{n}" for n in rng.permutation(np.arange(2, 250))[:60]]
    return AttackHosts(site.office, site.servers, site.public, outside)


def attack_rows(
    site: Site, names: Sequence[str], window: Window, rng: np.random.Generator
) -> Iterator[tuple[pl.DataFrame, ImplantedAttack]]:
    """Yield the conns of an attack of each named class, of a profile that training does not use, or of the named intrusion.

    It begins at a random time of the window; conns past the window's end are dropped. Raises KeyError for a class
    without such a profile (inbound_probes: a site's background noise holds many).
    """
    hosts = attack_hosts(site)
    for name in names:
        start = window.start.timestamp() + rng.uniform(0.02, 0.75) * (window.end.timestamp() - window.start.timestamp())
        profile = INTRUSIONS.get(name) or pick_kept_aside(name, rng)
        yield _implanted(profile, Span(start, window.end.timestamp()), hosts, rng)


def _implanted(profile: Profile, span: Span, hosts: AttackHosts, rng: np.random.Generator) -> tuple[pl.DataFrame, ImplantedAttack]:
    end = datetime.fromtimestamp(span.end, UTC)
    frame = profile.rows(span, hosts, rng).filter(pl.col("ts") < end)
    began = frame["ts"].dt.epoch("s")[0]
    sources = frame["id.orig_h"].unique().sort().to_list()[:20]
    when = datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds")
    return frame, ImplantedAttack(profile.attack_class, when, sources, frame["uid"].to_list(), profile.name)


def day_with_attacks(
    site: Site, day: date, flows: int, attacks: Sequence[str], zone: str = "UTC", *, intrusions: Sequence[str] | None = None
) -> tuple[pl.DataFrame, list[ImplantedAttack]]:
    """Return one day's conns in the order Zeek writes them, with a `label` column (null: benign), and the implanted attacks.

    With `intrusions` (names, or none of them) the site has inside devices with certificates of their own as well. The
    other conns are the same with them and without.
    """
    window = day_window(day, zone)
    rng = np.random.default_rng([site.seed, 2, day.toordinal()])
    parts = [site.day(day, flows)]
    chosen = list(attack_rows(site, attacks, window, rng))
    if intrusions is not None:
        parts.append(device_conns(site, day))
        chosen += attack_rows(site, intrusions, window, np.random.default_rng([site.seed, 31, day.toordinal()]))
    rows = pl.concat([*parts, *(frame for frame, _ in chosen)])
    # An archived day holds the conns that ended in it.
    left = (pl.lit(window.end) - pl.col("ts")).dt.total_microseconds() / 1e6 - 0.001
    within = pl.min_horizontal("duration", left).clip(0.0).round(6)
    rows = rows.with_columns(duration=pl.when(pl.col("duration").is_not_null()).then(within))
    return written_order(rows), [attack for _, attack in chosen]


class _InTurn:
    """Takes `per_day` of some names a day, in turn; a fraction makes some days have one more."""

    def __init__(self, names: Sequence[str], per_day: float) -> None:
        self._names, self._per_day, self._assigned = names, per_day, 0.0

    def today(self) -> list[str]:
        count = int(self._assigned + self._per_day) - int(self._assigned)
        today = [self._names[(int(self._assigned) + i) % len(self._names)] for i in range(count)]
        self._assigned += self._per_day
        return today


def write_days(
    out: Path, site: Site, days: Sequence[date], *, flows: int, attacks_per_day: float = 1.0, intrusions_per_day: float | None = None,
    form: str = "tsv", zone: str = "UTC", suffix: str = ".log.gz", logs: Collection[str] = OTHER_LOGS,
) -> Iterator[tuple[date, int, list[ImplantedAttack]]]:  # fmt: skip
    """Write whole days below `out/YYYY-MM-DD/`; yield each day, its number of conns and its implanted attacks.

    Classes are used in turn, so that two weeks hold every one of them at least once, and so are `intrusions_per_day`
    (None: no intrusions, and no inside devices). `logs` are the logs beside conn.log that are written, of OTHER_LOGS. Hours
    without a row have a file of conn.log and dns.log, as busy sensors do, and none of the others.
    """
    attacks = _InTurn([name for name in CLASSES if kept_aside(name)], attacks_per_day)
    intrusions = _InTurn(list(INTRUSIONS), intrusions_per_day or 0.0)
    for number, day in enumerate(days):
        rows, implanted = day_with_attacks(
            site, day, flows, attacks.today(), zone, intrusions=None if intrusions_per_day is None else intrusions.today()
        )
        window, folder = day_window(day, zone), out / day.isoformat()

        def write_hour(start: datetime, end: datetime, hour: Logs, folder: Path = folder) -> None:
            span = f"{_local(start, zone)}-{_local(end, zone)}"
            for log, frame in hour.items():
                write_log(folder / f"{log}.{span}{suffix}", frame, log=log, form=form, opened=start, closed=end)

        others = _other_logs(site, rows, implanted, window, site.seed + number) if set(logs) else repeat({})
        with ThreadPoolExecutor(1) as pool:  # one hour is compressed while the next is made
            written_hour: Future[None] | None = None
            for (start, end, part), other in zip(_hours(rows, window), others, strict=False):
                hour = {"conn": part.select(CONN_NAMES)} | {log: frame for log, frame in ({"dns": _NO_DNS} | other).items() if log in logs}
                if written_hour is not None:
                    written_hour.result()
                written_hour = pool.submit(write_hour, start, end, hour)
            if written_hour is not None:
                written_hour.result()
        yield day, rows.height, implanted


def _other_logs(site: Site, rows: pl.DataFrame, implanted: Sequence[ImplantedAttack], window: Window, seed: int) -> Iterator[Logs]:
    """Yield the rows of the other logs that Zeek writes in each hour of the window."""
    attacks = attack_logs(rows, implanted, seed)
    ends = (end for _, end, _ in _hours(rows, window))
    return hourly(DayLogs(site, window.start.toordinal()).batches(rows, attacks), attacks, ends, window.end)


def attack_logs(rows: pl.DataFrame, implanted: Sequence[ImplantedAttack], seed: int) -> Logs:
    """Return the rows of other logs about the attacks' conns, by log."""
    parts: dict[str, list[pl.DataFrame]] = {}
    for number, attack in enumerate(implanted):
        conns = rows.filter(pl.col("uid").is_in(attack.uids)).sort("ts", maintain_order=True)
        for log, frame in profile_named(attack.profile).evidence(conns, np.random.default_rng([seed, 6, number])).items():
            parts.setdefault(log, []).append(frame)
    return {log: pl.concat(frames) for log, frames in parts.items()}


def _local(when: datetime, zone: str) -> str:
    return when.astimezone(zone_named(zone)).strftime("%H:00:00")


def _hours(rows: pl.DataFrame, window: Window) -> Iterator[tuple[datetime, datetime, pl.DataFrame]]:
    """Yield start, end and rows of each hour of the window; the last hour has the rest of the rows."""
    ends = rows.select(written()).to_series()
    start, at = window.start, 0
    while start < window.end:
        end = start + timedelta(hours=1)
        upto = int((ends < end).sum()) if end < window.end else rows.height
        yield start, end, rows.slice(at, upto - at)
        start, at = end, upto


def save_labels(path: Path, implanted: Sequence[ImplantedAttack]) -> None:
    """Append the implanted attacks to a JSON lines file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as out:
        for attack in implanted:
            out.write(json.dumps(asdict(attack)) + "\n")


def load_labels(path: Path) -> list[ImplantedAttack]:
    """Return the implanted attacks that `save_labels` wrote."""
    return [ImplantedAttack(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines() if line]
