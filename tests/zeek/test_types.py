"""Zeek's types as polars types, the end of a conn, and the conn columns."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from mlids.zeek.types import CONN, LONGEST_S, STRINGS, TIME, conn_columns, dtype_of, ended


@pytest.mark.parametrize(
    ("zeek_type", "dtype"),
    [
        ("time", TIME), ("interval", pl.Float64), ("count", pl.UInt64), ("int", pl.Int64), ("port", pl.UInt32), ("bool", pl.Boolean),
        ("addr", pl.String), ("enum", pl.String), ("set[string]", STRINGS), ("vector[interval]", STRINGS), ("table[addr]", STRINGS),
    ],
)  # fmt: skip
def test_polars_type_of_each_zeek_type(zeek_type: str, dtype: Any) -> None:
    assert dtype_of(zeek_type) == dtype


def test_the_end_of_a_conn_with_an_unset_or_impossible_duration() -> None:
    start = datetime(2024, 4, 19, tzinfo=UTC)
    frame = pl.DataFrame(
        {"ts": [start] * 5 + [None], "duration": [1.5, None, float("nan"), -3.0, 1e12, 1.0]}, schema_overrides={"ts": TIME}
    )
    seconds = [None if end is None else (end - start).total_seconds() for end in frame.select(ended()).to_series()]
    assert seconds == [1.5, 0.0, 0.0, 0.0, LONGEST_S, None]


def test_conn_columns_adds_missing_ones_casts_others_and_keeps_the_rest() -> None:
    frame = conn_columns(pl.DataFrame({"id.orig_p": [80], "extra": ["x"], "uid": ["C1"]}))
    assert frame.columns == [*(c.name for c in CONN), "extra"] and frame.schema["id.orig_p"] == pl.UInt32
    assert frame["ts"].to_list() == [None] and conn_columns(frame) is frame
