"""Labels of labelled logs, and attacks implanted into a site's own traffic."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from mlids.detectors.forest import BENIGN
from mlids.features.behaviours import BEHAVIOURS
from mlids.features.flow import local_ends
from mlids.synth.attacks import SCENARIOS
from mlids.synth.hosts import AttackHosts, pick, subnet_of
from mlids.synth.profiles.base import Span, within
from mlids.synth.profiles.registry import trained
from mlids.zeek.types import CONN, ended

# Where a label comes from, besides the sources in label_sources: the log's own label column, attacks implanted for
# training, the synthetic reference networks, and rows that are assumed to be benign.
LOG_LABEL, IMPLANTED, REFERENCE, ASSUMED = "label", "implanted", "reference", "assumed"

# Names that public labels and Zeek's notices give to attacks, and the class that is learned from each.
_FAMILIES = (
    *((b.label_pattern, b.attack_class or b.name) for b in BEHAVIOURS if b.label_pattern),
    (r"c&c|c2|^cc$|^cc[-_]|heartbeat|torii|mirai|botnet|command", "command_and_control"),
)
FAMILIES = tuple(to for _, to in _FAMILIES)


def family(name: str) -> str:
    """Return the family of an attack's name; an unknown name is its own family, in lower case."""
    plain = name.strip().lower()
    return next((to for pattern, to in _FAMILIES if re.search(pattern, plain)), re.sub(r"[^a-z0-9]+", "_", plain).strip("_") or "attack")


def normal_label(label: pl.Expr, detail: pl.Expr) -> pl.Expr:
    """Return `benign`, an attack's name, or null (no label, Background, Unknown).

    Only the start of `label` is compared: pipe-separated copies of IoT-23 hold `Malicious   C&C` in that column.
    """
    start = label.str.strip_chars().str.to_lowercase()
    detail = detail.str.strip_chars()
    named = pl.when(detail.is_in(["-", "(empty)", ""]) | detail.is_null()).then(label.str.strip_chars()).otherwise(detail)
    bad = start.str.starts_with("malicious") | start.str.starts_with("attack") | start.str.starts_with("botnet")
    return pl.when(start.str.starts_with("benign")).then(pl.lit(BENIGN)).when(bad).then(named)


@dataclass(frozen=True)
class Implant:
    """One implanted attack: rows in the order of their ends, with `label` and `instance`."""

    name: str
    rows: pl.DataFrame


class Hosts:
    """Counts the inside hosts, servers and public servers of a site's traffic; bounded."""

    LIMIT = 5_000

    def __init__(self, networks: Sequence[str] = ()) -> None:
        self._networks = tuple(networks)
        self._inside: dict[str, int] = {}
        self._servers: dict[str, int] = {}
        self._public: dict[str, int] = {}

    def add(self, conns: pl.DataFrame) -> None:
        """Take a batch of conns into account."""
        orig_in, resp_in = local_ends(conns, self._networks)
        frame = conns.select(
            orig="id.orig_h", resp="id.resp_h", orig_in=orig_in, resp_in=resp_in,
            done=(pl.col("conn_state") == "SF").fill_null(False),
        )  # fmt: skip
        for held, rows, name in (
            (self._inside, frame.filter("orig_in"), "orig"),
            (self._servers, frame.filter("resp_in", "done"), "resp"),
            (self._public, frame.filter(~pl.col("orig_in") & ~pl.col("resp_in")), "resp"),
        ):
            for address, n in (
                rows.group_by(name).len().sort("len", "orig" if name == "orig" else "resp", descending=[True, False]).head(500).iter_rows()
            ):
                if address is not None and (address in held or len(held) < self.LIMIT):
                    held[address] = held.get(address, 0) + n

    def cast(self, seed: int) -> AttackHosts | None:
        """Return the hosts that implanted attacks use; None for a site without any inside host."""
        inside = _most(self._inside, 400)
        if not inside:
            return None
        servers = _most(self._servers, 40) or inside
        rng = np.random.default_rng([seed, 77])
        # A documentation range (RFC 5737): an implanted attack never names a real outside host.
        outside = [f"203.0.113.{n}" for n in rng.permutation(np.arange(1, 255))[:80]]
        return AttackHosts(inside, servers, _most(self._public, 10), outside)


def _most(held: dict[str, int], n: int) -> list[str]:
    return [a for a, _ in sorted(held.items(), key=lambda item: (-item[1], item[0]))[:n]]


def make_implants(cast: AttackHosts, start: float, end: float, *, rounds: int, seed: int) -> list[Implant]:
    """Return `rounds` instances of every scenario and of every trained profile, between `start` and `end` (epoch seconds).

    A scenario begins at a random time. A profile is active for the whole time or a part of it, and may have been there
    before; its conns outside of the time, at least _SHORTEST_S, are left out. A profile yields at most profiles.base.MAX_ROWS rows.
    """
    rng = np.random.default_rng([seed, 78])
    out = []
    for instance in range(rounds):
        for name, scenario in SCENARIOS.items():
            begin = start + rng.uniform(0.0, 0.85) * (end - start)
            out.append(_implant(name, instance, scenario(begin, cast, rng).frame(rng)))
    end = max(end, start + _SHORTEST_S)
    servers = _servers(rng)
    shared = [next(servers) for _ in range(2 * _SERVERS)]
    profiles = trained()
    for number in range(rounds * len(profiles)):
        profile = profiles[number % len(profiles)]
        own = [next(servers) for _ in range(_SERVERS)]
        hosts = _infected(cast, own if rng.random() < 0.7 else shared, rng)
        rows = within(profile.rows(_active(start, end, rng), hosts, rng), start, end)
        if rows.height < _FEW_ROWS:  # an attack that was over before the start
            rows = within(profile.rows(Span(start, end), hosts, rng), start, end)
        out.append(_implant(profile.name, number // len(profiles), rows))
    return out


def _implant(name: str, instance: int, rows: pl.DataFrame) -> Implant:
    return Implant(name, rows.with_columns(instance=pl.lit(f"{name}-{instance}")))


def _active(start: float, end: float, rng: np.random.Generator) -> Span:
    """Return when a bot is active: half of the bots for a part of the time, some of them from before it."""
    length = end - start
    if rng.random() < 0.5:
        begin = start + rng.uniform(0.0, 0.7) * length
        return Span(begin, begin + rng.uniform(0.3, 1.0) * (end - begin))
    return Span(start - rng.uniform(0.0, 0.3) * length * (rng.random() < 0.5), end)


def _infected(cast: AttackHosts, servers: list[str], rng: np.random.Generator) -> AttackHosts:
    """Return the hosts of one instance: the given servers, and for half of the instances a device of its own.

    Bots mostly are one device among many. If all were among the site's hosts, each of these would be infected several
    times over, and its benign conns would be no examples of benign traffic.
    """
    host = pick(cast.inside, rng)
    if rng.random() < 0.5:
        known = {*cast.inside, *cast.servers}
        host = pick([h for h in subnet_of(host) if h not in known] or [host], rng)
    return replace(cast, infected=host, outside=servers)


_SHORTEST_S = 300.0  # a log may be of one instant
_FEW_ROWS = 8  # fewer are hardly examples: the first rows of an instance are context only
_SERVERS = 12  # of one instance; loaders have lists of servers


def _servers(rng: np.random.Generator) -> Iterator[str]:
    """Yield addresses of a range for benchmarks (RFC 2544), each once: no real outside host.

    Three instances of ten share servers: if none did, a server with one client would be an attacker's, and on a small
    network every server has one client.
    """
    for number in rng.permutation(65_024):
        yield f"198.{18 + number // 32_512}.{number // 128 % 254 + 1}.{number % 128 + 100}"


_END = ended().dt.epoch("us")


def with_implants(batches: Iterator[pl.DataFrame], implants: Sequence[Implant]) -> Iterator[pl.DataFrame]:
    """Yield the site's rows with the implanted rows merged in, in the order in which Zeek writes conns: by their end.

    The site's own order is kept: an implanted row comes before the first own row that ended later. Own rows
    keep their `label` and `source` and get a null `instance`.
    """
    names = [c.name for c in CONN]
    rows = [i.rows.select(*names, "label", pl.lit(IMPLANTED).alias("source"), "instance") for i in implants]
    if not rows:
        yield from (b.select(*names, "label", "source").with_columns(instance=pl.lit(None, pl.String)) for b in batches)
        return
    waiting = pl.concat(rows).with_columns(_at=_END).sort("_at")
    newest = 0
    for batch in batches:
        own = batch.select(*names, "label", "source").with_columns(
            instance=pl.lit(None, pl.String),
            _at=pl.max_horizontal(_END.fill_null(0).cum_max(), pl.lit(newest)),
        )  # fmt: skip
        if own.height:
            newest = int(own["_at"][-1])
        ready = waiting.filter(pl.col("_at") <= newest)
        waiting = waiting.filter(pl.col("_at") > newest)
        yield pl.concat([own, ready]).sort("_at", maintain_order=True).drop("_at")
