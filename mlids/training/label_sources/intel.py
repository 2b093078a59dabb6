"""Labels from intel.log: conns to what a threat list names, joined by uid."""

from __future__ import annotations

from typing import ClassVar

import polars as pl

from mlids.evidence.tables import columns
from mlids.training.label_sources.base import MAX_LABELS

_WANTED = {"uid": pl.String(), "seen.where": pl.String()}


class IntelLabels:
    """Conns of which Zeek saw an indicator, unless it is the originator: known scanners are background."""

    name: ClassVar[str] = "intel"
    priority: ClassVar[int] = 80
    log: ClassVar[str | None] = "intel"
    fields: ClassVar[tuple[str, ...]] = tuple(_WANTED)

    def __init__(self) -> None:
        self._uids: set[str] = set()

    def add(self, rows: pl.DataFrame) -> None:
        """Take a batch of intel.log. Hits without a uid, or without a place where they were seen, are ignored."""
        uids = columns(rows, _WANTED).drop_nulls().filter(pl.col("seen.where") != "Conn::IN_ORIG")["uid"]
        self._uids.update(uids.unique(maintain_order=True).head(max(MAX_LABELS - len(self._uids), 0)).to_list())

    def labels(self, conns: pl.DataFrame) -> pl.Series:
        """Return `command_and_control` for conns with a hit; null for all others."""
        known = pl.Series(sorted(self._uids), dtype=pl.String).implode()
        return conns.select(label=pl.when(pl.col("uid").is_in(known)).then(pl.lit("command_and_control"))).to_series()


LABEL_SOURCE = IntelLabels
