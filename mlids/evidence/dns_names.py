"""What a host looks up: names that a program makes up, names of services that malware likes, and names with very many addresses.

Names that do not exist are no evidence by themselves: a workstation's search list makes thousands of one name. A program that makes
up its servers' names asks for many zones that nobody registered, and their letters look random.
"""

from __future__ import annotations

import polars as pl

from mlids.evidence import published
from mlids.evidence.base import Collector, Evidence, Kind, SiteView
from mlids.evidence.labels import INSIDE_TOPS, with_queries, word_share, zone_size
from mlids.evidence.tables import fold, joined_uids, ramp, seen_agg, seen_fold
from mlids.zeek.types import STRINGS, TIME

MAX_ZONES = 200_000
# Multicast DNS, LLMNR and NetBIOS ask the neighbours, not a resolver.
NEIGHBOUR_PORTS = (137, 5353, 5355)
FEW_ZONES, MANY_ZONES = 8, 30  # that do not exist
MANY_WORDS = 60  # zones that do not exist, from where on also made of words
MANY_SOURCES = 5  # hosts of the site that look up the same zone: it is in use there
LONGEST_TTL_S = 600.0
FEW_NETWORKS, MANY_NETWORKS = 12, 40  # /16 networks of one name's addresses
LEAST_EIGHTS = 8  # first octets
# First octets that large clouds have most of: their names move between many addresses.
_CLOUDS = (
    "3", "8", "13", "18", "20", "23", "34", "35", "40", "44", "50", "51", "52", "54", "99", "100", "104", "107", "108", "142", "151", "157",
    "162", "172", "174", "184", "188", "192", "199", "204",
)  # fmt: skip
# Pools of volunteers and of peers have many addresses by design.
_POOLS = r"(^|[.\-])(pool|ntp|time|seeds?|dnsseed|bootstrap|dht|tracker|router|relays?|stun|nodes?)[0-9]*[.\-]"

_COLUMNS = {
    "ts": TIME, "uid": pl.String(), "id.orig_h": pl.String(), "id.resp_h": pl.String(), "id.resp_p": pl.UInt32(), "query": pl.String(),
    "rcode_name": pl.String(), "rcode": pl.Int64(), "answers": STRINGS, "TTLs": STRINGS,
}  # fmt: skip
_ZONE, _LISTED, _SPREAD = ["id.orig_h", "zone"], ["id.orig_h", "kind", "zone"], ["query", "network"]
_RESOLVER = pl.col("id.resp_h").drop_nulls().first()

_LISTS = {
    "dns_ip_lookup": published.IP_LOOKUPS, "dns_dynamic_name": published.DYNAMIC_NAMES, "dns_tunnel_service": published.TUNNEL_SERVICES,
    "dns_tor_name": published.TOR_NAMES, "dns_mining_pool": published.MINING_POOLS, "dns_paste_site": published.PASTE_SITES,
}  # fmt: skip
_KIND_OF = {zone: kind for kind, zones in _LISTS.items() for zone in zones}
_SCORES = {
    "dns_ip_lookup": 0.2, "dns_dynamic_name": 0.25, "dns_tunnel_service": 0.3, "dns_tor_name": 0.35, "dns_mining_pool": 0.45,
    "dns_paste_site": 0.15,
}  # fmt: skip
_FIND = "find the program that asks for the name, and what it connects to next"


class DnsNames(Collector):
    """Zones that do not exist, zones of published lists, and networks of addresses by name. Each table is bounded."""

    reads = {"dns": tuple(_COLUMNS)}
    kinds = (
        Kind(
            "dns_generated_names", title="generated domain names", technique="T1568.002",
            sentence="looks up generated names that do not exist", next_step="isolate the host; look for the few of these names that have an address",
        ),
        Kind("dns_ip_lookup", title="look-up of the own address", technique="T1016", sentence="asks {subject} for its own outside address", next_step=_FIND),
        Kind("dns_dynamic_name", title="dynamic DNS name", technique="T1568", sentence="looks up a name under {subject}, where anyone gets one", next_step=_FIND),
        Kind(
            "dns_tunnel_service", title="tunnel service", technique="T1572", sentence="looks up the tunnel service {subject}",
            next_step="ask who runs a tunnel there; it opens the site to the outside",
        ),
        Kind("dns_tor_name", title="name of Tor", technique="T1090.003", sentence="looks up {subject}, which belongs to Tor", next_step=_FIND),
        Kind("dns_mining_pool", title="mining pool", technique="T1496", sentence="looks up the mining pool {subject}", next_step="look at the load of the host, and for the miner's process"),
        Kind("dns_paste_site", title="paste site", technique="T1102", sentence="looks up the paste site {subject}", next_step=_FIND),
        Kind(
            "dns_fast_flux", title="name with very many addresses", technique="T1568.001", sentence="looks up {subject}, which moves between many networks",
            next_step="see whose networks the addresses are: lines of private customers speak for it",
        ),
    )  # fmt: skip

    def add(self, log: str, rows: pl.DataFrame) -> None:
        """Take a batch of dns.log. Missing columns count as null; rows without a query are skipped."""
        parts = pl.col("parts")
        dns = with_queries(rows, _COLUMNS).filter(
            (parts.list.len() >= 2) & ~parts.list.last().is_in(INSIDE_TOPS) & ~pl.col("id.resp_p").is_in(NEIGHBOUR_PORTS).fill_null(False)
        )
        if dns.is_empty():
            return
        size = zone_size(parts)
        dns = dns.with_columns(
            zone=parts.list.tail(size).list.join("."), label=parts.list.get(-size, null_on_oob=True),
            missing=(pl.col("rcode_name").str.to_uppercase() == "NXDOMAIN").fill_null(pl.col("rcode") == 3).fill_null(False),
        )  # fmt: skip
        zones = dns.group_by(_ZONE, maintain_order=True).agg(
            n=pl.len().cast(pl.Int64), missing=pl.col("missing").sum().cast(pl.Int64), label=pl.col("label").first(),
            found=pl.col("answers").is_not_null().any(), **{"id.resp_h": _RESOLVER}, first=pl.col("ts").min(), last=pl.col("ts").max(),
            uid=pl.col("uid").drop_nulls().first(),
        )  # fmt: skip
        how: dict[str, pl.Expr] = {
            "n": pl.col("n").sum(), "missing": pl.col("missing").sum(), "label": pl.col("label").first(), "found": pl.col("found").any(),
            "id.resp_h": _RESOLVER, "first": pl.col("first").min(), "last": pl.col("last").max(), "uid": pl.col("uid").drop_nulls().first(),
        }  # fmt: skip
        self.tables["zones"] = fold(self.tables.get("zones"), zones, _ZONE, how, largest="missing", most=MAX_ZONES)
        self._add_listed(dns)
        self._add_spread(dns)

    def _add_listed(self, dns: pl.DataFrame) -> None:
        ends = [pl.col("parts").list.tail(n).list.join(".").alias(f"end{n}") for n in (3, 2, 1)]
        listed = dns.select(*_COLUMNS, *ends)
        known = pl.coalesce(*(pl.when(pl.col(f"end{n}").is_in(list(_KIND_OF))).then(f"end{n}") for n in (3, 2, 1)))
        listed = listed.with_columns(zone=known).drop_nulls("zone")
        if listed.is_empty():
            return
        listed = listed.with_columns(kind=pl.col("zone").replace_strict(_KIND_OF))
        fresh = listed.group_by(_LISTED, maintain_order=True).agg(
            name=pl.col("query").first().str.head(100), **{"id.resp_h": _RESOLVER}, **seen_agg()
        )
        how = {"name": pl.col("name").first(), "id.resp_h": _RESOLVER, **seen_fold()}
        self.tables["listed"] = fold(self.tables.get("listed"), fresh, _LISTED, how, largest="n")

    def _add_spread(self, dns: pl.DataFrame) -> None:
        ttl = pl.col("TTLs").list.first().cast(pl.Float64, strict=False)
        # A chain of aliases leads to a network that delivers content; these names have their addresses themselves.
        direct = dns.filter(
            (ttl <= LONGEST_TTL_S) & pl.col("answers").list.first().str.contains(r"^\d+\.\d+\.") & ~pl.col("query").str.contains(_POOLS)
        )
        if direct.is_empty():
            return
        spread = direct.with_columns(network=pl.col("answers").list.head(32)).explode("network").with_columns(pl.col("network").str.extract(r"^(\d+\.\d+)\.\d+\.\d+$"))  # fmt: skip
        fresh = (
            spread.drop_nulls("network")
            .group_by(_SPREAD, maintain_order=True)
            .agg(**{"id.orig_h": pl.col("id.orig_h").first(), "id.resp_h": _RESOLVER}, **seen_agg())
        )
        how = {"id.orig_h": pl.col("id.orig_h").first(), "id.resp_h": _RESOLVER, **seen_fold()}
        self.tables["spread"] = fold(self.tables.get("spread"), fresh, _SPREAD, how, largest=pl.len().over("query"))

    def evidence(self, site: SiteView) -> list[Evidence]:
        """Return the evidence of each source inside, the clearest first."""
        found = [
            _piece(kind, row)
            for name, judge in (("zones", _generated), ("listed", _listed), ("spread", _flux))
            if (table := self.tables.get(name)) is not None
            for kind, row in judge(table.filter(site.inside(table["id.orig_h"])))
        ]
        return sorted(found, key=lambda e: -e.score)


EVIDENCE = DnsNames
_Rows = list[tuple[str, dict[str, object]]]


def _piece(kind: str, row: dict[str, object]) -> Evidence:
    return Evidence(
        kind=kind, score=float(str(row["score"])), text=str(row["text"]), uids=tuple(row["uids"]), source=str(row["id.orig_h"]),  # type: ignore[arg-type]
        subject=str(row["subject"]), target=str(row["id.resp_h"] or ""), port=53, proto="udp", first=row["first"], last=row["last"],  # type: ignore[arg-type]
        count=row["n"],  # type: ignore[arg-type]
    )  # fmt: skip


def _generated(zones: pl.DataFrame) -> _Rows:
    """Sources that ask for many zones which do not exist, with random letters; with far more of them, whatever their letters."""
    lost = (pl.col("missing") > 0) & ~pl.col("found")
    sources = zones.group_by("id.orig_h", maintain_order=True).agg(asked=pl.len(), lost=lost.sum()).filter(pl.col("lost") > FEW_ZONES)
    lists = zones.filter(lost).join(sources, on="id.orig_h", maintain_order="left").with_columns(pl.len().over("id.orig_h").alias("all"))
    lists = lists.filter(pl.int_range(pl.len()).over("id.orig_h") < 2_000)
    lists = lists.with_columns(words=word_share(lists["label"]))
    judged = lists.group_by("id.orig_h", maintain_order=True).agg(
        pl.col("asked", "lost").first(), pl.col("n").sum(), pl.col("words").mean(), judged=pl.col("words").count(), examples=pl.col("zone").first(),
        uids=pl.col("uid").drop_nulls().head(10), first=pl.col("first").min(), last=pl.col("last").max(), **{"id.resp_h": pl.col("id.resp_h").mode().sort().first()},
    )  # fmt: skip
    many, share = pl.col("lost").cast(pl.Float64), pl.col("lost") / pl.col("asked")
    random = 0.9 * ramp(many, FEW_ZONES, MANY_ZONES) * ramp(-pl.col("words"), -0.45, -0.35) * ramp(share, 0.1, 0.3)
    wordy = 0.35 * (many >= MANY_WORDS).cast(pl.Float64) * ramp(share, 0.3, 0.6)
    judged = judged.with_columns(score=pl.max_horizontal(pl.when(pl.col("judged") > FEW_ZONES).then(random), wordy)).filter(
        pl.col("score") >= 0.1
    )
    return [
        ("dns_generated_names", row | {"subject": "names that do not exist", "text": f"{row['lost']:,} of {row['asked']:,} zones asked for do not exist, such as {row['examples'][:60]}; {row['words'] or 0:.0%} of their letter pairs are common (half in words)"})
        for row in judged.iter_rows(named=True)
    ]  # fmt: skip


def _listed(listed: pl.DataFrame) -> _Rows:
    """One row per source and list; the zone that was asked for most stands for the others."""
    listed = listed.with_columns(sources=pl.col("id.orig_h").n_unique().over("zone"))
    rows = listed.sort("n", descending=True, maintain_order=True).group_by("id.orig_h", "kind", maintain_order=True).agg(
        pl.col("n").sum(), pl.col("zone", "name", "id.resp_h").first(), pl.col("sources").min(), pl.col("first").min(), pl.col("last").max(),
        uids=joined_uids(), zones=pl.len(),
    )  # fmt: skip
    usual = pl.when(pl.col("sources") >= MANY_SOURCES).then(0.6).otherwise(1.0)
    rows = rows.with_columns(score=pl.col("kind").replace_strict(_SCORES, return_dtype=pl.Float64) * usual).filter(pl.col("score") >= 0.1)
    return [
        (row["kind"], row | {"subject": row["zone"], "text": f"{row['n']:,} look-up{'s' * (row['n'] != 1)} of {row['name']}" + (f" and {row['zones'] - 1} more of its sort" if row["zones"] > 1 else "")})
        for row in rows.head(10_000).iter_rows(named=True)
    ]  # fmt: skip


def _flux(spread: pl.DataFrame) -> _Rows:
    eight = pl.col("network").str.extract(r"^(\d+)\.")
    names = spread.with_columns(eight=eight).filter(~pl.col("eight").is_in(_CLOUDS)).group_by("query", maintain_order=True).agg(
        networks=pl.len(), eights=pl.col("eight").n_unique(), n=pl.col("n").sum(), first=pl.col("first").min(), last=pl.col("last").max(),
        uids=joined_uids(), **{end: pl.col(end).drop_nulls().first() for end in ("id.orig_h", "id.resp_h")},
    )  # fmt: skip
    names = names.filter((pl.col("networks") >= FEW_NETWORKS) & (pl.col("eights") >= LEAST_EIGHTS))
    score = 0.3 + 0.15 * ramp(pl.col("networks").cast(pl.Float64), FEW_NETWORKS, MANY_NETWORKS)
    return [
        ("dns_fast_flux", row | {"subject": row["query"][-100:], "text": f"{row['query'][-80:]} has addresses in {row['networks']} networks (/16), each for ten minutes at most"})
        for row in names.with_columns(score=score).head(1_000).iter_rows(named=True)
    ]  # fmt: skip
