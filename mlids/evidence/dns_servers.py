"""Whom hosts ask for names: a host that goes around the site's resolvers, and hosts that ask for whole zones."""

from __future__ import annotations

import polars as pl

from mlids.evidence.base import Collector, Evidence, Kind, SiteView
from mlids.evidence.published import PUBLIC_RESOLVERS
from mlids.evidence.tables import columns, fold, joined_uids, ramp, seen_agg, seen_fold
from mlids.zeek.types import STRINGS, TIME

LEAST_HOSTS = 5  # of the site that ask for names; with fewer nobody can say what is usual there
FEW_QUERIES, MANY_QUERIES = 100, 2_000
FEW_SERVERS = 5  # outside, of one host; a resolver asks many
FEW_CLIENTS = 2  # that ask a host, from where on it serves names itself

_COLUMNS = {
    "ts": TIME, "uid": pl.String(), "id.orig_h": pl.String(), "id.resp_h": pl.String(), "id.resp_p": pl.UInt32(), "proto": pl.String(),
    "query": pl.String(), "qtype_name": pl.String(), "qtype": pl.Int64(), "rcode_name": pl.String(), "rcode": pl.Int64(), "answers": STRINGS,
}  # fmt: skip
_ASKED, _ZONES = ["id.orig_h", "id.resp_h"], ["id.orig_h", "id.resp_h", "zone"]
_TRANSFER = 252  # the number of the type AXFR


class DnsServers(Collector):
    """Queries by host and server, and zone transfers by host, server and zone. Each table is bounded."""

    reads = {"dns": tuple(_COLUMNS)}
    kinds = (
        Kind(
            "dns_other_resolver", title="resolver of its own", technique="T1071.004", sentence="asks {target} for names, which no other host does",
            next_step="see which names it asks there, and whether someone configured that resolver",
        ),
        Kind(
            "dns_zone_transfer", title="zone transfer", technique="T1590.002", sentence="asks {target} for all names of {subject}",
            next_step="see whether the host is a name server; allow transfers to name servers alone",
        ),
    )  # fmt: skip

    def add(self, log: str, rows: pl.DataFrame) -> None:
        """Take a batch of dns.log. Missing columns count as null."""
        dns = columns(rows, _COLUMNS).drop_nulls(_ASKED).filter(pl.col("id.resp_p") == 53)
        if dns.is_empty():
            return
        asked = dns.group_by(_ASKED, maintain_order=True).agg(**seen_agg())
        self.tables["asked"] = fold(self.tables.get("asked"), asked, _ASKED, seen_fold(), largest="n")
        transfers = dns.filter((pl.col("qtype_name") == "AXFR").fill_null(False) | (pl.col("qtype") == _TRANSFER).fill_null(False))
        if transfers.is_empty():
            return
        answered = (pl.col("rcode_name").is_null() & pl.col("rcode").is_null()) | (pl.col("rcode_name") == "NOERROR").fill_null(
            pl.col("rcode") == 0
        )
        transfers = transfers.with_columns(
            zone=pl.col("query").str.to_lowercase().fill_null(""), given=answered & (pl.col("answers").list.len() > 0)
        )
        fresh = transfers.group_by(_ZONES, maintain_order=True).agg(
            given=pl.col("given").fill_null(False).any(), proto=pl.col("proto").first(), **seen_agg()
        )
        how = {"given": pl.col("given").any(), "proto": pl.col("proto").first(), **seen_fold()}
        self.tables["transfers"] = fold(self.tables.get("transfers"), fresh, _ZONES, how, largest="n", most=20_000)

    def evidence(self, site: SiteView) -> list[Evidence]:
        """Return the evidence by host and server, the clearest first."""
        if "asked" not in self.tables:
            return []
        asked = self.tables["asked"]
        asked = asked.with_columns(
            from_inside=site.inside(asked["id.orig_h"]), to_inside=site.inside(asked["id.resp_h"]),
            clients=pl.col("id.orig_h").n_unique().over("id.resp_h"),
        )  # fmt: skip
        servers = asked.filter(pl.col("clients") >= FEW_CLIENTS)["id.resp_h"].unique()
        return sorted([*_around(asked, servers), *self._transfers(site, servers)], key=lambda e: -e.score)

    def _transfers(self, site: SiteView, servers: pl.Series) -> list[Evidence]:
        table = self.tables.get("transfers")
        if table is None:
            return []
        table = table.with_columns(from_inside=site.inside(table["id.orig_h"]), to_inside=site.inside(table["id.resp_h"]))
        # Name servers copy zones from each other, and some of them are asked by clients that the sensor sees.
        table = table.filter(~pl.col("id.orig_h").is_in(servers.implode()) & (pl.col("from_inside") | pl.col("to_inside")))
        rows = table.sort("n", descending=True, maintain_order=True).group_by(_ASKED, maintain_order=True).agg(
            pl.col("zone", "proto", "from_inside").first(), pl.col("given").any(), pl.col("n").sum(), pl.col("first").min(), pl.col("last").max(),
            uids=joined_uids(), zones=pl.len(),
        )  # fmt: skip
        base = (
            pl.when(pl.col("from_inside"))
            .then(pl.when("given").then(0.45).otherwise(0.35))
            .otherwise(pl.when("given").then(0.4).otherwise(0.15))
        )
        rows = rows.with_columns(score=base + 0.1 * (pl.col("zones") >= 3).cast(pl.Float64)).sort(
            "score", descending=True, maintain_order=True
        )
        return [
            Evidence(
                kind="dns_zone_transfer", score=row["score"], uids=tuple(row["uids"]), source=row["id.orig_h"], subject=row["zone"] or "a zone",
                text=f"{row['n']:,} request{'s' * (row['n'] != 1)} (AXFR) for all names of {row['zones']:,} zone{'s' * (row['zones'] > 1)}, {'answered' if row['given'] else 'refused or not answered'}",
                target=row["id.resp_h"], port=53, proto=row["proto"] or "", first=row["first"], last=row["last"], count=row["n"],
            )
            for row in rows.head(10_000).iter_rows(named=True)
        ]  # fmt: skip


EVIDENCE = DnsServers


def _around(asked: pl.DataFrame, servers: pl.Series) -> list[Evidence]:
    """Hosts that ask an outside server which hardly another host asks, where most hosts have one resolver in common."""
    hosts = asked.filter("from_inside")
    total = hosts["id.orig_h"].n_unique()
    common = hosts.group_by("id.resp_h").agg(users=pl.len())
    if total < LEAST_HOSTS or not (common["users"] >= 0.5 * total).any():
        return []
    rows = (
        hosts.filter(~pl.col("to_inside"))
        .with_columns(outside=pl.len().over("id.orig_h"))
        .join(common, on="id.resp_h", maintain_order="left")
    )
    alone = (pl.col("users") <= max(1, 0.05 * total)) & (pl.col("outside") <= FEW_SERVERS) & (pl.col("n") >= 10)
    known = pl.col("id.resp_h").is_in(PUBLIC_RESOLVERS)
    many = ramp(pl.col("n").cast(pl.Float64), FEW_QUERIES, MANY_QUERIES)
    rows = rows.filter(alone & ~pl.col("id.orig_h").is_in(servers.implode())).with_columns(
        known=known, score=pl.when(known).then(0.2).otherwise(pl.when(pl.col("users") == 1).then(0.3 + 0.2 * many).otherwise(0.25))
    )
    return [
        Evidence(
            kind="dns_other_resolver", score=row["score"], uids=tuple(row["uids"]), source=row["id.orig_h"], subject=row["id.resp_h"],
            text=f"{row['n']:,} queries straight to the {'public' if row['known'] else 'unknown'} server {row['id.resp_h']}, which {row['users']} of {total} hosts ask",
            target=row["id.resp_h"], port=53, proto="udp", first=row["first"], last=row["last"], count=row["n"],
        )
        for row in rows.sort("score", "n", descending=True, maintain_order=True).head(10_000).iter_rows(named=True)
    ]  # fmt: skip
