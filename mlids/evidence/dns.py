"""DNS tunnels, from the query names in dns.log.

conn.log shows only the size of a query and its resolver, so that a slow tunnel through the site's own resolver
looks like any lookup. Its names show it: many different ones under one zone, long, of high entropy or of a type that hosts
seldom ask for, each queried once, and no host connects to the addresses in the answers. (Names generated for one page view or one video are
numerous and long as well, but then the host connects to the address that it looked up.)
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import polars as pl

from mlids.evidence.base import Collector, Evidence, SiteView
from mlids.evidence.grouping import day
from mlids.evidence.labels import INSIDE_TOPS, with_queries, zone_size
from mlids.evidence.published import REPUTATION_ZONES
from mlids.evidence.tables import fold, ramp
from mlids.zeek.types import TIME

# Shortest label that is taken for encoded data; labels of content delivery networks have 13 or 14 bytes.
LONG_BYTES = 15
BITS_A_BYTE = 3.0  # Shannon entropy of a label; words in host names mostly have less
# A name is queried again for another type (A, AAAA) and after a lost answer; one that is queried more often is a host, not data.
MAX_QUERIES = 4
FEW_NAMES, MANY_NAMES = 8, 20
# Types that carry data, and that hosts seldom ask for: with them short names count as well, when there are more of them.
ODD_TYPES = ("NULL", "MX", "TXT", "CNAME", "SRV", "KEY", "PRIVATE", "DNSKEY", "CAA", "HINFO", "DNAME", "query-65399")
FEW_ODD, MANY_ODD = 20, 50
# Data in many short labels: the name is long as a whole. (A list of single characters is an address.)
WIDE_BYTES, LEAST_LABEL = 30, 4
FEW_WIDE, MANY_WIDE = 30, 60
MAX_NAMES = 300_000

_COLUMNS = {
    "ts": TIME, "uid": pl.String(), "id.orig_h": pl.String(), "id.resp_h": pl.String(), "id.resp_p": pl.UInt32(), "proto": pl.String(),
    "query": pl.String(), "qtype_name": pl.String(),
}  # fmt: skip
_ZONE = ["id.orig_h", "zone", "day"]
_FIRST = ("uid", "id.resp_h", "id.resp_p", "proto", "answer")


class DnsEvidence(Collector):
    """Names that may carry data, by source, zone and day. State is bounded: the largest zones are kept.

    Days are UTC days; with `one_day` all rows count as one day, as a day of the lake is the sensor's own.
    """

    reads = {"dns": (*_COLUMNS, "answers")}

    def __init__(self, max_names: int = MAX_NAMES, *, one_day: bool = False) -> None:
        super().__init__(
            one_day=one_day
        )  # tables: `names`, one row per source, zone, day and name; `queried`, one per source, zone and day
        self._max = max_names

    def add(self, log: str, rows: pl.DataFrame) -> None:
        """Take a batch of dns.log. Missing columns count as null; rows without a query are skipped."""
        dns = with_queries(rows, _COLUMNS | {"answers": pl.List(pl.String)})
        queries = _named(dns.with_columns(answer=pl.col("answers").list.last()), day(one_day=self.one_day))
        asked = queries.group_by(_ZONE, maintain_order=True).agg(queries=pl.len().cast(pl.Int64))
        self.tables["queried"] = fold(
            self.tables.get("queried"), asked, _ZONE, {"queries": pl.col("queries").sum()}, largest="queries", most=self._max
        )
        size = pl.col("label").str.len_bytes()
        wide = (pl.col("sub").str.len_bytes() >= WIDE_BYTES) & (size >= LEAST_LABEL)
        queries = queries.filter((pl.col("odd") | (size >= LONG_BYTES) | wide) & ~pl.col("zone").is_in(REPUTATION_ZONES))
        if queries.is_empty():
            return
        dense = pl.Series(entropy(queries["label"]) >= BITS_A_BYTE)
        carrying = queries.with_columns(long=dense & (size >= LONG_BYTES), wide=wide).filter(pl.any_horizontal("odd", "long", "wide"))
        fresh = carrying.group_by([*_ZONE, "name"], maintain_order=True).agg(
            pl.len().cast(pl.Int64).alias("n"), pl.col("ts").min().alias("first"), pl.col("ts").max().alias("last"),
            pl.col("sub").first().str.len_bytes().cast(pl.Int64).alias("bytes"), pl.col("odd", "long", "wide").any(),
            *[pl.col(c).drop_nulls().first() for c in _FIRST],
        )  # fmt: skip
        how: dict[str, pl.Expr] = {
            "n": pl.col("n").sum(), "first": pl.col("first").min(), "last": pl.col("last").max(), "bytes": pl.col("bytes").first(),
            "odd": pl.col("odd").any(), "long": pl.col("long").any(), "wide": pl.col("wide").any(), **{c: pl.col(c).drop_nulls().first() for c in _FIRST},
        }  # fmt: skip
        self.tables["names"] = fold(self.tables.get("names"), fresh, [*_ZONE, "name"], how, largest=pl.len().over(_ZONE), most=self._max)

    def tunnels(self, conns: Iterable[pl.DataFrame] = ()) -> pl.DataFrame:
        """Return one row per source, zone and day that looks like a tunnel, the highest score first.

        `conns` (`id.resp_h`) show which answered addresses a host connected to; they are read only if there is a candidate.
        Columns: `id.orig_h`, `zone`, `score` (0 to 1), `names` (distinct), `bytes` (mean length of a name below its zone),
        `sources` (of that zone and day), `first`, `last`, `uids` (of the conns), and the resolver that most queries went to.
        """
        if not {"names", "queried"} <= set(self.tables):
            return pl.DataFrame(schema=_FOUND)
        names = self.tables["names"].filter(pl.col("n") <= MAX_QUERIES)
        ends = [pl.col(c).mode().sort().first() for c in ("id.resp_h", "id.resp_p", "proto")]
        found = names.group_by(_ZONE, maintain_order=True).agg(
            names=pl.len().cast(pl.Int64), odd=pl.col("odd").sum(), long=pl.col("long").sum(), wide=pl.col("wide").sum(), carried=pl.col("n").sum(), bytes=pl.col("bytes").mean(), first=pl.col("first").min(),
            last=pl.col("last").max(), answers=pl.col("answer").drop_nulls().unique(maintain_order=True), uids=pl.col("uid").drop_nulls().unique(maintain_order=True), **dict(zip(_ENDS, ends, strict=True)),
        )  # fmt: skip
        found = found.filter(pl.col("names") > FEW_NAMES).with_columns(
            sources=pl.col("id.orig_h").n_unique().over("zone", "day").cast(pl.Int64)
        )
        found = found.join(self.tables["queried"], on=_ZONE, how="left", nulls_equal=True, maintain_order="left")
        share = (pl.col("carried") / pl.col("queries").fill_null(1)).clip(0.0, 1.0)
        score = (
            pl.max_horizontal(
                ramp(pl.col("long").cast(pl.Int64), FEW_NAMES, MANY_NAMES),
                ramp(pl.col("odd").cast(pl.Int64), FEW_ODD, MANY_ODD),
                0.75 * ramp(pl.col("wide").cast(pl.Int64), FEW_WIDE, MANY_WIDE),
            )
            * ramp(share, 0.5, 0.8)  # a zone with ordinary names besides is a service
            * (1.0 - 0.5 * ramp(pl.col("sources"), 3, 12))  # hash look-ups of virus scanners come from many hosts
        )
        found = found.with_columns(score=score).filter(pl.col("score") > 0)
        if not found.is_empty():
            # Any host may connect to the answer: the sensor may see only the resolver's queries.
            connected = pl.col("answers").list.eval(pl.element().is_in(_connected(found["answers"], conns)).cast(pl.Float64)).list.mean()
            found = found.with_columns(score=pl.col("score") * (1.0 - ramp(connected.fill_null(0.0), 0.2, 0.6))).filter(pl.col("score") > 0)
        return found.select(list(_FOUND)).sort(["score", "names", "zone"], descending=[True, True, False])

    def evidence(self, site: SiteView) -> list[Evidence]:
        """Return each tunnel as evidence, the clearest first."""
        return [
            Evidence(
                kind="dns_tunnel", score=row["score"], text=_describe(row["zone"], row["names"], row["bytes"]), uids=tuple(row["uids"]),
                source=row["id.orig_h"], subject=row["zone"], target=row["id.resp_h"] or "", port=row["id.resp_p"],
                proto=row["proto"] or "", first=row["first"], last=row["last"], count=row["names"],
            )
            for row in self.tunnels(site.conns()).iter_rows(named=True)
        ]  # fmt: skip


EVIDENCE = DnsEvidence
_ENDS = ("id.resp_h", "id.resp_p", "proto")
_FOUND = {
    "id.orig_h": pl.String(), "zone": pl.String(), "score": pl.Float64(), "names": pl.Int64(), "bytes": pl.Float64(), "sources": pl.Int64(),
    "first": TIME, "last": TIME, "uids": pl.List(pl.String), "id.resp_h": pl.String(), "id.resp_p": pl.UInt32(), "proto": pl.String(),
}  # fmt: skip


def _connected(answers: pl.Series, conns: Iterable[pl.DataFrame]) -> list[str]:
    """Return those answered addresses that a conn has as responder."""
    addresses = answers.explode().drop_nulls().unique()
    seen: set[str] = set()
    for batch in conns:
        seen.update(batch["id.resp_h"].unique().implode().list.set_intersection(addresses.implode()).explode().drop_nulls().to_list())
    return sorted(seen)


def _describe(zone: str, names: int, size: float) -> str:
    return f"{names:,} different names under {zone[:80]}, hardly one asked again, {size:.0f} characters each"


def entropy(labels: pl.Series) -> np.ndarray:
    """Return float64[n]: the Shannon entropy of the first 64 bytes of each text, in bits per byte; 0 for empty and null."""
    out = np.zeros(len(labels))
    for start in range(0, len(labels), 4_096):
        texts = [t.encode()[:64] for t in labels.slice(start, 4_096).fill_null("").to_list()]
        sizes = np.array([len(t) for t in texts])
        at = np.repeat(np.arange(len(texts)), sizes)
        counts = np.zeros((len(texts), 256))
        np.add.at(counts, (at, np.frombuffer(b"".join(texts), np.uint8)), 1.0)
        share = counts / np.maximum(sizes, 1)[:, None]
        out[start : start + len(texts)] = -(share * np.log2(np.where(share > 0, share, 1.0))).sum(axis=1)
    return out


def _named(dns: pl.DataFrame, by_day: pl.Expr) -> pl.DataFrame:
    """Return queries for outside names, with `zone`, the labels below it (`sub`), the longest of those (`label`) and a hash (`name`)."""
    parts = pl.col("parts")
    dns = dns.filter((parts.list.len() > 2) & ~parts.list.last().is_in(INSIDE_TOPS))
    own = zone_size(parts)
    below = parts.list.head(parts.list.len() - own.cast(pl.UInt32))
    return dns.select(
        "ts", "uid", "id.orig_h", "id.resp_h", "id.resp_p", "proto", "answer",
        day=by_day, zone=parts.list.tail(own).list.join("."), sub=below.list.join("."), name=below.list.join(".").hash(seed=7),
        odd=pl.col("qtype_name").is_in(ODD_TYPES).fill_null(False),
        label=below.list.get(below.list.eval(pl.element().str.len_bytes()).list.arg_max(), null_on_oob=True),
    )  # fmt: skip
