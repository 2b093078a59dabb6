"""The order of a capture's rows: a capture that was joined from unsorted pieces is sorted as Zeek would have written it.

Windows expire by the clock of the log, the latest end of a conn so far. In a log whose later pieces are older they never
expire, which no sensor does.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from mlids.zeek.types import ended

# A log is sorted when more than this share of its rows is out of order.
UNORDERED_SHARE = 0.01
# Zeek writes a conn that was not closed when it times out, at most five minutes after its last packet (tcp_inactivity_timeout).
# Rows up to so far behind the clock are in Zeek's own order: 7 % of IoT-23 34-1, 12 % of CTU-50's first day are 60 to 300 s behind.
WRITTEN_LATE_S = 360
# A log in the order of `ts` was sorted by somebody else than Zeek: there, rows this far behind are out of order.
BEHIND_S = 60


@dataclass(frozen=True)
class Ordered:
    """The conns of a capture. `out_of_order` is the number of rows that were found behind the clock, 0 where nothing was sorted."""

    conns: pl.DataFrame
    out_of_order: int


def in_written_order(conns: pl.DataFrame) -> Ordered:
    """Return conns in the order in which Zeek writes them, by time of end; rows that end together keep their order.

    Conns are returned as they are unless more than UNORDERED_SHARE of them are out of order. A row without `ts` stays
    behind the row that it follows.
    """
    end = conns.select(ended().dt.epoch("ms")).to_series()
    behind = end.fill_null(strategy="forward").fill_null(0).cum_max() - end
    limit_s = BEHIND_S if conns["ts"].drop_nulls().is_sorted() else WRITTEN_LATE_S
    out_of_order = int((behind > limit_s * 1_000).sum())
    if out_of_order <= UNORDERED_SHARE * conns.height:
        return Ordered(conns, 0)
    at = end.fill_null(strategy="forward").fill_null(0)
    return Ordered(conns.with_columns(_at=at).sort("_at", maintain_order=True).drop("_at"), out_of_order)
