"""How steady the times of requests are: the gaps between them, whatever conns they travel in."""

from __future__ import annotations

import polars as pl

BURST_US = 1_000_000  # requests closer than this are one event
MIN_GAPS = 10


def steady(table: pl.DataFrame, times: str) -> pl.DataFrame:
    """Add `gap_s` (median gap in seconds) and `steadiness`: the share of gaps within 0.6 to 1.67 of it.

    `times` is a column of sorted lists of microseconds. Both columns are null with fewer than MIN_GAPS gaps: not judged.
    """
    rows = table.with_row_index("_row")
    gaps = (
        rows.select("_row", pl.col(times).alias("at")).explode("at", empty_as_null=False, keep_nulls=False)
        .with_columns(gap=pl.col("at").diff().over("_row")).filter(pl.col("gap") >= BURST_US)
        .with_columns(median=pl.col("gap").median().over("_row"))
    )  # fmt: skip
    near = (pl.col("gap") >= 0.6 * pl.col("median")) & (pl.col("gap") <= 1.67 * pl.col("median"))
    judged = (
        gaps.group_by("_row")
        .agg(gap_s=pl.col("median").first() / 1e6, steadiness=near.mean(), gaps=pl.len())
        .filter(pl.col("gaps") >= MIN_GAPS)
    )
    return rows.join(judged.drop("gaps"), on="_row", how="left", maintain_order="left").drop("_row")
