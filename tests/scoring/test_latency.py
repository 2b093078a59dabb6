"""The histogram of how long after its end a conn was scored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from mlids.scoring.latency import add_counts, latencies
from mlids.scoring.status import LATENCY_BOUNDS_S, Status
from mlids.zeek.types import conn_columns

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_latency_counts_from_the_end_of_a_conn() -> None:
    rows = {
        "ts": [NOW - timedelta(seconds=10), NOW - timedelta(seconds=10), NOW + timedelta(seconds=5), None],
        "duration": [9.5, None, 0.0, 1.0],
    }
    frame = pl.DataFrame(rows, schema_overrides={"ts": pl.Datetime("us", "UTC")})
    conns = conn_columns(frame)
    assert latencies(conns, NOW).tolist() == [0.5, 10.0, 0.0], "a sensor's clock that is ahead is no negative latency"


def test_values_on_a_bound_belong_to_its_bucket_and_counts_add_up() -> None:
    once = add_counts([], np.array([0.0, 0.25, 0.26, 3_600.0, 3_600.1, 1e9]))
    assert once == [2, 1, *[0] * 7, 1, 2] and len(once) == len(LATENCY_BOUNDS_S) + 1
    assert add_counts(once, np.array([0.5])) == [2, 2, *[0] * 7, 1, 2]
    assert sum(add_counts([1, 2], np.array([0.5]))) == 1, "counts of another version begin again"


def test_a_status_of_an_older_version_has_no_counts() -> None:
    assert Status.of({"sensor": "hq", "state": "following"}).latency_counts == []
