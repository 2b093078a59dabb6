"""Rows of logs for tests of evidence, and a check that batches do not change what is found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from mlids.evidence.base import Collector, Evidence, SiteView
from mlids.zeek.types import TIME

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ENDS = {"orig": "id.orig_h", "resp": "id.resp_h", "resp_p": "id.resp_p"}
SITE = SiteView(("10.0.0.0/8",))


def rows(n: int, every_s: float = 10.0, **columns: Any) -> pl.DataFrame:
    """Return `n` rows of a log about conns of 10.0.0.5 with 10.0.1.1; a list is a column, anything else is its value in each row.

    `orig`, `resp` and `resp_p` are the ends.
    """
    defaults = {
        "ts": [START + timedelta(seconds=i * every_s) for i in range(n)], "uid": [f"C{i}" for i in range(n)], "id.orig_h": "10.0.0.5",
        "id.orig_p": 40_000, "id.resp_h": "10.0.1.1", "id.resp_p": 22,
    }  # fmt: skip
    given = {**defaults, **{ENDS.get(name, name): value for name, value in columns.items()}}
    frame = pl.DataFrame({name: value if isinstance(value, list) else [value] * n for name, value in given.items()}, strict=False)
    return frame.with_columns(pl.col("ts").cast(TIME))


def later(frame: pl.DataFrame, seconds: float) -> pl.DataFrame:
    """Return the rows at a later time, with other uids."""
    return frame.with_columns(pl.col("ts") + timedelta(seconds=seconds), uid=pl.col("uid") + f"+{seconds:.0f}")


def collect(make: type[Collector], *logs: tuple[str, pl.DataFrame], site: SiteView = SITE, one_day: bool = False) -> list[Evidence]:
    """Return the evidence of whole logs; the same rows in three batches, with the state moved to new collectors, must give the same."""
    whole = make(one_day=one_day)
    for log, frame in logs:
        whole.add(log, frame)
    found = whole.evidence(site)
    collector = make(one_day=one_day)
    for log, frame in logs:
        third = frame.height // 3
        for batch in (frame.head(third), frame.slice(third, third), frame.slice(2 * third)):
            collector.add(log, batch)
            moved = make(one_day=one_day)
            moved.tables = dict(collector.tables)
            collector = moved
    assert collector.evidence(site) == found
    return found


def kinds(found: Sequence[Evidence]) -> list[str]:
    """Return the kinds of evidence, the clearest first."""
    return [e.kind for e in found]
