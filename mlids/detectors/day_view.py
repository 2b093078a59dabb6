"""The day's view of a service: each conn of a source to one service counts at least as the upper quartile of that day's.

The first calls of a beacon look like any other conn; at the end of the day it is known what they began. Live scoring
sees the past only, so this belongs to scoring a day at once.
"""

from __future__ import annotations

import numpy as np
import polars as pl

# Fewer conns have no quartile to speak of.
LEAST_CONNS = 4
QUARTILE = 0.75


def day_keys(services: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Return uint64[n]: equal for conns of one source, destination, service (uint64[n]) and UTC day of their start (float64[n])."""
    with np.errstate(over="ignore", invalid="ignore"):
        days = np.floor(np.nan_to_num(seconds) / 86_400.0).astype(np.int64).astype(np.uint64)
        return services ^ (days * np.uint64(0x9E3779B97F4A7C15))


def raised(keys: np.ndarray, risk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows the day's view raises, and for each of them the row with the highest risk of its key.

    `keys` is uint64[n] of `day_keys`, `risk` float32[n], changed in place. The upper quartile bears a few odd conns of an
    ordinary service; the highest value did not: one row would raise a day of look-ups.
    """
    frame = pl.DataFrame({"key": keys, "risk": risk}).with_row_index("row")
    days = (
        frame.group_by("key")
        .agg(pl.len(), quartile=pl.col("risk").quantile(QUARTILE, "lower"), strongest=pl.col("row").get(pl.col("risk").arg_max()))
        .filter(pl.col("len") >= LEAST_CONNS)
    )
    found = frame.join(days.select("key", "quartile", "strongest"), on="key").filter(pl.col("risk") < pl.col("quartile"))
    rows = found["row"].to_numpy().astype(np.int64)
    risk[rows] = found["quartile"].to_numpy()
    return rows, found["strongest"].to_numpy().astype(np.int64)
