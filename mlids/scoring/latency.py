"""How long after its end each conn was scored, counted in the buckets of a histogram."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import polars as pl

from mlids.scoring.status import LATENCY_BOUNDS_S
from mlids.zeek.types import ended


def latencies(conns: pl.DataFrame, now: datetime) -> np.ndarray:
    """Return the seconds from the end of each conn to `now`, at least 0, as float64; conns without a time are left out."""
    found = conns.select((pl.lit(now).cast(pl.Datetime("us", "UTC")) - ended()).dt.total_microseconds()).to_series().drop_nulls()
    return np.maximum(found.to_numpy().astype(np.float64) / 1e6, 0.0)


def add_counts(counts: Sequence[int], seconds: np.ndarray) -> list[int]:
    """Return the counts of all buckets, `len(LATENCY_BOUNDS_S) + 1` of them, with further values added; counts of another length begin at 0."""
    size = len(LATENCY_BOUNDS_S) + 1
    more = np.bincount(np.searchsorted(LATENCY_BOUNDS_S, seconds, side="left"), minlength=size)
    before = counts if len(counts) == size else [0] * size
    return [int(a + b) for a, b in zip(before, more, strict=True)]
