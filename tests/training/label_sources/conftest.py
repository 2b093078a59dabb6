"""Conns of two hosts in the hour before noon."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from mlids.features.extract import conn_columns

NOON = datetime(2026, 11, 4, 12, tzinfo=UTC)


@pytest.fixture
def noon() -> datetime:
    return NOON


@pytest.fixture
def conns() -> pl.DataFrame:
    """Sixty conns, one a minute, of 10.0.0.1 and 10.0.0.9 in turn; every tenth is answered."""
    n = 60
    rows = {
        "ts": [NOON - timedelta(minutes=n - i) for i in range(n)], "uid": [f"C{i}" for i in range(n)],
        "id.orig_h": ["10.0.0.9" if i % 2 else "10.0.0.1" for i in range(n)], "id.orig_p": [40_000] * n,
        "id.resp_h": [f"10.0.1.{i}" for i in range(n)], "id.resp_p": [445] * n, "proto": ["tcp"] * n,
        "conn_state": ["SF" if i % 10 == 1 else "S0" for i in range(n)], "duration": [None] * n,
    }  # fmt: skip
    return conn_columns(pl.DataFrame(rows, schema_overrides={"duration": pl.Float64}))
