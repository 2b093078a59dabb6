"""Conns of one source to one service, as tests of features need them."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from mlids.zeek.types import conn_columns


def calls(
    starts: Sequence[float], *, lasted: Sequence[float] = (), sizes: Sequence[int] = (), to: str = "198.51.100.7", port: int = 443,
    **columns: str,
) -> pl.DataFrame:  # fmt: skip
    """Return conns from 10.0.0.9 to one service in the given order; times are seconds, `columns` are the same in all rows."""
    n = len(starts)
    plain = {"id.orig_h": "10.0.0.9", "id.resp_h": to, "proto": "tcp", "conn_state": "SF"} | columns
    frame = pl.DataFrame({"duration": list(lasted) or [0.1] * n} | {k: [v] * n for k, v in plain.items()})
    return conn_columns(
        frame.with_columns(
            pl.Series("ts", [round(1e6 * s) for s in starts]).cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
            pl.Series("orig_bytes", list(sizes) or [500] * n, pl.UInt64), pl.lit(port, pl.UInt32).alias("id.resp_p"),
        )
    )  # fmt: skip
