"""How much each piece of evidence counts: what names, prevalence and other evidence of its host leave of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from mlids.cases.upkeep_names import is_upkeep
from mlids.evidence.base import Evidence, SiteView

# What a name of an outside server leaves of evidence from sizes and times alone, by kind. Of benign regular pairs most have a
# name, of malicious ones few; a beacon to a name stays suspicious, a large upload to one is a backup more often than not.
NAMED = {
    "beacon": 0.7, "command_and_control": 0.7, "dns_tunnel": 0.75, "calling": 0.6, "exfiltration": 0.5, "odd_port": 0.6,
    "long_connection": 0.6, "unusual_service": 0.6, "anomaly": 0.6, "spam": 0.75,
}  # fmt: skip
# A vendor's own service (updates, push, cloud storage) is nearly always benign.
OF_A_VENDOR = 0.25
PEERS_FROM = 0.25  # evidence of talk with many peers
_DATABASES, _UPKEEP = frozenset([1433, 1521, 3306, 5432, 6379, 27017]), frozenset([53, 123, 853])
# What Internet hosts do to every address, day and night.
PROBES = frozenset(
    ["inbound_probes", "horizontal_scan", "vertical_scan", "slow_scan", "anomaly", "calling", "unusual_service", "odd_port", "spam", "peer_to_peer"]
)  # fmt: skip


@dataclass(frozen=True)
class Other:
    """What is known of the other side: its name (None: none known), and how many hosts of the site contacted it (None: not known)."""

    name: str | None = None
    hosts: int | None = None


@dataclass(frozen=True)
class Facts:
    """What all evidence together shows: `inside` by address, hosts that talk to many peers, hosts with a tunnel in dns.log."""

    inside: Mapping[str, bool] = field(default_factory=dict)
    others: Mapping[str, Other] = field(default_factory=dict)
    peers: frozenset[str] = frozenset()
    tunnels: frozenset[str] = frozenset()
    dns_read: bool = False

    def within(self, e: Evidence) -> bool:
        """Whether both ends belong to the site."""
        return self.inside.get(e.source, False) and self.inside.get(e.target, False)


@dataclass(frozen=True)
class Weight:
    """A factor on the score of conn.log's evidence of some kinds, where something else explains it."""

    kinds: frozenset[str]
    factor: float
    applies: Callable[[Evidence, Facts], bool]


WEIGHTS = (
    # Remote desktops, consoles and databases stay open all day, and servers that were switched off are still called.
    Weight(frozenset(["long_connection", "anomaly", "unusual_service", "odd_port", "calling"]), 0.6, lambda e, facts: facts.within(e)),
    # Failed calls of a host that talks to many peers are part of that talk, and no scan besides.
    Weight(frozenset(["slow_scan", "horizontal_scan", "anomaly"]), 0.6, lambda e, facts: e.source in facts.peers),
    # Pools of database connections come again and again, as password guessing does.
    Weight(frozenset(["brute_force"]), 0.8, lambda e, facts: e.port in _DATABASES and facts.within(e)),
    # A resolver or time server that is gone is still called.
    Weight(frozenset(["calling"]), 0.7, lambda e, facts: e.port in _UPKEEP),
    # dns.log shows what sizes of queries only suggest.
    Weight(frozenset(["dns_tunnel"]), 0.5, lambda e, facts: facts.dns_read and e.source not in facts.tunnels),
)


def known_of(evidence: Sequence[Evidence], site: SiteView) -> dict[str, Other]:
    """Return what is known of each target; `site.conns` is read once."""
    targets = pl.Series("id.resp_h", sorted({e.target for e in evidence if e.target}), dtype=pl.String)
    if targets.is_empty():
        return {}
    seen: dict[str, set[str]] = {t: set() for t in targets}
    for conns in site.conns():
        pairs = conns.lazy().filter(pl.col("id.resp_h").is_in(targets.implode())).select("id.orig_h", "id.resp_h").unique().collect()
        for source, target in pairs.drop_nulls().iter_rows():
            if len(seen[target]) < 10_000:
                seen[target].add(source)
    names = dict(site.names.of(targets).select("address", "name").iter_rows())
    return {t: Other(names.get(t), len(seen[t]) or None) for t in targets}


def facts_of(evidence: Sequence[Evidence], inside: Mapping[str, bool], others: Mapping[str, Other], *, dns_read: bool) -> Facts:
    """Return what all evidence together shows; `dns_read`: dns.log was read too."""
    peers = frozenset(e.source for e in evidence if e.kind == "peer_to_peer" and e.score >= PEERS_FROM)
    tunnels = frozenset(e.source for e in evidence if e.kind == "dns_tunnel" and e.log == "dns")
    return Facts(inside, others, peers, tunnels, dns_read)


def weighed(evidence: Sequence[Evidence], facts: Facts) -> list[Evidence]:
    """Return the evidence with the scores that are left of it; other logs than conn.log have names in their own evidence."""
    return [replace(e, score=e.score * _factor(e, facts)) if e.log in {"conn", ""} else e for e in evidence]


def _factor(e: Evidence, facts: Facts) -> float:
    factor = 1.0
    name = facts.others.get(e.target, Other()).name
    if name is not None and e.kind in NAMED and not facts.inside.get(e.target, False):
        factor = OF_A_VENDOR if is_upkeep(name) else NAMED[e.kind]
    for weight in WEIGHTS:
        if e.kind in weight.kinds and weight.applies(e, facts):
            factor *= weight.factor
    return factor


def is_probe(evidence: Evidence, *, source_inside: bool, target_inside: bool) -> bool:
    """Return whether it is background: something that an outside host tried, and that got nothing."""
    return not source_inside and (target_inside or not evidence.target) and evidence.kind in PROBES
