"""Hits of Zeek's intelligence framework in intel.log, and in notice.log where a list asks for notices."""

from __future__ import annotations

from typing import Any

import polars as pl

from mlids.evidence.base import Collector, Evidence, Kind, SiteView
from mlids.evidence.grouping import clearest, counted, day, ends, fold_counted, from_row, named, summed

_WANTED = {"seen.indicator": pl.String(), "seen.indicator_type": pl.String(), "seen.where": pl.String(), "sources": pl.List(pl.String)}
_KEYS = ["source", "target", "indicator", "log", "day"]
_LISTS = {
    c: pl.col(c).explode(empty_as_null=False, keep_nulls=False).drop_nulls().unique(maintain_order=True).head(8)
    for c in ("lists", "where", "types")
}
# A look-up, or an address alone, is less than a request that the host made.
_WEAK = ("DNS::IN_REQUEST", "DNS::IN_RESPONSE", "Conn::IN_RESP", "Conn::IN_ORIG")
MAX_HITS = 20_000


class IntelEvidence(Collector):
    """Hits by source, target, indicator and day."""

    reads = {
        "intel": ("ts", "uid", "id.orig_h", "id.resp_h", "id.resp_p", *_WANTED),
        "notice": ("ts", "uid", "id.orig_h", "id.resp_h", "id.resp_p", "note", "msg", "sub"),
    }
    kinds = (
        Kind(
            "intel",
            title="indicator of a threat list",
            sentence="has to do with {subject}, which is on a threat list",
            technique="T1071",
            next_step="read what the list says about the indicator, and whether the host got an answer from it",
        ),
    )

    def add(self, log: str, rows: pl.DataFrame) -> None:
        """Take a batch of intel.log, or of notice.log, of which only hits count."""
        if log == "notice":
            hits = ends(rows, {"note": pl.String(), "msg": pl.String(), "sub": pl.String()}).filter(pl.col("note") == "Intel::Notice")
            hits = hits.with_columns(
                indicator=pl.col("sub"), where=pl.concat_list(pl.col("msg").str.extract(r" at (\S+)$")), types=pl.lit([], pl.List(pl.String)),
                lists=pl.lit([], pl.List(pl.String)),
            )  # fmt: skip
        else:
            hits = ends(rows, _WANTED).with_columns(
                indicator=pl.col("seen.indicator"), where=pl.concat_list("seen.where"), types=pl.concat_list("seen.indicator_type"), lists=pl.col("sources"),
            )  # fmt: skip
        hits = hits.drop_nulls("indicator").with_columns(log=pl.lit(log), day=day(one_day=self.one_day))
        fold_counted(self.tables, "hits", counted(hits, _KEYS, **_LISTS), _KEYS, MAX_HITS, **_LISTS)

    def evidence(self, site: SiteView) -> list[Evidence]:
        """Return each indicator that a host had to do with, the clearest first."""
        if "hits" not in self.tables:
            return []
        # Both logs hold the same hits.
        hits = self.tables["hits"].with_columns(pl.when(pl.col("log") == "intel").then("n").otherwise(0).alias("n"))
        found = summed(
            hits, ["source", "indicator", "day"], target=pl.col("target").first(), log=(pl.col("log") == "intel").any(), **_LISTS
        )
        asked = pl.col("where").list.set_difference(pl.lit(list(_WEAK))).list.len() > 0
        score = 0.7 + 0.1 * asked.cast(pl.Float64) + 0.1 * (pl.col("lists").list.len() > 1).cast(pl.Float64)
        # Known scanners reach every public address.
        from_outside = ~site.inside(found["source"]) & (found["source"] == found["indicator"])
        found = found.with_columns(pl.col("n").clip(1), score=pl.when(from_outside).then(0.25).otherwise(score))
        return [
            from_row("intel", row, _describe(row), subject=row["indicator"][:120], log="intel" if row["log"] else "notice", proto="")
            for row in clearest(found).iter_rows(named=True)
        ]


EVIDENCE = IntelEvidence


def _describe(row: dict[str, Any]) -> str:
    seen = f" seen at {named(row['where'])}" if row["where"] else ""
    by = f", on the list {named(row['lists'])}" if row["lists"] else ""
    types = f" ({named([t.removeprefix('Intel::').lower() for t in row['types']])})" if row["types"] else ""
    return f"{row['n']:,} hits on {row['indicator'][:120]}{types}{seen}{by}"
