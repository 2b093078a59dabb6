"""The few names in weird.log that matter: packets that only scanners send. All others come from every network's odd devices."""

from __future__ import annotations

import polars as pl

from mlids.evidence.base import Collector, Evidence, Kind, SiteView
from mlids.evidence.grouping import clearest, counted, day, ends, fold_counted, from_row, main_target, named, summed
from mlids.evidence.tables import ramp

# SYN together with FIN, PSH, URG or RST, as scanners set them to learn which system answers.
_NAMES = ("TCP_christmas", "baroque_SYN")
_KEYS = ["source", "target", "name", "day"]
FEW_PACKETS, MANY_PACKETS = 2, 20


class WeirdEvidence(Collector):
    """Packets with flags of scanners, by source, target and day."""

    reads = {"weird": ("ts", "uid", "id.orig_h", "id.resp_h", "id.resp_p", "name")}
    kinds = (
        Kind(
            "odd_tcp_flags",
            title="TCP flags of a scanner",
            sentence="sends TCP packets with flags that only scanners set",
            technique="T1046",
            next_step="ask who runs a scanner on the source; look for failed connections of it at this time",
        ),
    )

    def add(self, log: str, rows: pl.DataFrame) -> None:
        """Take a batch of weird.log. Most names are ignored."""
        found = ends(rows, {"name": pl.String()}).filter(pl.col("name").is_in(_NAMES)).with_columns(day=day(one_day=self.one_day))
        fold_counted(self.tables, "weird", counted(found, _KEYS), _KEYS, 20_000)

    def evidence(self, site: SiteView) -> list[Evidence]:
        """Return the hosts inside that sent such packets, as hints; from outside they reach every public address."""
        if "weird" not in self.tables:
            return []
        weird = self.tables["weird"]
        found = summed(
            weird.filter(site.inside(weird["source"])),
            ["source", "day"],
            target=main_target(),
            names=pl.col("name").unique(maintain_order=True),
        )
        found = clearest(found.with_columns(score=0.4 * ramp(pl.col("n"), FEW_PACKETS, MANY_PACKETS)))
        return [
            from_row("odd_tcp_flags", row, f"{row['n']:,} packets ({named(row['names'])}) to {row['targets']:,} hosts")
            for row in found.iter_rows(named=True)
        ]


EVIDENCE = WeirdEvidence
